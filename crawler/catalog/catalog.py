"""The catalog: what the hubs offer, how far a crawl has come, and the base models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, select, true, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateIndex, CreateTable

from crawler.catalog import tables
from crawler.catalog.rows import (
    base_json,
    checkpoint_json,
    checkpoint_row,
    cleaned,
    retire,
    skip_json,
    skip_row,
)
from crawler.checkpoint import Base, Checkpoint, CrawlError, Hub, Kind, Page, Skip, SkipReason

MAX_FAILURES = 3
"""A listing that fails so often at one cursor begins anew: the cursor may have expired."""


class CatalogError(CrawlError):
    """The catalog cannot be opened or does not fit this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRow:
    """How far one listing has been read, counted from the crawl's beginning."""

    hub: Hub
    shard: str
    finished: bool
    pages: int
    checkpoints: int
    skips: int
    error: str
    """Why it stopped; "" when nothing went wrong."""


def now() -> str:
    """ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Catalog:
    """Reads and writes the catalog. One writer at a time; any number of readers.

    Args:
        engine: from `crawler.catalog.tables.open_engine`.
        clock: the time that is written down, as ISO 8601.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], str] = now) -> None:
        self._engine = engine
        self._clock = clock

    def create(self) -> None:
        """Make the tables that are missing.

        Raises:
            CatalogError: a newer version made this catalog, or the file is no database.
        """
        try:
            with self._engine.begin() as connection:
                for table in tables.metadata.sorted_tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
                found = connection.scalar(select(tables.schema_version.c.version))
                if found is None:
                    upsert(connection, tables.schema_version, [{"version": tables.SCHEMA_VERSION}])
        except DatabaseError as error:
            raise CatalogError(
                f"{self._engine.url}: cannot be used as a catalog ({error.orig}); "
                "name another database, or move this one away"
            ) from error
        if found is not None and found != tables.SCHEMA_VERSION:
            raise CatalogError(
                f"{self._engine.url}: the catalog has schema {found}, this version of leaksweep knows schema "
                f"{tables.SCHEMA_VERSION}; install the leaksweep that made it, or move it away"
            )

    def start_crawl(self, shards: Mapping[Hub, Sequence[str]]) -> bool:
        """Begin a crawl, or go on with the one that was interrupted. Returns whether it goes on.

        A new crawl reads a hub from its beginning when all its listings were finished; a hub that failed
        last time goes on where it stopped. Listings that are not asked for any more are forgotten, their
        checkpoints stay.
        """
        table = tables.crawl
        with self._engine.begin() as connection:
            resumed = connection.scalar(select(table.c.number).where(table.c.closed_at.is_(None))) is not None
            if not resumed:
                connection.execute(insert(table).values(started_at=self._clock()))
            for hub, names in shards.items():
                _start_hub(connection, hub, names, resumed)
        return resumed

    def close_crawl(self) -> None:
        """The crawl has come to its end, complete or not: the next one is a new one."""
        open_crawl = update(tables.crawl).where(tables.crawl.c.closed_at.is_(None))
        with self._engine.begin() as connection:
            connection.execute(open_crawl.values(closed_at=self._clock()))

    def end_hub(self, hub: Hub) -> None:
        """Count the hub's listings as finished although pages are left: enough has been read."""
        with self._engine.begin() as connection:
            connection.execute(update(tables.shard).where(tables.shard.c.hub == hub).values(finished=True))

    def commit(self, hub: Hub, shard: str, page: Page) -> None:
        """Write a page's rows and the cursor after it, all or nothing.

        What a page says of a repository (on Civitai: of a version) replaces all that was known of it, so that
        a checkpoint that became gated, or a gated one that opened, leaves one truth.
        """
        seen = self._clock()
        with self._engine.begin() as connection:
            rows = [cleaned(row) for row in page.rows]
            for repo, revision in dict.fromkeys((row.repo, row.revision) for row in rows):
                retire(connection, hub, repo, revision)
            found = [row for row in rows if isinstance(row, Checkpoint)]
            left_out = [row for row in rows if isinstance(row, Skip)]
            checkpoints = {row.id: checkpoint_row(row, seen) for row in found}
            skips = {(row.repo, row.revision, row.path): skip_row(row, seen) for row in left_out}
            upsert(connection, tables.checkpoint, list(checkpoints.values()), keep=["first_seen"])
            upsert(connection, tables.skip, list(skips.values()), keep=["first_seen"])
            table = tables.shard
            connection.execute(
                update(table)
                .where(table.c.hub == hub, table.c.shard == shard)
                .values(
                    cursor=page.cursor,
                    finished=page.cursor is None,
                    pages=table.c.pages + 1,
                    checkpoints=table.c.checkpoints + len(checkpoints),
                    skips=table.c.skips + len(skips),
                    failures=0,
                    error="",
                )
            )

    def fail(self, hub: Hub, shard: str, reason: str) -> None:
        """Remember why a listing stopped before its end."""
        with self._engine.begin() as connection:
            table = tables.shard
            where = and_(table.c.hub == hub, table.c.shard == shard)
            connection.execute(update(table).where(where).values(failures=table.c.failures + 1, error=reason))

    def cursor(self, hub: Hub, shard: str) -> str | None:
        """Where to go on; None at the beginning, and after the last page."""
        table = tables.shard
        with self._engine.connect() as connection:
            found: str | None = connection.scalar(
                select(table.c.cursor).where(table.c.hub == hub, table.c.shard == shard)
            )
        return found

    def finished(self, hub: Hub, shard: str) -> bool:
        """Whether the listing has been read to its end in this crawl."""
        return any(row.finished for row in self.shards(hub) if row.shard == shard)

    def shards(self, hub: Hub | None = None) -> list[ShardRow]:
        """All listings of this crawl, or those of one hub."""
        table = tables.shard
        names = ("hub", "shard", "finished", "pages", "checkpoints", "skips", "error")
        statement = select(*(table.c[name] for name in names)).order_by(table.c.hub, table.c.shard)
        if hub is not None:
            statement = statement.where(table.c.hub == hub)
        with self._engine.connect() as connection:
            rows = connection.execute(statement).mappings()
            return [ShardRow(**{**row, "hub": Hub(row["hub"])}) for row in rows]

    def checkpoints(
        self,
        *,
        hub: Hub | None = None,
        repo: str | None = None,
        kind: Kind | None = None,
        family: str | None = None,
        key: str | None = None,
        superseded: bool = False,
    ) -> Iterator[Checkpoint]:
        """Checkpoints in the order of their ids; superseded ones only when asked for."""
        table = tables.checkpoint
        wanted = {"hub": hub, "repo": repo, "kind": kind, "family": family, "key": key}
        where = [table.c[name] == value for name, value in wanted.items() if value is not None]
        if not superseded:
            where.append(table.c.current)
        statement = select(table.c.record).where(true(), *where).order_by(table.c.id)
        with self._engine.connect().execution_options(yield_per=500) as connection:
            for record in connection.scalars(statement):
                yield checkpoint_json.validate_json(record)

    def skips(self) -> Iterator[Skip]:
        """All that was left out while crawling, in a fixed order."""
        table = tables.skip
        statement = select(table.c.record).order_by(table.c.hub, table.c.repo, table.c.revision, table.c.path)
        with self._engine.connect().execution_options(yield_per=500) as connection:
            for record in connection.scalars(statement):
                yield skip_json.validate_json(record)

    def counts(self) -> dict[str, int]:
        """Rows by what they are: checkpoints, superseded, skips, bases, missing_bases, headers."""

        def rows(table: Any, where: ColumnElement[bool] | None = None) -> int:
            statement = select(func.count()).select_from(table)
            return connection.scalar(statement if where is None else statement.where(where)) or 0

        with self._engine.connect() as connection:
            return {
                "checkpoints": rows(tables.checkpoint, tables.checkpoint.c.current),
                "superseded": rows(tables.checkpoint, ~tables.checkpoint.c.current),
                "skips": rows(tables.skip),
                "bases": rows(tables.base, tables.base.c.found),
                "missing_bases": rows(tables.base, ~tables.base.c.found),
                "headers": rows(tables.header),
            }

    def skip_counts(self) -> dict[SkipReason, int]:
        """How many skips have which reason."""
        table = tables.skip
        statement = select(table.c.reason, func.count()).group_by(table.c.reason).order_by(table.c.reason)
        with self._engine.connect() as connection:
            return {SkipReason(reason): number for reason, number in connection.execute(statement)}

    def wanted_bases(self) -> list[str]:
        """Base repositories that current checkpoints name and that this crawl has not looked up yet."""
        table = tables.checkpoint
        this_crawl = select(func.max(tables.crawl.c.number)).scalar_subquery()
        fresh = select(tables.base.c.repo).where(tables.base.c.crawl == this_crawl)
        statement = (
            select(table.c.base_repo)
            .distinct()
            .where(table.c.current, table.c.base_repo.is_not(None), table.c.base_repo.not_in(fresh))
            .order_by(table.c.base_repo)
        )
        with self._engine.connect() as connection:
            return list(connection.scalars(statement))

    def put_base(self, base: Base | Skip, *, repo: str | None = None) -> None:
        """Remember a base, or why there is none, under the name it was asked for (default: its own)."""
        record = base_json.dump_json(base) if isinstance(base, Base) else skip_json.dump_json(base)
        with self._engine.begin() as connection:
            row = {
                "repo": repo or base.repo,
                "crawl": connection.scalar(select(func.max(tables.crawl.c.number))) or 0,
                "found": isinstance(base, Base),
                "revision": base.revision,
                "record": record.decode(),
            }
            upsert(connection, tables.base, [row])

    def base(self, repo: str) -> Base | None:
        """The base known by this name; None when it was never looked up or could not be found."""
        table = tables.base
        with self._engine.connect() as connection:
            record = connection.scalar(select(table.c.record).where(table.c.repo == repo, table.c.found))
        return None if record is None else base_json.validate_json(record)

    def missing_bases(self) -> dict[str, Skip]:
        """Bases that were looked up in vain, by name."""
        table = tables.base
        statement = select(table.c.repo, table.c.record).where(~table.c.found).order_by(table.c.repo)
        with self._engine.connect() as connection:
            return {repo: skip_json.validate_json(record) for repo, record in connection.execute(statement)}

    def put_header(self, digest: str, data: bytes) -> None:
        """Keep a file's safetensors header under the SHA-256 of the file."""
        with self._engine.begin() as connection:
            upsert(connection, tables.header, [{"digest": digest, "data": data}])

    def header(self, digest: str) -> bytes | None:
        """The header kept for a file, so that no hub is asked twice."""
        with self._engine.connect() as connection:
            found: bytes | None = connection.scalar(
                select(tables.header.c.data).where(tables.header.c.digest == digest)
            )
        return found


def _start_hub(connection: Connection, hub: Hub, names: Sequence[str], resumed: bool) -> None:
    table = tables.shard
    known = list(connection.execute(select(table.c.shard, table.c.finished).where(table.c.hub == hub)))
    again = not resumed and all(finished for _, finished in known)
    gone = [name for name, _ in known if again or name not in names]
    connection.execute(delete(table).where(table.c.hub == hub, table.c.shard.in_(gone)))
    stuck = and_(table.c.hub == hub, table.c.failures >= MAX_FAILURES)
    fresh = {"cursor": None, "pages": 0, "checkpoints": 0, "skips": 0, "failures": 0}
    connection.execute(update(table).where(stuck).values(**fresh))
    kept = {name for name, _ in known} - set(gone)
    for name in dict.fromkeys(names):
        if name not in kept:
            connection.execute(insert(table).values(hub=hub, shard=name))
