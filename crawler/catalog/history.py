"""How one repository stands, and what has become of it since it was first seen."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, and_, select

from crawler.catalog import tables
from crawler.catalog.changes import Change, change_of
from crawler.checkpoint import Hub, Presence

MOST = 100
"""Changes that are read, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A repository as the catalog has it."""

    number: str
    presence: Presence
    first_seen: str
    last_seen: str
    missed: int
    """Full passes in a row that did not show it."""
    pending: bool
    """Whether it is still to be looked into."""
    changes: tuple[Change, ...]
    """Oldest first."""


def standing(engine: Engine, hub: Hub, repo: str) -> Standing | None:
    """How a repository stands; None when no listing has shown it."""
    table, event = tables.repository, tables.event
    newest = table.c.last_seen.desc()
    with engine.connect() as db:
        where = and_(table.c.hub == hub, table.c.repo == repo)
        row = db.execute(select(table).where(where).order_by(newest).limit(1)).one_or_none()
        if row is None:
            return None
        about = and_(event.c.hub == hub, event.c.number == row.number)
        events = db.execute(select(event).where(about).order_by(event.c.id.desc()).limit(MOST)).all()
    return Standing(
        number=row.number,
        presence=Presence(row.presence),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        missed=row.missed,
        pending=row.pending,
        changes=tuple(map(change_of, reversed(events))),
    )
