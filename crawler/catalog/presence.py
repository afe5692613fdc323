"""Who is still there: what full walks missed, what a hub says when it is asked, and when something is gone.

A hub that answers "not found" may mean private, hidden, or an error that lasts for days (civitai#1763): only
proof on several days, over weeks, makes a tombstone, and a tombstone is a state of a row that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, update

from crawler.catalog import tables
from crawler.catalog.engine import upsert
from crawler.catalog.rows import listing_of
from crawler.catalog.walks import Walk
from crawler.catalog.writing import note
from crawler.checkpoint import Hub, Listing, Presence, Probe

MISSES = 2
"""Full walks in a row that have to miss a repository before its hub is asked for it."""
PROOFS = 3
"""Days with a proof that a tombstone needs."""
_PAUSE = timedelta(hours=20)
"""Least time between two questions for one repository."""


class Absences:
    """Reads and writes what is known of repositories that no listing shows."""

    def __init__(self, engine: Engine, clock: Callable[[], str]) -> None:
        self._engine = engine
        self._clock = clock

    def count(self, walk: Walk) -> int:
        """Count a miss for each repository that this complete full walk did not see; return how many."""
        table = tables.repository
        unseen = and_(table.c.hub == walk.hub, table.c.walk < walk.number, table.c.presence != Presence.GONE)
        with self._engine.begin() as db:
            return db.execute(update(table).where(unseen).values(missed=table.c.missed + 1)).rowcount

    def due(self, hub: Hub, limit: int) -> list[Listing]:
        """Repositories that the hub should be asked for, those that have waited longest first."""
        table = tables.repository
        before = (datetime.fromisoformat(self._clock()) - _PAUSE).isoformat(timespec="seconds")
        statement = (
            select(table)
            .where(
                table.c.hub == hub,
                or_(table.c.missed >= MISSES, table.c.presence == Presence.UNREACHABLE),
                table.c.presence != Presence.GONE,
                or_(table.c.probed_at.is_(None), table.c.probed_at <= before),
            )
            .order_by(func.coalesce(table.c.probed_at, ""), table.c.number)
            .limit(limit)
        )
        with self._engine.connect() as db:
            return [listing_of(row) for row in db.execute(statement)]

    def record(self, hub: Hub, probes: Sequence[Probe], *, tombstone_after: timedelta) -> None:
        """Write down what the hub said. The rows of those that it shows are written by `Catalog.commit`.

        Args:
            tombstone_after: how long a repository must have been unreachable before it counts as gone.
        """
        now = self._clock()
        with self._engine.begin() as db:
            for probe in probes:
                if probe.presence is Presence.UNREACHABLE:
                    self._deny(db, hub, probe, now, tombstone_after)
                else:
                    self._confirm(db, hub, probe, now)

    def _confirm(self, db: Connection, hub: Hub, probe: Probe, now: str) -> None:
        db.execute(delete(tables.proof).where(_is(tables.proof, hub, probe.number)))
        row = _row(db, hub, probe.number)
        if row.presence != probe.presence and probe.listing is None:
            note(db, hub, probe.number, row.repo, str(probe.presence), probe.detail, now)
        values = {"missed": 0, "unreachable_since": None, "probed_at": now}
        if probe.listing is None:
            values["presence"] = probe.presence
        db.execute(update(tables.repository).where(_is(tables.repository, hub, probe.number)).values(values))

    def _deny(self, db: Connection, hub: Hub, probe: Probe, now: str, tombstone_after: timedelta) -> None:
        row = _row(db, hub, probe.number)
        since = row.unreachable_since or now
        if probe.proof:
            day = {"hub": hub, "number": probe.number, "day": now[:10], "detail": probe.detail}
            upsert(db, tables.proof, [day])
        days = db.scalar(
            select(func.count()).select_from(tables.proof).where(_is(tables.proof, hub, probe.number))
        )
        long = datetime.fromisoformat(now) - datetime.fromisoformat(since) >= tombstone_after
        gone = long and probe.proof and (days or 0) >= PROOFS
        presence = Presence.GONE if gone else Presence.UNREACHABLE
        if row.presence != presence:
            detail = f"unreachable since {since}; {probe.detail}" if gone else probe.detail
            note(db, hub, probe.number, row.repo, str(presence), detail, now)
        if gone:
            table = tables.checkpoint
            here = and_(table.c.hub == hub, table.c.repo == row.repo)
            db.execute(update(table).where(here).values(current=False))
        values = {"presence": presence, "unreachable_since": since, "probed_at": now, "read_as": ""}
        db.execute(update(tables.repository).where(_is(tables.repository, hub, probe.number)).values(values))


def _row(db: Connection, hub: Hub, number: str) -> Any:
    table = tables.repository
    columns = (table.c.repo, table.c.presence, table.c.unreachable_since)
    return db.execute(select(*columns).where(_is(table, hub, number))).one()


def _is(table: Any, hub: Hub, number: str) -> Any:
    return and_(table.c.hub == hub, table.c.number == number)
