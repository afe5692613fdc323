"""The catalog: what the hubs offer, how far it has been read, and the base models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, func, select, true, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import DropTable

from crawler.catalog import tables
from crawler.catalog.bases import KnownBases
from crawler.catalog.cache import AskedOnce
from crawler.catalog.engine import make_tables, shown, unusable, upsert
from crawler.catalog.identities import Identities
from crawler.catalog.presence import Absences
from crawler.catalog.rows import checkpoint_json, listing_of, skip_json, storable
from crawler.catalog.walks import Walk, Walks
from crawler.catalog.writing import retire, write_page, write_rows
from crawler.checkpoint import Checkpoint, CrawlError, Hub, Kind, Listing, Page, Skip, SkipReason

_OUTDATED = 1
"""The schema whose tables are made anew: they held nothing but what the hubs said, without stable numbers."""


class CatalogError(CrawlError):
    """The catalog does not fit this version."""


def now() -> str:
    """ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Catalog:
    """Reads and writes the catalog. One writer at a time; any number of readers.

    Args:
        engine: from `crawler.catalog.engine.open_engine`.
        clock: the time that is written down, as ISO 8601, UTC.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], str] = now) -> None:
        self.engine = engine
        self._clock = clock
        self.walks = Walks(engine, clock)
        self.absences = Absences(engine, clock)
        self.bases = KnownBases(engine, clock)
        self.identities = Identities(engine, clock)
        self.asked = AskedOnce(engine)

    def create(self) -> None:
        """Make the tables that are missing. A catalog of the first schema is emptied, to be crawled anew.

        Raises:
            CatalogError: a newer version made this catalog.
            DatabaseError: the file is no database, or the server cannot be reached.
        """
        try:
            with self.engine.begin() as db:
                make_tables(db, [tables.schema_version])
                found = db.scalar(select(tables.schema_version.c.version))
                if found == _OUTDATED:
                    for table in reversed(tables.metadata.sorted_tables):
                        db.execute(DropTable(table, if_exists=True))
                    found = None
                make_tables(db, tables.metadata.sorted_tables)
                if found is None:
                    upsert(db, tables.schema_version, [{"version": tables.SCHEMA_VERSION}])
        except DBAPIError as error:
            raise unusable(self.engine, error) from error
        if found is not None and found != tables.SCHEMA_VERSION:
            raise CatalogError(
                f"{shown(self.engine.url)}: the catalog has schema {found}, this version of leaksweep knows "
                f"schema {tables.SCHEMA_VERSION}; install the leaksweep that made it, or move it away"
            )

    def commit(self, walk: Walk, shard: str, page: Page, rules: str = "") -> int:
        """Write a page and the cursor after it, all or nothing; return how many checkpoints it brought.

        Args:
            rules: what decides how a listing is read (`Source.rules`).
        """
        with self.engine.begin() as db:
            found = write_page(db, page, walk=walk.number, mode=walk.mode, rules=rules, seen=self._clock())
            table = tables.shard
            db.execute(
                update(table)
                .where(table.c.hub == walk.hub, table.c.shard == shard)
                .values(
                    cursor=None if page.cursor is None else storable(page.cursor),
                    finished=page.cursor is None,
                    pages=table.c.pages + 1,
                    listed=table.c.listed + len(page.listings),
                    failures=0,
                    error="",
                )
            )
            if found:
                _count(db, walk, looked=0, found=found)
        return found

    def commit_probed(self, walk: Walk, listings: Sequence[Listing], rules: str) -> None:
        """Write repositories as their hub shows them when it is asked, outside of any listing."""
        page = Page(listings=tuple(listings))
        with self.engine.begin() as db:
            write_page(db, page, walk=walk.number, mode=walk.mode, rules=rules, seen=self._clock())

    def commit_look(self, walk: Walk, listing: Listing, rows: Sequence[Checkpoint | Skip]) -> int:
        """Write what a look into a repository brought, in place of what was known; return the checkpoints.

        One that failed for a reason that may pass stays pending, for the next walk, and takes nothing away.
        """
        later = any(isinstance(row, Skip) and row.reason is SkipReason.DOWNLOAD_FAILED for row in rows)
        table = tables.repository
        with self.engine.begin() as db:
            if not later:
                retire(db, listing.hub, listing.repo)
            found = write_rows(db, rows, self._clock())
            where = and_(table.c.hub == listing.hub, table.c.number == listing.number)
            db.execute(update(table).where(where).values(pending=later, looked=walk.number))
            _count(db, walk, looked=1, found=found)
        return found

    def pending(self, walk: Walk, limit: int) -> list[Listing]:
        """Repositories of the walk's hub to look into, most downloaded first; none that it has tried."""
        table = tables.repository
        statement = (
            select(table)
            .where(table.c.hub == walk.hub, table.c.pending, table.c.looked < walk.number)
            .order_by(table.c.downloads.desc().nulls_last())
            .limit(limit)
        )
        with self.engine.connect() as db:
            return [listing_of(row) for row in db.execute(statement)]

    def checkpoints(
        self,
        *,
        hub: Hub | None = None,
        repo: str | None = None,
        kind: Kind | None = None,
        family: str | None = None,
        key: str | None = None,
        sha256: str | None = None,
        superseded: bool = False,
    ) -> Iterator[Checkpoint]:
        """Checkpoints in the order of their ids; superseded ones only when asked for."""
        table = tables.checkpoint
        wanted = {"hub": hub, "repo": repo, "kind": kind, "family": family, "key": key, "sha256": sha256}
        where = [table.c[name] == value for name, value in wanted.items() if value is not None]
        if not superseded:
            where.append(table.c.current)
        statement = select(table.c.record).where(true(), *where).order_by(table.c.id)
        with self.engine.connect().execution_options(yield_per=500) as db:
            for record in db.scalars(statement):
                yield checkpoint_json.validate_json(record)

    def skips(self) -> Iterator[Skip]:
        """All that was left out while crawling, in a fixed order."""
        table = tables.skip
        statement = select(table.c.record).order_by(table.c.hub, table.c.repo, table.c.revision, table.c.path)
        with self.engine.connect().execution_options(yield_per=500) as db:
            for record in db.scalars(statement):
                yield skip_json.validate_json(record)

    def counts(self, hub: Hub | None = None) -> dict[str, int]:
        """Rows by what they are, of all hubs or of one."""

        def rows(table: Any, *where: ColumnElement[bool]) -> int:
            statement = select(func.count()).select_from(table).where(true(), *where)
            if hub is not None:
                statement = statement.where(table.c.hub == hub)
            return db.scalar(statement) or 0

        with self.engine.connect() as db:
            found = {
                "repositories": rows(tables.repository),
                "unlooked": rows(tables.repository, tables.repository.c.pending),
                "checkpoints": rows(tables.checkpoint, tables.checkpoint.c.current),
                "superseded": rows(tables.checkpoint, ~tables.checkpoint.c.current),
                "skips": rows(tables.skip),
            }
            if hub is None:
                found["bases"] = rows(tables.base, tables.base.c.found)
                found["missing_bases"] = rows(tables.base, ~tables.base.c.found)
                found["headers"] = rows(tables.header)
        return found

    def skip_counts(self) -> dict[SkipReason, int]:
        """How many skips have which reason."""
        table = tables.skip
        statement = select(table.c.reason, func.count()).group_by(table.c.reason).order_by(table.c.reason)
        with self.engine.connect() as db:
            return {SkipReason(reason): number for reason, number in db.execute(statement)}


def _count(db: Any, walk: Walk, *, looked: int, found: int) -> None:
    table = tables.walk
    more = {"looked": table.c.looked + looked, "found": table.c.found + found}
    db.execute(update(table).where(table.c.number == walk.number).values(more))
