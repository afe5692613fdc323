"""Headers of Civitai's files, read where the listing leaves something open.

Each redirect to a file counts as a download: in the model's public statistics, and towards a limit of the day
that the hub keeps for the account and does not tell. So no header is read twice, and few in one crawl.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import httpx

from crawler.checkpoint import Checkpoint, Listing, Skip, SkipReason
from crawler.civitai.listed import is_open, kept_skips, kept_type
from crawler.evidence import families
from crawler.evidence.captions import best_prompts
from crawler.evidence.header_facts import Observe, cached_header, header_facts
from crawler.evidence.headers import Header, HeaderError, ranged
from crawler.evidence.resolve import best_first, resolve
from crawler.evidence.training_metadata import merge_training
from crawler.settings import CrawlerSettings
from crawler.source import Enough, HeaderCache

logger = logging.getLogger(__name__)

_REFUSALS = {
    401: (SkipReason.GATED, "its author has switched downloads off, or wants a login"),
    403: (SkipReason.GATED, "early access, or access was not granted"),
    404: (SkipReason.UNREACHABLE, "the hub does not find the file"),
    410: (SkipReason.ARCHIVED, "archived"),
}
"""What the hub's own answers to a download mean for a file."""


class Headers:
    """Reads headers, as many as one crawl may.

    Args:
        client: carries the token; follows redirects, and leaves the token behind.
        observe: finds what headers give away of people; None: nothing of that is kept.
    """

    def __init__(
        self, client: httpx.Client, settings: CrawlerSettings, cache: HeaderCache, observe: Observe | None
    ) -> None:
        self._observe = observe
        self._home = client.base_url.host
        self._read = ranged(client, {})
        self._settings = settings
        self._cache = cache
        self._left = settings.civitai_headers_per_crawl

    def look(self, listing: Listing, rows: Sequence[Checkpoint]) -> list[Checkpoint | Skip]:
        """All rows of a model, with what the headers prove and claim.

        Raises:
            Enough: this crawl's headers are spent, or the hub calls the downloads unusually many.
            httpx.TransportError: the hub is away, or left alone.
        """
        skips = list(kept_skips(listing))
        if not self._settings.read_headers:
            return [*rows, *skips]
        kind = kept_type(listing)
        read = [more for row in rows for more in (self._with_header(row) if is_open(row, kind) else (row,))]
        return [*read, *skips]

    def _with_header(self, row: Checkpoint) -> Iterator[Checkpoint | Skip]:
        try:
            yield self._enriched(row, self._header(row))
        except HeaderError as error:
            yield _skip(row, error.reason, str(error))
        except httpx.HTTPStatusError as error:
            yield from self._refused(row, error.response)
        except httpx.TransportError as error:
            if error.request.url.host == self._home:
                raise
            yield from _later(row, f"its storage does not answer ({type(error).__name__})")

    def _header(self, row: Checkpoint) -> Header:
        (file,) = row.files
        if self._cache.header(file.sha256 or "") is None:
            if self._left <= 0:
                raise Enough(
                    f"{self._settings.civitai_headers_per_crawl} headers were read from Civitai "
                    "(crawler.civitai_headers_per_crawl); the next crawl reads on"
                )
            self._left -= 1
        return cached_header(file, self._read, self._cache)

    def _refused(self, row: Checkpoint, answer: httpx.Response) -> Iterator[Checkpoint | Skip]:
        at_home, status = answer.url.host == self._home, answer.status_code
        if at_home and status == 429:
            self._left = 0
            raise Enough("Civitai calls the downloads of this account unusually many: no headers for a day")
        if at_home and status in _REFUSALS:
            reason, why = _REFUSALS[status]
            yield _skip(row, reason, f"status {status} for its header: {why}")
            return
        yield from _later(row, f"status {status} for its header")

    def _enriched(self, row: Checkpoint, header: Header) -> Checkpoint | Skip:
        facts = header_facts(header, self._settings.base_models, self._observe)
        if facts.wish:
            return _skip(row, SkipReason.OPTED_OUT, facts.wish)
        if facts.kind is None:
            return _skip(row, SkipReason.UNSUPPORTED_KIND, f"its header says: {facts.kind_name}")
        claims = best_first((*facts.claims, *row.claims))
        family = facts.family or resolve(claims).family or row.family
        if not families.scannable(family):
            detail = f"{families.without_loader(family)}; by its header"
            return _skip(row, SkipReason.UNSUPPORTED_FAMILY, detail, family)
        return replace(
            row,
            kind=facts.kind,
            family=family,
            claims=claims,
            prompts=best_prompts(*facts.prompts, *row.prompts),
            training=merge_training(facts.training, row.training),
            observations=facts.observations,
        )


def _later(row: Checkpoint, why: str) -> Iterator[Checkpoint | Skip]:
    """The row stands: whether the file can be had, its download will tell. The skip brings us back to it."""
    yield row
    skip = _skip(row, SkipReason.DOWNLOAD_FAILED, f"{why}; asked for again by the next crawl")
    yield replace(skip, path=f"{row.path} (header)")


def _skip(row: Checkpoint, reason: SkipReason, detail: str, family: str | None = None) -> Skip:
    return Skip(
        hub=row.hub,
        repo=row.repo,
        revision=row.revision,
        path=row.path,
        reason=reason,
        detail=detail,
        kind=row.kind,
        family=family or row.family,
    )
