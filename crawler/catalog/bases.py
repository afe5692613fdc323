"""The base models: looked up once in a while by the name that fine-tunes give them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine, select

from crawler.catalog import tables
from crawler.catalog.engine import upsert
from crawler.catalog.rows import base_json, skip_json
from crawler.checkpoint import Base, Skip


class KnownBases:
    """Base models, found or not, by the name that they were asked for."""

    def __init__(self, engine: Engine, clock: Callable[[], str]) -> None:
        self._engine = engine
        self._clock = clock

    def wanted(self, *, again_after: timedelta) -> list[str]:
        """Repositories that current checkpoints name and that were not looked up for so long, or never."""
        table = tables.checkpoint
        before = (datetime.fromisoformat(self._clock()) - again_after).isoformat(timespec="seconds")
        fresh = select(tables.base.c.repo).where(tables.base.c.asked_at > before)
        statement = (
            select(table.c.base_repo)
            .distinct()
            .where(table.c.current, table.c.base_repo.is_not(None), table.c.base_repo.not_in(fresh))
            .order_by(table.c.base_repo)
        )
        with self._engine.connect() as db:
            return list(db.scalars(statement))

    def put(self, base: Base | Skip, *, repo: str | None = None) -> None:
        """Remember a base, or why there is none, under the name it was asked for (default: its own)."""
        record = base_json.dump_json(base) if isinstance(base, Base) else skip_json.dump_json(base)
        row = {
            "repo": repo or base.repo,
            "asked_at": self._clock(),
            "found": isinstance(base, Base),
            "revision": base.revision,
            "record": record.decode(),
        }
        with self._engine.begin() as db:
            upsert(db, tables.base, [row])

    def get(self, repo: str) -> Base | None:
        """The base known by this name; None when it was never looked up or could not be found."""
        table = tables.base
        with self._engine.connect() as db:
            record = db.scalar(select(table.c.record).where(table.c.repo == repo, table.c.found))
        return None if record is None else base_json.validate_json(record)

    def missing(self) -> dict[str, Skip]:
        """Bases that were looked up in vain, by name."""
        table = tables.base
        statement = select(table.c.repo, table.c.record).where(~table.c.found).order_by(table.c.repo)
        with self._engine.connect() as db:
            return {repo: skip_json.validate_json(record) for repo, record in db.execute(statement)}
