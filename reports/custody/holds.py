"""Legal holds: what must be kept, whatever retention and erasure say, until somebody releases it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from crawler.catalog.engine import make_tables
from crawler.catalog.rows import storable
from reports.finding import Finding, ReportError

metadata = MetaData()
holds = Table(
    "legal_hold",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("released_by", Text),
    Column("released_at", Text),
)
_OPEN = holds.c.released_at.is_(None)
Index("legal_hold_open", holds.c.subject, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
"""Nothing is held twice at once, by two processes neither, so that one release ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One act of holding, which is kept after its release."""

    subject: str
    """Id of a finding, an extraction or a checkpoint, or "set NAME"."""
    who: str
    why: str
    at: str
    """ISO 8601, UTC; likewise the last."""
    released_by: str | None
    released_at: str | None


class Holds:
    """All holds of a home."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.engine = engine
        self._clock = clock
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)

    def put(self, db: Connection, subject: str, who: str, why: str) -> None:
        """Hold something, in the caller's transaction.

        Raises:
            ReportError: there is no reason, or it is held already.
        """
        if not why.strip():
            raise ReportError(f"{subject}: say why it has to be kept; whoever wants it erased will ask")
        held = storable(subject), storable(who), storable(why.strip()), self._now()
        try:
            db.execute(holds.insert().values(dict(zip(("subject", "who", "why", "at"), held, strict=True))))
        except IntegrityError as error:
            raise ReportError(f"{subject}: is held already; leaksweep hold shows by whom and why") from error

    def release(self, db: Connection, subject: str, who: str) -> None:
        """End a hold, in the caller's transaction.

        Raises:
            ReportError: it is not held.
        """
        this = (holds.c.subject == storable(subject)) & _OPEN
        done = db.execute(
            update(holds).where(this).values(released_by=storable(who), released_at=self._now())
        )
        if not done.rowcount:
            raise ReportError(f"{subject}: is not held; leaksweep hold lists what is")

    def stand_still(self, db: Connection) -> None:
        """Let nobody hold or release anything until the caller's transaction ends."""
        if db.dialect.name == "postgresql":
            db.execute(text("LOCK TABLE legal_hold IN SHARE MODE"))
        else:
            db.exec_driver_sql("BEGIN IMMEDIATE")

    def all(self) -> list[Hold]:
        """Every hold that ever was, in the order of the acts."""
        columns = [holds.c[name] for name in Hold.__slots__]
        with self.engine.connect() as db:
            return [Hold(**row) for row in db.execute(select(*columns).order_by(holds.c.number)).mappings()]

    def subjects(self) -> frozenset[str]:
        """What is held now."""
        return frozenset(one.subject for one in self.all() if one.released_at is None)

    def extractions(
        self, findings: Iterable[Finding], checkpoint_of: Iterable[tuple[str, str]]
    ) -> frozenset[str]:
        """Ids of the extractions that are held: themselves, by a finding, their checkpoint or a set.

        Args:
            checkpoint_of: (extraction id, checkpoint id) of every extraction.
        """
        subjects = self.subjects()
        if not subjects:
            return frozenset()
        by_finding = {
            one.match.extraction_id
            for one in findings
            if one.id in subjects or f"set {one.match.set_name}" in subjects
        }
        by_name = {name for name, checkpoint in checkpoint_of if name in subjects or checkpoint in subjects}
        return frozenset(by_finding | by_name)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="seconds")
