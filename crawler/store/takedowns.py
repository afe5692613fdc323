"""What was taken down here: weights that are not downloaded, and checkpoints that are not planned, any more.

The list says nothing of the hub. Hashes and metadata stay in the catalog, and so does what was found.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Column, Engine, MetaData, String, Table, Text, delete, select

from crawler.catalog.engine import make_tables, upsert
from crawler.checkpoint import Checkpoint

FRESH = 5.0
"""Seconds."""

metadata = MetaData()
"""Of its own: a catalog may be emptied to be crawled anew, this list may not."""

takedown = Table(
    "takedown",
    metadata,
    Column("target", Text, primary_key=True),
    Column("act", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", String, nullable=False),
)
"""`target` is a SHA-256, a checkpoint's id, or "hub:repo" for whatever a repository will ever hold. `act` is
what was asked to be taken down; undoing it removes its rows and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Takedown:
    """One act of taking down."""

    act: str
    """A SHA-256, a checkpoint's id, or "hub:repo"."""
    reason: str
    by: str
    """Who did it, as the operating system names them."""
    at: str
    """ISO 8601."""
    targets: tuple[str, ...]


class Takedowns:
    """The list in the SQL database.

    Args:
        engine: from `crawler.catalog.engine.open_engine`.
        clock: the time that is written down, as ISO 8601.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], str] = lambda: datetime.now(UTC).isoformat(timespec="seconds"),
    ) -> None:
        self._engine = engine
        self._clock = clock
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)

    def add(self, act: str, targets: Iterable[str], *, reason: str, by: str) -> None:
        """Take targets down; again is no error, and the last reason counts."""
        row = {"act": act, "reason": reason, "by": by, "at": self._clock()}
        with self._engine.begin() as db:
            upsert(db, takedown, [{"target": target, **row} for target in sorted(set(targets))])

    def undo(self, act: str) -> int:
        """Lift what an act has taken down; return how many of its targets nothing else holds down."""
        with self._engine.begin() as db:
            before = set(db.scalars(select(takedown.c.target).where(takedown.c.act == act)))
            db.execute(delete(takedown).where(takedown.c.act == act))
            return len(before - set(db.scalars(select(takedown.c.target))))

    def acts(self, *, target: str | None = None) -> list[Takedown]:
        """All acts in the order of their time, or those that hold a target down."""
        statement = select(takedown).order_by(takedown.c.at, takedown.c.act, takedown.c.target)
        found: dict[str, Takedown] = {}
        with self._engine.connect() as db:
            for row in db.execute(statement).mappings():
                known = found.get(row["act"])
                targets = (*(known.targets if known else ()), row["target"])
                fields = {name: row[name] for name in ("act", "reason", "by", "at")}
                found[row["act"]] = Takedown(targets=targets, **fields)
        return [one for one in found.values() if target is None or target in one.targets]

    def why(self, target: str) -> str | None:
        """Why a target is held down; None when it is not."""
        statement = select(takedown).where(takedown.c.target == target).order_by(takedown.c.at).limit(1)
        with self._engine.connect() as db:
            row = db.execute(statement).mappings().first()
        return None if row is None else f"{row['at'][:10]}: {row['reason']}"

    def judge(self, *, clock: Callable[[], float] = time.monotonic) -> Callable[[Checkpoint], str | None]:
        """What says why a checkpoint is held down, by itself, its repository or its content; None when not.

        Fit for a million of them: the list is read anew when what is known of it is `FRESH` seconds old.
        """
        known: dict[str, str] = {}
        read_at = -math.inf

        def why_not(checkpoint: Checkpoint) -> str | None:
            nonlocal known, read_at
            if clock() - read_at > FRESH:
                known = {name: f"{one.at[:10]}: {one.reason}" for one in self.acts() for name in one.targets}
                read_at = clock()
            names = (checkpoint.id, repository_target(checkpoint), checkpoint.sha256 or "")
            return next((known[name] for name in names if name in known), None)

        return why_not


def repository_target(checkpoint: Checkpoint) -> str:
    """What stands for all that the checkpoint's repository holds."""
    return f"{checkpoint.hub}:{checkpoint.repo}"
