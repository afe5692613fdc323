"""What a page, or a look into a repository, changes in the catalog. All inside the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, insert, select, update

from crawler.catalog import tables
from crawler.catalog.engine import upsert
from crawler.catalog.rows import (
    checkpoint_row,
    claim_rows,
    cleaned,
    listing_row,
    observation_rows,
    read_as,
    skip_row,
    storable,
)
from crawler.checkpoint import Checkpoint, Hub, Listing, Page, Presence, Skip
from crawler.source import Mode

_AWAY = (Presence.UNREACHABLE, Presence.GONE)
_BATCH = 500
"""Values of one IN (...): SQLite allows 32,766 variables in a statement."""


def write_page(db: Connection, page: Page, *, walk: int, mode: Mode, rules: str, seen: str) -> int:
    """Write a page's listings and rows; return how many checkpoints were written.

    A listing that says what it said before, by the same rules, only moves its counters and the day it was
    last seen. What is new of one replaces all that was known of its weights, so that a checkpoint that became
    gated, or a gated one that opened, leaves one truth; but what a look told stays until the next look.

    Args:
        seen: now, ISO 8601.
    """
    listings = {listing.number: listing for listing in page.listings}
    known = _known(db, listings.values())
    rows_of: dict[str, list[Checkpoint | Skip]] = defaultdict(list)
    for row in page.rows:
        rows_of[row.repo].append(row)
    written, rows = [], []
    for number, listing in listings.items():
        before, said = known.get(storable(number)), read_as(listing, rules)
        about = rows_of.pop(listing.repo, [])
        if before is None:
            rows += about
        elif mode is Mode.DUMP and (before["updated_at"] or "") > (listing.updated_at or ""):
            continue  # A dump is a day old: a hub's own answer has been read since.
        elif before["read_as"] != said:
            _note(db, before, listing, seen)
            _make_way(db, before, listing, replaced=bool(about) or not listing.look)
            rows += about
        elif before["walk"] == walk:
            continue  # Seen in another listing of this walk.
        fresh = before is None or before["read_as"] != said
        pending = listing.look if fresh or before is None else before["pending"]
        standing = {"read_as": said, "pending": pending, "walk": walk, "first_seen": seen, "last_seen": seen}
        written.append(listing_row(listing, **standing))
    for unlisted in rows_of.values():
        retire(db, unlisted[0].hub, unlisted[0].repo)
        rows += unlisted
    upsert(db, tables.repository, written, keep=["first_seen"])
    return write_rows(db, rows, seen)


def write_rows(db: Connection, rows: Iterable[Checkpoint | Skip], seen: str) -> int:
    """Write checkpoints with their claims, and skips; return how many checkpoints there were."""
    clean = [cleaned(row) for row in rows]
    checkpoints = {row.id: row for row in clean if isinstance(row, Checkpoint)}
    skips = {(row.repo, row.revision, row.path): row for row in clean if isinstance(row, Skip)}
    upsert(
        db,
        tables.checkpoint,
        [checkpoint_row(row, seen) for row in checkpoints.values()],
        keep=["first_seen"],
    )
    for table, rows_of in ((tables.claim, claim_rows), (tables.observation, observation_rows)):
        for ids in _batches(list(checkpoints)):
            db.execute(delete(table).where(table.c.checkpoint_id.in_(ids)))
        told = [one for row in checkpoints.values() for one in rows_of(row)]
        if told:
            db.execute(insert(table), told)
    upsert(db, tables.skip, [skip_row(row, seen) for row in skips.values()], keep=["first_seen"])
    return len(checkpoints)


def retire(db: Connection, hub: Hub, repo: str) -> None:
    """Make way for what is now known of a repository: its checkpoints are current no more, its skips gone."""
    name, checkpoint, skip = storable(repo), tables.checkpoint, tables.skip
    shown = and_(checkpoint.c.hub == hub, checkpoint.c.repo == name, checkpoint.c.current)
    db.execute(update(checkpoint).where(shown).values(current=False))
    db.execute(delete(skip).where(skip.c.hub == hub, skip.c.repo == name))


def note(db: Connection, hub: Hub, number: str, repo: str, what: str, detail: str, at: str) -> None:
    """Write an event down: something became of a repository that was known."""
    values = {"at": at, "hub": hub, "number": number, "repo": repo, "what": what, "detail": storable(detail)}
    db.execute(insert(tables.event).values(values))


def _known(db: Connection, listings: Iterable[Listing]) -> Mapping[str, RowMapping]:
    """What the catalog knows of these repositories, by number."""
    table = tables.repository
    names = ("hub", "number", "repo", "revision", "presence", "updated_at", "read_as", "pending", "walk")
    by_hub: dict[Hub, list[str]] = defaultdict(list)
    for listing in listings:
        by_hub[listing.hub].append(storable(listing.number))
    found: dict[str, RowMapping] = {}
    for hub, numbers in by_hub.items():
        for some in _batches(numbers):
            where = and_(table.c.hub == hub, table.c.number.in_(some))
            rows = db.execute(select(*(table.c[name] for name in names)).where(where)).mappings()
            found |= {row["number"]: row for row in rows}
    return found


def _note(db: Connection, before: RowMapping, listing: Listing, at: str) -> None:
    """Write down what has become of a known repository, as far as it is more than other rules."""

    def add(what: str, detail: str) -> None:
        note(db, listing.hub, before["number"], storable(listing.repo), what, detail, at)

    if before["repo"] != storable(listing.repo):
        add("renamed", f"from {before['repo']}")
    was, now = Presence(before["presence"]), listing.presence
    if was is not now:
        returned = now is Presence.PRESENT
        what = "returned" if was in _AWAY else "opened" if returned else str(now)
        add(what, f"was {was}")
    if before["revision"] != storable(listing.revision):
        add("changed", f"{before['revision'][:12]} to {storable(listing.revision)[:12]}")


def _make_way(db: Connection, before: RowMapping, listing: Listing, *, replaced: bool) -> None:
    if before["repo"] != storable(listing.repo):
        retire(db, listing.hub, before["repo"])
    if replaced:
        retire(db, listing.hub, listing.repo)


def _batches(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + _BATCH] for start in range(0, len(values), _BATCH))
