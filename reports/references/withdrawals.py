"""Withdrawn references: not looked for any more, by a person, or because a newer list has them no longer.

A list's own withdrawals belong to an edition of its set: they are written before the edition is, and count
from then on. So a kill between the two loses nothing, and brings nothing forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    or_,
    select,
    update,
)

from crawler.catalog.engine import BYTEWISE, make_tables, upsert
from crawler.catalog.rows import storable
from reports.finding import ReportError

metadata = MetaData()

withdrawal = Table(
    "reference_withdrawal",
    metadata,
    Column("set_name", Text, primary_key=True),
    Column("ref_id", BYTEWISE, primary_key=True),
    Column("at", String, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer),
)
"""`since` and `until` are editions of the set, 0 and NULL for a person's; see the module's text."""

_BY_PERSON = withdrawal.c.since == 0
_AT_ONCE = 1000
"""Rows in a statement."""


def by_list(set_name: str) -> str:
    """What stands for the list itself where a person's name would."""
    return f"list {set_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """One reference that is not looked for any more."""

    set_name: str
    ref_id: str
    at: str
    """ISO 8601, UTC."""
    who: str
    """A person, or "list NAME": the list itself has it no longer."""
    why: str


class Withdrawals:
    """The withdrawals in the SQL database.

    Args:
        engine: from `crawler.catalog.engine.open_engine`.
        clock: the time that is written down.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._clock = clock
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)

    def put(
        self, set_name: str, ref_id: str, *, who: str, why: str, db: Connection | None = None
    ) -> Withdrawal:
        """Withdraw a reference in a person's name; again is no error, and the last reason counts.

        Args:
            db: the caller's transaction; None: one of its own.
        """
        one = Withdrawal(
            set_name=set_name, ref_id=ref_id, at=self._now(), who=storable(who), why=storable(why)
        )
        with self._within(db) as inner:
            upsert(inner, withdrawal, [{**asdict(one), "since": 0, "until": None}])
        return one

    def lift(self, set_name: str, ref_id: str, *, db: Connection | None = None) -> None:
        """Take a person's withdrawal back, in the caller's transaction if there is one.

        Raises:
            ReportError: it was not withdrawn, or by its list.
        """
        where = and_(withdrawal.c.set_name == set_name, withdrawal.c.ref_id == ref_id)
        with self._within(db) as inner:
            since = inner.scalar(select(withdrawal.c.since).where(where))
            if since is None:
                raise ReportError(f'"{ref_id}" of reference set "{set_name}" is not withdrawn')
            if since:
                raise ReportError(
                    f'"{ref_id}" of reference set "{set_name}" was withdrawn by its list, which has it no '
                    "longer; it comes back with a list that has it"
                )
            inner.execute(delete(withdrawal).where(where))

    def all(self, editions: Mapping[str, int]) -> dict[tuple[str, str], Withdrawal]:
        """Return what is withdrawn, by set and reference.

        Args:
            editions: of the sets that there are; of other sets, the persons' withdrawals are returned only.
        """
        found = {}
        with self._engine.connect() as db:
            for row in db.execute(select(withdrawal)).mappings():
                edition = editions.get(row["set_name"], 0)
                if row["since"] <= edition and (row["until"] is None or edition < row["until"]):
                    told = {name: row[name] for name in ("set_name", "ref_id", "at", "who", "why")}
                    found[row["set_name"], row["ref_id"]] = Withdrawal(**told)
        return found

    def of_persons(self, set_name: str) -> list[str]:
        """References of a set that people withdrew. What a list withdrew is not in its blocks."""
        statement = select(withdrawal.c.ref_id).where(withdrawal.c.set_name == set_name, _BY_PERSON)
        with self._engine.connect() as db:
            return list(db.scalars(statement.order_by(withdrawal.c.ref_id)))

    def prepare(
        self,
        set_name: str,
        edition: int,
        *,
        gone: Iterable[tuple[str, str]],
        back: Callable[[list[str]], list[str]],
        at: datetime,
    ) -> None:
        """Write down, all or nothing, what the next edition of a list withdraws and brings back.

        Args:
            edition: the next one.
            gone: references that the list has no longer, with the reason.
            back: of the references given, those that the list has.
        """
        mine = and_(withdrawal.c.set_name == set_name, ~_BY_PERSON)
        entries = iter(gone)
        base = {
            "set_name": set_name,
            "at": _iso(at),
            "who": by_list(set_name),
            "since": edition,
            "until": None,
        }
        with self._engine.begin() as db:
            # What an update that was cut off has left, and what is over.
            db.execute(delete(withdrawal).where(mine, withdrawal.c.since >= edition))
            db.execute(update(withdrawal).where(mine, withdrawal.c.until >= edition).values(until=None))
            db.execute(delete(withdrawal).where(mine, withdrawal.c.until.is_not(None)))
            known = list(db.scalars(select(withdrawal.c.ref_id).where(mine)))
            for start in range(0, len(known), _AT_ONCE):
                lifted = back(known[start : start + _AT_ONCE])
                at_once = and_(mine, withdrawal.c.ref_id.in_(lifted))
                db.execute(update(withdrawal).where(at_once).values(until=edition))
            while part := dict(islice(entries, _AT_ONCE)):
                taken = select(withdrawal.c.ref_id).where(
                    withdrawal.c.set_name == set_name,
                    withdrawal.c.ref_id.in_(part),
                    or_(_BY_PERSON, withdrawal.c.until.is_(None)),
                )
                # Who withdrew it first is who did it.
                old = set(db.scalars(taken))
                upsert(
                    db,
                    withdrawal,
                    [{**base, "ref_id": one, "why": why} for one, why in part.items() if one not in old],
                )

    def forget(self, set_name: str) -> None:
        """Forget what the list of a set withdrew. What people withdrew stays, should the set come back."""
        with self._engine.begin() as db:
            db.execute(delete(withdrawal).where(withdrawal.c.set_name == set_name, ~_BY_PERSON))

    def _within(self, db: Connection | None) -> AbstractContextManager[Connection]:
        return nullcontext(db) if db is not None else self._engine.begin()

    def _now(self) -> str:
        return _iso(self._clock())


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
