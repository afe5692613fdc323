"""What has become of repositories since a day: new, changed, renamed, gated, taken down, gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, literal, select, union_all

from crawler.catalog import tables
from crawler.checkpoint import Hub

NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that became of one repository."""

    at: str
    """ISO 8601: when a crawl saw it."""
    hub: Hub
    number: str
    repo: str
    """Its name at that time."""
    what: str
    """"new", "changed", "renamed", "opened", "returned", or a `Presence`'s value."""
    detail: str


def changes(engine: Engine, since: str) -> Iterator[Change]:
    """Yield all changes seen at or after a moment (ISO 8601, UTC), oldest first."""
    new, event = tables.repository, tables.event
    columns = ("hub", "number", "repo")
    seen = select(
        new.c.first_seen.label("at"),
        *(new.c[name] for name in columns),
        literal(NEW).label("what"),
        literal("").label("detail"),
        literal(0).label("id"),
    ).where(new.c.first_seen >= since)
    noted = select(
        event.c.at, *(event.c[name] for name in columns), event.c.what, event.c.detail, event.c.id
    ).where(event.c.at >= since)
    both = union_all(seen, noted).subquery()
    ordered = select(both).order_by(both.c.at, both.c.id, both.c.hub, both.c.number)
    with engine.connect().execution_options(yield_per=1000) as db:
        for row in db.execute(ordered):
            yield change_of(row)


def change_of(row: Any) -> Change:
    """The record of a row of `event`."""
    return Change(
        at=row.at,
        hub=Hub(row.hub),
        number=row.number,
        repo=row.repo,
        what=row.what,
        detail=row.detail,
    )


def change_counts(engine: Engine, hub: Hub, since: str) -> dict[str, int]:
    """How many changes of each kind a hub has seen at or after a moment."""
    new = tables.repository
    with engine.connect() as db:
        counts: Counter[str] = Counter(_events(db, hub, since))
        first = select(func.count()).select_from(new).where(new.c.hub == hub, new.c.first_seen >= since)
        counts[NEW] = db.scalar(first) or 0
    return {what: count for what, count in sorted(counts.items()) if count}


def _events(db: Connection, hub: Hub, since: str) -> dict[str, int]:
    event = tables.event
    counted = select(event.c.what, func.count().label("many")).where(event.c.hub == hub, event.c.at >= since)
    return {row.what: row.many for row in db.execute(counted.group_by(event.c.what))}
