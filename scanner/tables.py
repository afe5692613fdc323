"""The ledger's tables, for SQLite and PostgreSQL alike."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from crawler.catalog.engine import BYTEWISE, make_tables, shown
from scanner.job import ScanError

VERSION = 1
"""Raised with every change of the tables below."""

metadata = MetaData()

ledger_version = Table("ledger_version", metadata, Column("version", Integer, primary_key=True))

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(16), primary_key=True),
    Column("checkpoint_id", BYTEWISE, nullable=False),
    Column("recipe_id", String(12), nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("owner", Text),
    Column("lease_until", Float),
    Column("started", Boolean, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("extractions", Integer, nullable=False),
    Column("measures", JSON, nullable=False),
    Column("job", JSON, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("jobs_by_turn", "recipe_id", "state", "attempts", "position"),
    Index("jobs_by_checkpoint", "checkpoint_id", "recipe_id"),
)

plan_skips = Table(
    "plan_skips",
    metadata,
    Column("job_id", String(16), primary_key=True),
    Column("checkpoint_id", BYTEWISE, nullable=False),
    Column("recipe_id", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("plan_skips_by_recipe", "recipe_id"),
)
"""What the plan left out, the last plan of each recipe only."""


def insert_into(table: Table, engine: Engine) -> sqlite.Insert | postgresql.Insert:
    """An insert that can be told what to do when the row is there."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


def open_tables(engine: Engine) -> None:
    """Make the tables where they are missing.

    Raises:
        ScanError: they were made by another version.
    """
    with engine.begin() as db:
        make_tables(db, metadata.sorted_tables)
        found = db.execute(select(ledger_version.c.version)).scalar_one_or_none()
        if found is None:
            db.execute(insert_into(ledger_version, engine).values(version=VERSION).on_conflict_do_nothing())
        elif found != VERSION:
            age = "a newer" if found > VERSION else "an older"
            raise ScanError(
                f"{shown(engine.url)}: the job ledger has format {found}, of {age} leaksweep; "
                f"this one reads format {VERSION}: use that version, or another database"
            )
