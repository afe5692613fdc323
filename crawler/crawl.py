"""The crawl: every listing of every hub into the catalog, page by page, then the base models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
from huggingface_hub.utils import httpx as hub_httpx  # type: ignore[attr-defined]  # httpx2 since 2.0

from crawler.catalog import Catalog
from crawler.checkpoint import Base, CrawlError, Hub, Page, Skip
from crawler.source import Source

logger = logging.getLogger(__name__)

UNREACHABLE = (CrawlError, ConnectionError, httpx.HTTPError, hub_httpx.HTTPError)
"""What a hub that is down or talks nonsense looks like from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSummary:
    """What one hub gave, counted from the crawl's beginning, interruptions included."""

    hub: Hub
    pages: int
    checkpoints: int
    skips: int
    complete: bool
    reason: str
    """Why it is not complete; "" when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlSummary:
    """What a crawl gave."""

    sources: tuple[SourceSummary, ...]
    bases: int
    """Base models that the catalog now holds."""
    missing_bases: int
    resumed: bool
    """An interrupted crawl was gone on with."""

    @property
    def complete(self) -> bool:
        """Whether every hub was read to its end, or to the limit."""
        return all(source.complete for source in self.sources)


def crawl(
    sources: Sequence[Source],
    catalog: Catalog,
    *,
    resolve_base: Callable[[str], Base | Skip],
    limit: int | None = None,
    progress: Callable[[Hub, str, Page], None] = lambda hub, shard, page: None,
) -> CrawlSummary:
    """Read all sources into the catalog, going on where an interrupted crawl stopped.

    Every page is committed with its cursor before the next is asked for, so a kill costs one page at most. A
    source that fails is recorded as incomplete and does not keep the others from being read.

    Args:
        resolve_base: looks up a base model's repository; called once a crawl for each one that is named.
        limit: ends the crawl after the page that reaches so many checkpoints, over all sources.
        progress: told of each page after it is committed.
    """
    failures: dict[Hub, str] = {}
    shards: dict[Hub, Sequence[str]] = {}
    for source in sources:
        try:
            shards[source.hub] = source.shards()
        except UNREACHABLE as error:
            failures[source.hub] = _reason(source.hub, error)
    resumed = catalog.start_crawl(shards)
    for source in sources:
        for shard in shards.get(source.hub, ()):
            try:
                _read(source, shard, catalog, limit, progress)
            except UNREACHABLE as error:
                failures[source.hub] = _reason(source.hub, error)
                catalog.fail(source.hub, shard, str(error))
    for repo in catalog.wanted_bases():
        try:
            catalog.put_base(resolve_base(repo), repo=repo)
        except UNREACHABLE as error:
            failures.setdefault(Hub.HUGGINGFACE, _reason(Hub.HUGGINGFACE, error))
            break
    if _reached(catalog, limit):
        for hub in shards:
            catalog.end_hub(hub)
    catalog.close_crawl()
    counts = catalog.counts()
    return CrawlSummary(
        sources=tuple(_summary(catalog, source.hub, failures.get(source.hub, "")) for source in sources),
        bases=counts["bases"],
        missing_bases=counts["missing_bases"],
        resumed=resumed,
    )


def _read(
    source: Source,
    shard: str,
    catalog: Catalog,
    limit: int | None,
    progress: Callable[[Hub, str, Page], None],
) -> None:
    if catalog.finished(source.hub, shard) or _reached(catalog, limit):
        return
    for page in source.pages(shard, catalog.cursor(source.hub, shard)):
        catalog.commit(source.hub, shard, page)
        progress(source.hub, shard, page)
        if _reached(catalog, limit):
            return


def _reached(catalog: Catalog, limit: int | None) -> bool:
    return limit is not None and sum(row.checkpoints for row in catalog.shards()) >= limit


def _reason(hub: Hub, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    logger.error("%s: the crawl stopped early: %s", hub, reason)
    return reason


def _summary(catalog: Catalog, hub: Hub, failure: str) -> SourceSummary:
    rows = catalog.shards(hub)
    return SourceSummary(
        hub=hub,
        pages=sum(row.pages for row in rows),
        checkpoints=sum(row.checkpoints for row in rows),
        skips=sum(row.skips for row in rows),
        complete=not failure and all(row.finished for row in rows),
        reason=failure,
    )
