"""The crawl: every listing of every hub into the catalog, page by page; then looks, probes, base models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from crawler.catalog import Catalog, Walk
from crawler.catalog.changes import change_counts
from crawler.catalog.lineage import identities
from crawler.checkpoint import Base, CrawlError, Hub, Presence, Skip
from crawler.evidence.identity import Identity
from crawler.guest.hub_httpx import hub_httpx
from crawler.settings import CrawlerSettings
from crawler.source import Enough, Mode, Source

logger = logging.getLogger(__name__)

UNREACHABLE = (CrawlError, ConnectionError, httpx.HTTPError, hub_httpx.HTTPError)
"""What a hub that is down or talks nonsense looks like from here."""
PROBES = 200
"""Repositories of a hub that one crawl asks for by name, because its listings did not show them."""
_LOOKS = 50
"""Repositories to look into that are read from the catalog at a time."""

Identify = Callable[[Sequence[str]], Mapping[str, Identity]]
"""From SHA-256 digests to those files that are known, such as `crawler.civitai.by_hash.identify`."""
Progress = Callable[[Hub, str, int], None]
"""Told, after each commit, of the hub, what was read of it, and how many checkpoints that brought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSummary:
    """What one hub gave, counted from the walk's beginning, interruptions included."""

    hub: Hub
    mode: Mode
    resumed: bool
    """An interrupted walk was gone on with."""
    pages: int
    listed: int
    """Rows of its listings, those that came twice included."""
    looked: int
    """Repositories looked into."""
    waiting: int
    """Repositories still to be looked into."""
    changes: dict[str, int]
    """What became of repositories since the walk began, by kind; see `crawler.catalog.changes`."""
    checkpoints: int
    """All that the catalog holds now."""
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

    @property
    def complete(self) -> bool:
        """Whether every hub was read to its end, or to the limit."""
        return all(source.complete for source in self.sources)


def crawl(
    sources: Sequence[Source],
    catalog: Catalog,
    settings: CrawlerSettings,
    *,
    resolve_base: Callable[[str], Base | Skip],
    identify: Identify | None = None,
    limit: int | None = None,
    progress: Progress = lambda hub, what, found: None,
) -> CrawlSummary:
    """Read all sources into the catalog, going on where an interrupted crawl stopped.

    Every page is committed with its cursor before the next is asked for, so a kill costs one page at most. A
    source that fails is recorded as incomplete and does not keep the others from being read.

    Args:
        resolve_base: looks up a base model's repository; called for each one that is named and not known
            since the last full walk.
        identify: looks up whose files digests are; None leaves it at what the catalog itself knows.
        limit: ends the crawl after the page, or look, that reaches so many checkpoints, over all sources.
    """
    visits = [_Visit(source, catalog, settings, progress) for source in sources]
    left = limit
    for visit in visits:
        visit.run(left)
        if left is not None:
            left = max(0, left - visit.found())
    _name_bases(catalog, settings, identify)
    refused = _look_up_bases(catalog, settings, resolve_base)
    counts = catalog.counts()
    return CrawlSummary(
        sources=tuple(visit.summary(refused) for visit in visits),
        bases=counts["bases"],
        missing_bases=counts["missing_bases"],
    )


@dataclass(slots=True)
class _Visit:
    """One walk over one source."""

    source: Source
    catalog: Catalog
    settings: CrawlerSettings
    progress: Progress
    failure: str = ""
    walk: Walk = field(init=False)

    def __post_init__(self) -> None:
        self.walk = self.catalog.walks.begin(
            self.source.hub,
            full_every=timedelta(days=self.settings.full_pass_days),
            overlap=timedelta(hours=self.settings.overlap_hours),
            rules=self.source.rules,
        )

    def found(self) -> int:
        """Checkpoints that the walk has written."""
        return self.catalog.walks.counts(self.walk)[1]

    def run(self, limit: int | None) -> None:
        """List, look inside, and ask for what is missing; a hub that is away ends it, and is remembered."""
        try:
            self.catalog.walks.take(self.walk, self.source.shards(self.walk.mode))
            for row in self.catalog.walks.shards(self.source.hub):
                if not row.finished and not self._enough(limit):
                    self._list(row.shard, limit)
            self._look(limit)
            if self._listed() or (self._enough(limit) and not self.failure):
                # Before the misses are counted: a kill in between must not count them twice.
                self.catalog.walks.end(self.walk, complete=self._listed())
            if self._listed():
                self._probe()
        except UNREACHABLE as error:
            self._fail(error)

    def summary(self, refused: str) -> SourceSummary:
        """What came of it; `refused` says why base models could not be asked for, on Hugging Face."""
        hub = self.source.hub
        rows, counts = self.catalog.walks.shards(hub), self.catalog.counts(hub)
        failure = self.failure or (refused if hub is Hub.HUGGINGFACE else "")
        return SourceSummary(
            hub=hub,
            mode=self.walk.mode,
            resumed=self.walk.resumed,
            pages=sum(row.pages for row in rows),
            listed=sum(row.listed for row in rows),
            looked=self.catalog.walks.counts(self.walk)[0],
            waiting=counts["unlooked"],
            changes=change_counts(self.catalog.engine, hub, self.walk.started_at),
            checkpoints=counts["checkpoints"],
            skips=counts["skips"],
            complete=not failure,
            reason=failure,
        )

    def _list(self, shard: str, limit: int | None) -> None:
        """Read one listing to its end; with a limit, look into what each page shows before the next."""
        cursor = self.catalog.walks.cursor(self.source.hub, shard)
        try:
            for page in self.source.pages(shard, cursor, self.walk.since):
                found = self.catalog.commit(self.walk, shard, page, self.source.rules)
                self.progress(self.source.hub, shard, found)
                if limit is not None:
                    self._look(limit)
                    if self._enough(limit):
                        return
        except UNREACHABLE as error:
            self._fail(error)
            self.catalog.walks.fail(self.source.hub, shard, str(error))

    def _look(self, limit: int | None) -> None:
        if not self.settings.look_inside:
            return
        while batch := self.catalog.pending(self.walk, _LOOKS):
            for listing in batch:
                if self._enough(limit):
                    return
                known = list(self.catalog.checkpoints(hub=listing.hub, repo=listing.repo))
                try:
                    rows = self.source.look(listing, known)
                except Enough as enough:
                    logger.info("%s: %s", self.source.hub, enough)
                    return
                found = self.catalog.commit_look(self.walk, listing, rows)
                self.progress(self.source.hub, "looking inside", found)

    def _probe(self) -> None:
        """Count what a full walk missed, and ask for those that were missed often enough."""
        if self.walk.mode is Mode.FULL:
            self.catalog.absences.count(self.walk)
        due = self.catalog.absences.due(self.source.hub, PROBES)
        probes = self.source.probe(due) if due else []
        days = timedelta(days=self.settings.tombstone_days)
        self.catalog.absences.record(self.source.hub, probes, tombstone_after=days)
        shown = [probe.listing for probe in probes if probe.listing and probe.presence is not Presence.GONE]
        self.catalog.commit_probed(self.walk, shown, self.source.rules)
        self._look(None)

    def _enough(self, limit: int | None) -> bool:
        return limit is not None and self.found() >= limit

    def _listed(self) -> bool:
        rows = self.catalog.walks.shards(self.source.hub)
        return not self.failure and all(row.finished for row in rows)

    def _fail(self, error: Exception) -> None:
        self.failure = str(error) or type(error).__name__
        logger.error("%s: the crawl stopped early: %s", self.source.hub, self.failure)


def _name_bases(catalog: Catalog, settings: CrawlerSettings, identify: Identify | None) -> None:
    """Find out whose file a base is that a header names by its digest alone."""
    digests = catalog.identities.unnamed(again_after=timedelta(days=settings.full_pass_days))
    found = identities(catalog.engine, digests)
    try:
        if identify and (rest := [digest for digest in digests if digest not in found]):
            found |= identify(rest)
    except UNREACHABLE as error:
        logger.error("base models by digest: %s; the next crawl asks again", error)
        digests = list(found)
    catalog.identities.remember(digests, found)
    catalog.identities.name()


def _look_up_bases(
    catalog: Catalog, settings: CrawlerSettings, resolve_base: Callable[[str], Base | Skip]
) -> str:
    """Ask for the base models that are named; return why the hub could not be asked, or ""."""
    for repo in catalog.bases.wanted(again_after=timedelta(days=settings.full_pass_days)):
        try:
            catalog.bases.put(resolve_base(repo), repo=repo)
        except UNREACHABLE as error:
            logger.error("base models: the crawl stopped early: %s", error)
            return str(error) or type(error).__name__
    return ""
