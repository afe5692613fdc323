"""Tables to which rows are added and nothing else: the database itself refuses to change or delete one.

That stops mistakes and other programs. Who may alter the database can drop a trigger, which is why what has
to be proof against people is chained as well (`reports.custody.audit`).
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, text


def seal_table(db: Connection, table: Table) -> None:
    """Make the triggers that refuse UPDATE, DELETE and a row in another's place, where they are missing."""
    statements = _postgresql(db, table.name) if db.dialect.name == "postgresql" else _sqlite(table)
    for statement in statements:
        db.execute(text(statement))


def _sqlite(table: Table) -> list[str]:
    name = table.name
    refuse = f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
    (key,) = (column.name for column in table.primary_key.columns)
    # INSERT OR REPLACE deletes without asking a trigger for deletes, and it can do so by any unique column.
    unique = {key, *(column.name for column in table.columns if column.unique)}
    same = " OR ".join(f"{column} = NEW.{column}" for column in sorted(unique))
    return [
        f"CREATE TRIGGER IF NOT EXISTS {name}_no_update BEFORE UPDATE ON {name} {refuse}",
        f"CREATE TRIGGER IF NOT EXISTS {name}_no_delete BEFORE DELETE ON {name} {refuse}",
        f"CREATE TRIGGER IF NOT EXISTS {name}_no_replace BEFORE INSERT ON {name} "
        f"WHEN EXISTS (SELECT 1 FROM {name} WHERE {same}) {refuse}",
    ]


def _postgresql(db: Connection, name: str) -> list[str]:
    # Made once and never again: making a trigger takes the table from everybody else for a moment.
    known = "SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = CAST(:table AS regclass)"
    if db.execute(text(known), {"name": f"{name}_append_only", "table": name}).first():
        return []
    return [
        f"CREATE OR REPLACE FUNCTION {name}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{name} is append-only'; END $$",
        f"CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE ON {name} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}_refuse()",
        f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}_refuse()",
    ]
