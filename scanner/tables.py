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
    insert,
    select,
)

from scanner.job import ScanError

VERSION = 1
"""Raised with every change of the tables below."""

metadata = MetaData()

ledger_version = Table("ledger_version", metadata, Column("version", Integer, primary_key=True))

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(16), primary_key=True),
    Column("checkpoint_id", Text, nullable=False),
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
    Column("checkpoint_id", Text, nullable=False),
    Column("recipe_id", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("plan_skips_by_recipe", "recipe_id"),
)
"""What the plan left out, the last plan of each recipe only."""


def open_tables(engine: Engine) -> None:
    """Make the tables where they are missing.

    Raises:
        ScanError: they were made by another version.
    """
    metadata.create_all(engine)
    with engine.begin() as db:
        found = db.execute(select(ledger_version.c.version)).scalar_one_or_none()
        if found is None:
            db.execute(insert(ledger_version).values(version=VERSION))
        elif found != VERSION:
            age = "a newer" if found > VERSION else "an older"
            raise ScanError(
                f"{engine.url.render_as_string()}: the job ledger has format {found}, of {age} leaksweep; "
                f"this one reads format {VERSION}: use that version, or another database"
            )
