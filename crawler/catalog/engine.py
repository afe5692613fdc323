"""The SQL engine that all stores of a home share, and the one kind of write they have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, Text, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.schema import CreateIndex, CreateTable

from crawler.checkpoint import CrawlError

BYTEWISE = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that sorts by its bytes, so that a catalog has one order on SQLite, on PostgreSQL and in Python."""

_LOCK = 0x6C65616B
"""Held in PostgreSQL while tables are made: IF NOT EXISTS does not keep two that make one at once apart."""
_FORMS = "sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"


class DatabaseError(CrawlError):
    """There is no such database, or it cannot be used."""


def open_engine(url: str, *, busy_timeout: float = 30.0) -> Engine:
    """An engine for SQLite (`sqlite:///path`) or PostgreSQL (`postgresql+psycopg://...`). Connects later.

    SQLite is opened in WAL mode, so that reports can read while a crawl writes, with foreign keys enforced
    and `busy_timeout` seconds of waiting for another writer. Missing folders on the way to the file are made.

    Raises:
        DatabaseError: the URL is none, or names a database or a driver that is not there.
    """
    parsed = parse(url)
    kind = parsed.get_backend_name()
    if kind not in {"sqlite", "postgresql"}:
        raise DatabaseError(f"{shown(parsed)} is neither SQLite nor PostgreSQL; write {_FORMS}")
    try:
        # An error that nobody expected must not print what was to be stored: prompts, notes, sealed keys.
        engine = create_engine(parsed, pool_pre_ping=kind != "sqlite", hide_parameters=True)
    except NoSuchModuleError as error:
        raise DatabaseError(f"{shown(parsed)}: there is no such driver; write {_FORMS}") from error
    except ModuleNotFoundError as error:
        remedy = 'pip install "leaksweep[postgres]"' if error.name == "psycopg" else f"write {_FORMS}"
        raise DatabaseError(f"{shown(parsed)}: {error.name} is not installed; {remedy}") from error
    if kind == "sqlite":
        _set_up_sqlite(engine, parsed.database, busy_timeout)
    return engine


def parse(url: str) -> URL:
    """The parts of a database's URL.

    Raises:
        DatabaseError: it is none. The message does not repeat it, since it may hold a password.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(f"what is given is no database URL; write {_FORMS}") from error


def shown(url: URL) -> str:
    """The URL for a message: without its password, wherever that stands."""
    secret = [name for name in url.query if "password" in name]
    return url.difference_update_query(secret).render_as_string() if secret else url.render_as_string()


def unusable(engine: Engine, error: DBAPIError) -> DatabaseError:
    """What a database's refusal means to the one who named it."""
    reason = " ".join(str(error.orig).split())
    remedy = "name another database, or move this one away"
    if engine.dialect.name == "postgresql":
        remedy = "start the server, or correct `database` in the settings"
    return DatabaseError(f"{shown(engine.url)} cannot be used: {reason}; {remedy}")


def make_tables(db: Connection, tables: Iterable[Table]) -> None:
    """Make the tables and indexes that are missing, while other processes may be doing the same."""
    if db.dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    for table in tables:
        db.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            db.execute(CreateIndex(index, if_not_exists=True))


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


def _set_up_sqlite(engine: Engine, database: str | None, busy_timeout: float) -> None:
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()
