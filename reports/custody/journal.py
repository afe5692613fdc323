"""The journal of erasures: what was begun, so that a kill half-way is found and the work is ended."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    RowMapping,
    Table,
    Text,
    insert,
    select,
    update,
)

from crawler.catalog.engine import make_tables
from crawler.catalog.rows import storable

metadata = MetaData()
erasures = Table(
    "erasure",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("set_name", Text),
    Column("extractions", Text, nullable=False),
    Column("findings", Text, nullable=False),
    Column("heads", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("begun_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("receipt", Text),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One act, from the moment it is decided."""

    number: int
    subject: str
    """What was asked for, such as an id, "set NAME" or "older than 90 days"."""
    set_name: str | None
    """The reference set that goes; None when none does."""
    extractions: tuple[str, ...]
    findings: tuple[str, ...]
    heads: frozenset[bytes]
    """What the seals that go begin with: looked for afterwards."""
    who: str
    why: str
    begun_at: str
    """ISO 8601, UTC."""


class Journal:
    """All erasures of a home."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)

    def begin(
        self,
        db: Connection,
        *,
        subject: str,
        set_name: str | None,
        extractions: tuple[str, ...],
        findings: tuple[str, ...],
        heads: frozenset[bytes],
        who: str,
        why: str,
        begun_at: str,
    ) -> Erasure:
        """Write down what goes, in the caller's transaction, before anything does."""
        row = {
            "subject": storable(subject),
            "set_name": set_name,
            "extractions": json.dumps(extractions),
            "findings": json.dumps(findings),
            "heads": json.dumps(sorted(head.hex() for head in heads)),
            "who": storable(who),
            "why": storable(why),
            "begun_at": begun_at,
        }
        return _erasure(db.execute(insert(erasures).values(row).returning(erasures)).mappings().one())

    def unfinished(self) -> list[Erasure]:
        """Those that were begun and not ended, oldest first."""
        query = select(erasures).where(erasures.c.ended_at.is_(None)).order_by(erasures.c.number)
        with self.engine.connect() as db:
            return [_erasure(row) for row in db.execute(query).mappings()]

    def end(self, db: Connection, number: int, ended_at: str, receipt: str) -> None:
        """Write down, in the caller's transaction, that all is gone; forget by what it was looked for."""
        done = update(erasures).where(erasures.c.number == number)
        db.execute(done.values(ended_at=ended_at, receipt=receipt, heads="[]"))


def _erasure(row: RowMapping) -> Erasure:
    return Erasure(
        **{name: row[name] for name in ("number", "subject", "set_name", "who", "why", "begun_at")},
        extractions=tuple(json.loads(row["extractions"])),
        findings=tuple(json.loads(row["findings"])),
        heads=frozenset(bytes.fromhex(one) for one in json.loads(row["heads"])),
    )
