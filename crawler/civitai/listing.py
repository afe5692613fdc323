"""Civitai as a source: its listings by type and order, walked from a stored cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx

from crawler.checkpoint import Checkpoint, Hub, Kind, Page, Skip, SkipReason
from crawler.civitai.rows import read_model
from crawler.evidence import families
from crawler.evidence.header_facts import cached_header, header_facts, merge_claims
from crawler.evidence.headers import HeaderError, ranged
from crawler.settings import CrawlerSettings
from crawler.source import HeaderCache, NoCache, SourceError, tally

SORTS = ("Oldest", "Most Downloaded")
"""Orders to list a type in. "Newest" loses a model at every page boundary (civitai#1372). "Oldest" repeats
some, but ends early where more than a page's models share one time. "Most Downloaded" is exact, but moves."""
MAX_PAGE = 100
_SMALLER_PAGES = (10, 1)
"""Page sizes that narrow down a model for which the hub answers a whole page with 500 (civitai#926)."""


class Civitai:
    """Checkpoints of Civitai's public API.

    Args:
        client: its base address is the site's, without /api/v1; it carries the token.
        headers: remembers the headers of weights files between crawls.
        now: the time, for early access.
    """

    hub = Hub.CIVITAI

    def __init__(
        self,
        client: httpx.Client,
        settings: CrawlerSettings,
        headers: HeaderCache | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._settings = settings
        self._headers = headers or NoCache()
        self._now = now
        self._seen: set[str] = set()

    def shards(self) -> Sequence[str]:
        """Each type in each order."""
        types = self._settings.civitai_types
        return [urlencode({"types": name, "sort": order}) for order in SORTS for name in types]

    def pages(self, shard: str, cursor: str | None) -> Iterator[Page]:
        """Yield the pages after `cursor`, short and empty ones included: only a missing cursor is the end.

        A stored cursor that the hub no longer understands, as after an update of its own, restarts the shard.
        """
        stored = cursor
        while True:
            answer = self._ask(shard, cursor)
            restarted = answer.status_code == 400 and cursor is not None and cursor == stored
            if restarted:
                cursor = stored = None
                answer = self._ask(shard, None)
            models, following = _content(answer, shard)
            # A cursor that leads to itself: more than a page's models share one time.
            stuck = following is not None and following == cursor
            fresh = [model for model in models if _id(model) not in self._seen]
            rows, unread = self._rows(fresh)
            cursor = None if stuck else following
            counts = {"restarted": restarted, "stuck": stuck, "headers_unread": unread}
            notes = tally(rows, seen_twice=len(models) - len(fresh), **counts)
            yield Page(rows=tuple(rows), cursor=cursor, notes=notes)
            # The page is committed once the next one is asked for; before that it may have to come again.
            self._seen.update(map(_id, models))
            if cursor is None:
                return

    def _ask(self, shard: str, cursor: str | None) -> httpx.Response:
        """One page; a smaller one where the hub breaks on a model in it."""
        query = [*parse_qsl(shard), ("period", "AllTime"), ("nsfw", "true"), ("archived", "true")]
        query += [("cursor", cursor)] if cursor else []
        limit = min(self._settings.page_size, MAX_PAGE)
        for size in (limit, *(smaller for smaller in _SMALLER_PAGES if smaller < limit)):
            try:
                answer = self._client.get("/api/v1/models", params=[*query, ("limit", str(size))])
            except httpx.HTTPError as error:
                raise _unreadable(shard, f"{type(error).__name__}: {error}") from error
            if answer.status_code != 500:
                break
        return answer

    def _rows(self, models: Sequence[Any]) -> tuple[list[Checkpoint | Skip], int]:
        """The models' rows, and how many headers could not be had."""
        rows: list[Checkpoint | Skip] = []
        unread = 0
        url = str(self._client.base_url).rstrip("/")
        for model in models:
            for row in read_model(model, self._settings, url, self._now()):
                rows.append(row)
                if isinstance(row, Checkpoint) and self._settings.read_headers and _is_open(row, model):
                    try:
                        rows[-1] = self._with_header(row)
                    except HeaderError as error:
                        rows[-1] = _skip(row, error.reason, str(error))
                    except httpx.HTTPError:
                        # The row stands without it: whether the file can be had, the download will tell.
                        unread += 1
        return rows, unread

    def _with_header(self, row: Checkpoint) -> Checkpoint | Skip:
        """The checkpoint with what its header proves and claims."""
        header = cached_header(row.files[0], ranged(self._client, {}), self._headers)
        facts = header_facts(header, self._settings.base_models)
        if facts.kind is None or facts.kind is Kind.TEXTUAL_INVERSION:
            return _skip(row, SkipReason.UNSUPPORTED_KIND, f"its header says: {facts.kind_name}")
        family = facts.family or row.family
        if not families.scannable(family):
            return _skip(row, SkipReason.UNSUPPORTED_FAMILY, f"{family}, by its header", family)
        return replace(
            row,
            kind=facts.kind,
            family=family,
            claims=merge_claims(facts.claims, row.claims),
            prompts=(*facts.prompts, *row.prompts),
            training=facts.training,
        )


def _is_open(row: Checkpoint, model: Any) -> bool:
    """Whether the listing leaves open what a header could tell: an adapter's captions, or its kind."""
    return row.kind is not Kind.FULL and (not row.prompts or model["type"] == "LoCon")


def _content(answer: httpx.Response, shard: str) -> tuple[list[Any], str | None]:
    """Models and next cursor of an answer.

    Raises:
        SourceError: it is an error, or no page of models.
    """
    if answer.status_code != 200:
        raise _unreadable(shard, f"status {answer.status_code}: {answer.text[:200]}")
    try:
        content = answer.json()
    except ValueError as error:
        raise _unreadable(shard, "the answer is no JSON; the site may refuse your region") from error
    match content:
        case {"items": [*models]}:
            metadata = content.get("metadata")
            following = metadata.get("nextCursor") if isinstance(metadata, dict) else None
            return models, None if following in (None, "") else str(following)
        case _:
            raise _unreadable(shard, "the answer holds no list of models")


def _unreadable(shard: str, reason: str) -> SourceError:
    return SourceError(f"civitai, listing {shard!r}: {reason}; crawl again, it goes on from this page")


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


def _id(model: Any) -> str:
    return str(model.get("id")) if isinstance(model, dict) else repr(model)
