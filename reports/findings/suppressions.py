"""Findings that a person has set aside: who, why, until when. Acts are added and ended, never deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from crawler.catalog.engine import make_tables
from crawler.catalog.rows import storable
from reports.finding import ReportError

metadata = MetaData()

suppression = Table(
    "suppression",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("finding_id", String, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", String, nullable=False),
    Column("until", String),
    Column("lifted_at", String),
    Column("lifted_by", Text),
    Index("suppression_finding", "finding_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One act of setting a finding aside."""

    finding_id: str
    who: str
    why: str
    at: str
    """ISO 8601, UTC; likewise `lifted_at`."""
    until: date | None
    """The last day on which it holds, in UTC; None: until it is lifted."""
    lifted_at: str | None = None
    """When it was lifted, or another took its place; None: it was not."""
    lifted_by: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether the finding is set aside at this time."""
        ended = self.until is not None and now.astimezone(UTC).date() > self.until
        return self.lifted_at is None and not ended


class Suppressions:
    """The acts in the SQL store.

    Args:
        engine: from `crawler.catalog.engine.open_engine`.
        clock: the time that is written down, and by which acts end.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._clock = clock
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)

    def put(
        self, finding_id: str, who: str, why: str, until: date | None = None, *, db: Connection | None = None
    ) -> Suppression:
        """Set a finding aside; one that is already gets another reason and day, and the old act is kept.

        Args:
            until: the last day on which it holds, in UTC.
            db: a transaction to take part in.

        Raises:
            ReportError: there is no reason, or the day is past.
        """
        now = self._clock().astimezone(UTC)
        if not why.strip():
            raise ReportError(
                f"finding {finding_id}: say why it is suppressed; whoever reads the report asks"
            )
        if until is not None and until < now.date():
            raise ReportError(
                f"finding {finding_id}: {until} is past, so that nothing would be suppressed; "
                f"name {now.date()} or a later day"
            )
        act = Suppression(
            finding_id=finding_id,
            who=storable(who),
            why=storable(why.strip()),
            at=now.isoformat(timespec="seconds"),
            until=until,
        )
        with self._within(db) as transaction:
            self._end(transaction, finding_id, storable(who))
            transaction.execute(
                insert(suppression).values(
                    finding_id=finding_id,
                    who=act.who,
                    why=act.why,
                    at=act.at,
                    until=until.isoformat() if until else None,
                )
            )
        return act

    def lift(self, finding_id: str, who: str, *, db: Connection | None = None) -> Suppression:
        """End the act that sets a finding aside, and return it as it was.

        Raises:
            ReportError: nothing sets it aside.
        """
        now = self._clock()
        with self._within(db) as transaction:
            held = [one for one in self._acts(transaction, finding_id) if one.holds(now)]
            if not held:
                raise ReportError(f"finding {finding_id}: is not suppressed; leaksweep suppress --list")
            self._end(transaction, finding_id, storable(who))
        return held[-1]

    def active(self, now: datetime) -> dict[str, Suppression]:
        """The act that sets each finding aside at this time, by the finding's id."""
        return {one.finding_id: one for one in self.history() if one.holds(now)}

    def history(self, finding_id: str | None = None) -> list[Suppression]:
        """All acts in their order, also those that have ended; of one finding, if asked."""
        with self._engine.connect() as db:
            return self._acts(db, finding_id)

    def _acts(self, db: Connection, finding_id: str | None) -> list[Suppression]:
        statement = select(suppression).order_by(suppression.c.number)
        if finding_id is not None:
            statement = statement.where(suppression.c.finding_id == finding_id)
        return [
            Suppression(
                finding_id=row["finding_id"],
                who=row["who"],
                why=row["why"],
                at=row["at"],
                until=date.fromisoformat(row["until"]) if row["until"] else None,
                lifted_at=row["lifted_at"],
                lifted_by=row["lifted_by"],
            )
            for row in db.execute(statement).mappings()
        ]

    def _end(self, db: Connection, finding_id: str, who: str) -> None:
        """End what sets the finding aside, if anything does; what ended by itself stays as it is."""
        stamp = self._clock().astimezone(UTC)
        db.execute(
            update(suppression)
            .where(suppression.c.finding_id == finding_id, suppression.c.lifted_at.is_(None))
            .where((suppression.c.until.is_(None)) | (suppression.c.until >= stamp.date().isoformat()))
            .values(lifted_at=stamp.isoformat(timespec="seconds"), lifted_by=who)
        )

    @contextmanager
    def _within(self, db: Connection | None) -> Iterator[Connection]:
        if db is not None:
            yield db
        else:
            with self._engine.begin() as transaction:
                yield transaction
