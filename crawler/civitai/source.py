"""Civitai as a source: its listings, looks into files, and probes, as the crawl asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from crawler.checkpoint import Checkpoint, Hub, Listing, Page, Probe, Skip, SkipReason
from crawler.civitai.api import MAX_PAGE, Api
from crawler.civitai.cursors import Order, Place
from crawler.civitai.headers import Headers
from crawler.civitai.listed import listing
from crawler.civitai.membership import check_member
from crawler.civitai.newest import newest
from crawler.civitai.probe import probe
from crawler.civitai.rows import read_model
from crawler.civitai.shards import order_of, query_of, shard_names
from crawler.civitai.walk import walk
from crawler.evidence.header_facts import Observe
from crawler.settings import CrawlerSettings
from crawler.source import HeaderCache, Mode, NoCache, rules_of, tally

_DECIDE = ("opt_out", "max_file_bytes", "base_models", "read_headers", "civitai_url")
"""Settings that decide what becomes of a model; the address stands in its files' addresses."""


class Civitai:
    """Checkpoints of Civitai's public API.

    Args:
        client: its base address is the site's, without /api/v1; it carries the token.
        headers: remembers the headers of weights files between crawls.
        now: the time, for early access.
        observe: finds what headers give away of people; None: nothing of that is kept.
    """

    hub = Hub.CIVITAI

    def __init__(
        self,
        client: httpx.Client,
        settings: CrawlerSettings,
        headers: HeaderCache | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        observe: Observe | None = None,
    ) -> None:
        self._client = client
        self._api = Api(client)
        self._settings = settings
        self._url = str(client.base_url).rstrip("/")
        self._now = now
        self._headers = Headers(client, settings, headers or NoCache(), observe)
        self._rules = rules_of(settings, _DECIDE)

    @property
    def rules(self) -> str:
        """16 hex digits over the version and the settings that decide what becomes of a model."""
        return self._rules

    def shards(self, mode: Mode) -> Sequence[str]:
        """See `crawler.civitai.shards`. Every crawl begins here, so this is where the token is checked.

        Raises:
            SourceError: there is no token, or one that the hub does not know.
        """
        check_member(self._client, self._api)
        return shard_names(mode, self._settings.civitai_types, self._api)

    def pages(self, shard: str, cursor: str | None, since: datetime | None) -> Iterator[Page]:
        """Yield the pages after `cursor`; each holds the models that its own boundary swallowed, if any."""
        order, query = order_of(shard), query_of(shard)
        limit = min(self._settings.page_size, MAX_PAGE)
        if order is Order.NEWEST:
            for piece in newest(self._api, query, Place.read(cursor), since, limit):
                following = piece.place.text() if piece.place else None
                yield self._page(piece.models, following, piece.broken, piece.notes)
            return
        for step in walk(self._api, query, order, cursor, limit):
            yield self._page(step.models, step.following, step.broken, step.notes)

    def look(self, listing: Listing, rows: Sequence[Checkpoint]) -> Sequence[Checkpoint | Skip]:
        """Read the headers of the rows that leave something open; see `crawler.civitai.headers`."""
        return self._headers.look(listing, rows)

    def probe(self, listings: Sequence[Listing]) -> Sequence[Probe]:
        """Ask for models by their ids; see `crawler.civitai.probe`."""
        return probe(self._api, listings, lambda model: self._read(model)[0])

    def _page(
        self, models: Sequence[Any], cursor: str | None, broken: Sequence[int], notes: dict[str, int]
    ) -> Page:
        listings: dict[str, Listing] = {}
        rows: list[Checkpoint | Skip] = []
        for model in models:
            about, found = self._read(model)
            if about is not None and about.number in listings:
                continue
            if about is not None:
                listings[about.number] = about
            rows += found
        rows += [_broken(number) for number in broken if str(number) not in listings]
        counts = tally(rows, **notes)
        return Page(rows=tuple(rows), cursor=cursor, listings=tuple(listings.values()), notes=counts)

    def _read(self, model: Any) -> tuple[Listing | None, list[Checkpoint | Skip]]:
        now = self._now()
        rows = list(read_model(model, self._settings, self._url, now))
        return listing(model, rows, now), rows


def _broken(number: int) -> Skip:
    detail = "the hub answers 500 whenever this model is asked for; it may be listed again another day"
    return Skip(
        hub=Hub.CIVITAI, repo=str(number), revision="", path="", reason=SkipReason.MALFORMED, detail=detail
    )
