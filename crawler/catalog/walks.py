"""Walks: passes over a hub's listings, with a cursor for each listing. Killed anywhere, they go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping, and_, delete, insert, select, update

from crawler.catalog import tables
from crawler.checkpoint import Hub
from crawler.source import Mode

MAX_FAILURES = 3
"""A listing that fails so often at one cursor begins anew: the cursor may have expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One pass over a hub's listings."""

    number: int
    hub: Hub
    mode: Mode
    since: datetime | None
    """Of an increment: how far it reads back."""
    started_at: str
    """ISO 8601."""
    resumed: bool = False
    """An interrupted one is gone on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRow:
    """How far one listing has been read, counted from the walk's beginning."""

    hub: Hub
    shard: str
    finished: bool
    pages: int
    listed: int
    """Rows that the hub gave, those that came twice included."""
    error: str
    """Why it stopped; "" when nothing went wrong."""


class Walks:
    """The walks of a catalog. At most one a hub is open at a time."""

    def __init__(self, engine: Engine, clock: Callable[[], str]) -> None:
        self._engine = engine
        self._clock = clock

    def begin(self, hub: Hub, *, full_every: timedelta, overlap: timedelta, rules: str = "") -> Walk:
        """Begin a walk, or go on with the one that was interrupted.

        The first one is full, and so is one that begins `full_every` or more after the last complete full
        one began, or that reads by other rules, because what is listed again is decided by them alone. Others
        are increments: they read back to the beginning of the last complete walk, and `overlap` further.
        """
        table, now = tables.walk, self._clock()
        with self._engine.begin() as db:
            left = db.execute(
                select(table).where(table.c.hub == hub, table.c.ended_at.is_(None), table.c.mode != Mode.DUMP)
            ).mappings()
            if row := left.first():
                return _walk(row, resumed=True)
            full = _last(db, hub, [Mode.FULL], rules)
            if full is None or datetime.fromisoformat(now) - full >= full_every:
                return _open(db, hub, Mode.FULL, rules, None, now)
            last = _last(db, hub, [Mode.FULL, Mode.INCREMENT], rules) or full
            return _open(db, hub, Mode.INCREMENT, rules, last - overlap, now)

    def begin_dump(self, hub: Hub) -> Walk:
        """Begin to read a dump of a hub, or go on with one that was interrupted."""
        table = tables.walk
        with self._engine.begin() as db:
            left = db.execute(
                select(table).where(table.c.hub == hub, table.c.ended_at.is_(None), table.c.mode == Mode.DUMP)
            ).mappings()
            row = left.first()
            return _walk(row, resumed=True) if row else _open(db, hub, Mode.DUMP, "", None, self._clock())

    def take(self, walk: Walk, names: Sequence[str]) -> None:
        """Say which listings the walk reads. Those begun keep their cursors; others are forgotten."""
        table = tables.shard
        with self._engine.begin() as db:
            here = table.c.hub == walk.hub
            known = set(db.scalars(select(table.c.shard).where(here)))
            gone = known - set(names) if walk.resumed else known
            db.execute(delete(table).where(here, table.c.shard.in_(gone)))
            stuck = and_(here, table.c.failures >= MAX_FAILURES)
            db.execute(update(table).where(stuck).values(cursor=None, pages=0, listed=0, failures=0))
            fresh = [name for name in dict.fromkeys(names) if name not in known - gone]
            if fresh:
                db.execute(insert(table), [{"hub": walk.hub, "shard": name} for name in fresh])

    def cursor(self, hub: Hub, shard: str) -> str | None:
        """Where to go on; None at the beginning, and after the last page."""
        table = tables.shard
        with self._engine.connect() as db:
            found: str | None = db.scalar(
                select(table.c.cursor).where(table.c.hub == hub, table.c.shard == shard)
            )
        return found

    def shards(self, hub: Hub) -> list[ShardRow]:
        """The listings of the hub's newest walk."""
        table = tables.shard
        names = ("hub", "shard", "finished", "pages", "listed", "error")
        statement = select(*(table.c[name] for name in names)).where(table.c.hub == hub).order_by("shard")
        with self._engine.connect() as db:
            return [ShardRow(**{**row, "hub": hub}) for row in db.execute(statement).mappings()]

    def fail(self, hub: Hub, shard: str, reason: str) -> None:
        """Remember why a listing stopped before its end."""
        table = tables.shard
        where = and_(table.c.hub == hub, table.c.shard == shard)
        with self._engine.begin() as db:
            db.execute(update(table).where(where).values(failures=table.c.failures + 1, error=reason))

    def end(self, walk: Walk, *, complete: bool) -> None:
        """The walk is over. Only a complete one counts: the next ones read back to its beginning."""
        table = tables.walk
        with self._engine.begin() as db:
            ended = {"ended_at": self._clock(), "complete": complete}
            db.execute(update(table).where(table.c.number == walk.number).values(ended))

    def counts(self, walk: Walk) -> tuple[int, int]:
        """Repositories that were looked into during the walk, and checkpoints that it wrote."""
        table = tables.walk
        with self._engine.connect() as db:
            row = db.execute(select(table.c.looked, table.c.found).where(table.c.number == walk.number)).one()
        return row.looked, row.found


def _open(db: Connection, hub: Hub, mode: Mode, rules: str, since: datetime | None, now: str) -> Walk:
    values = {
        "hub": hub,
        "mode": mode,
        "rules": rules,
        "since": since.isoformat(timespec="seconds") if since else None,
        "started_at": now,
    }
    row = db.execute(insert(tables.walk).values(values).returning(*tables.walk.c)).mappings().one()
    return _walk(row, resumed=False)


def _walk(row: RowMapping, *, resumed: bool) -> Walk:
    return Walk(
        number=row["number"],
        hub=Hub(row["hub"]),
        mode=Mode(row["mode"]),
        since=datetime.fromisoformat(row["since"]) if row["since"] else None,
        started_at=row["started_at"],
        resumed=resumed,
    )


def _last(db: Connection, hub: Hub, modes: Sequence[Mode], rules: str) -> datetime | None:
    """When the newest complete walk of these modes and by these rules began."""
    table = tables.walk
    where = and_(table.c.hub == hub, table.c.mode.in_(modes), table.c.rules == rules, table.c.complete)
    found = db.scalar(select(table.c.started_at).where(where).order_by(table.c.number.desc()).limit(1))
    return datetime.fromisoformat(found) if found else None
