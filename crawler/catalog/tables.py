"""The catalog's tables, and the SQL engine that all stores of a home share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects import postgresql, sqlite

SCHEMA_VERSION = 1
"""Raised whenever the meaning of a table below changes."""

metadata = MetaData()

schema_version = Table("catalog_schema", metadata, Column("version", Integer, primary_key=True))

crawl = Table(
    "crawl",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("started_at", String, nullable=False),
    Column("closed_at", String),
)
"""One row a crawl; `closed_at` is empty while it runs, and stays so when it was killed."""

shard = Table(
    "shard",
    metadata,
    Column("hub", String, primary_key=True),
    Column("shard", String, primary_key=True),
    Column("cursor", Text),
    Column("finished", Boolean, nullable=False, default=False),
    Column("pages", Integer, nullable=False, default=0),
    Column("checkpoints", Integer, nullable=False, default=0),
    Column("skips", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("error", Text, nullable=False, default=""),
)
"""How far each listing of a hub has been read, with its counters."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", String(16), nullable=False),
    Column("hub", String, nullable=False),
    Column("repo", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("layout", String, nullable=False),
    Column("family", String, nullable=False),
    Column("sha256", String(64)),
    Column("base_repo", String),
    Column("base_grade", Integer),
    Column("title", Text, nullable=False),
    Column("downloads", Integer),
    Column("current", Boolean, nullable=False),
    Column("first_seen", String, nullable=False),
    Column("last_seen", String, nullable=False),
    Column("record", Text, nullable=False),
    Index("checkpoint_key", "key"),
    Index("checkpoint_repo", "hub", "repo"),
    Index("checkpoint_sha256", "sha256"),
)
"""`current` is false once a newer revision, or a skip, has taken the place. `record` is the Checkpoint."""

skip = Table(
    "skip",
    metadata,
    Column("hub", String, primary_key=True),
    Column("repo", String, primary_key=True),
    Column("revision", String, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("reason", String, nullable=False),
    Column("first_seen", String, nullable=False),
    Column("last_seen", String, nullable=False),
    Column("record", Text, nullable=False),
)

base = Table(
    "base",
    metadata,
    Column("repo", String, primary_key=True),
    Column("crawl", Integer, nullable=False),
    Column("found", Boolean, nullable=False),
    Column("revision", String, nullable=False),
    Column("record", Text, nullable=False),
)
"""Base models by the name they are asked for. `record` is a Base, or the Skip that says why not."""

header = Table(
    "header",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


def open_engine(url: str, *, busy_timeout: float = 30.0) -> Engine:
    """An engine for SQLite (`sqlite:///path`) or PostgreSQL (`postgresql+psycopg2://...`).

    SQLite is opened in WAL mode, so that reports can read while a crawl writes, with foreign keys enforced
    and `busy_timeout` seconds of waiting for another writer. Missing folders on the way to the file are made.
    """
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        database = make_url(url).database
        if database and database != ":memory:":
            Path(database).parent.mkdir(parents=True, exist_ok=True)

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.close()

    return engine


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    keep: Sequence[str] = (),
) -> None:
    """Insert rows; where the primary key is there already, replace all columns given but those in `keep`.

    One statement for one kind of rows: they must have the same columns.
    """
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keys = [column.name for column in table.primary_key.columns]
    statement = dialect.insert(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in (*keys, *keep)}
    # A table of keys alone has nothing to replace.
    if changed:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, list(rows))
