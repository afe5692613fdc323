"""One listing of the Hugging Face Hub, walked page by page from a cursor of our own.

The hub's cursors are keysets: they name the last row of a page, so that rows which come or go lose none of
the others, and any page size fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from crawler.huggingface.cursors import NoCursor, following, unpacked
from crawler.huggingface.files import Files, HubError, refusal
from crawler.huggingface.rows import BARE, EXPAND, updated
from crawler.source import SourceError

MAX_EMPTY = 100
"""Pages without a row in a row (with a cursor each) after which a listing counts as endless."""
_DAMAGED = (500, 504)
"""What the hub answers when one row of the page is broken, or the page takes too long to put together."""
_SHRINK = 8
"""From 1,000 rows to one it takes four failures: a fifth in a row would have the host left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A page of a listing, as it came."""

    rows: list[Any]
    cursor: str | None
    """None after the last page."""
    notes: dict[str, int] = field(default_factory=dict)


class _Damaged(Exception):
    """A page that the hub cannot give as it was asked for; a smaller one may go."""


class _Refused(Exception):
    """A query that the hub does not understand: with a cursor, most likely that one."""


class ListingWalk:
    """Walks one listing, once.

    Args:
        shard: the listing's query, such as "filter=lora".
        since: of an increment: the rows come by their last change, and the walk ends behind this. Otherwise
            they come by their creation, whose date never changes, so that none moves while they are read.
    """

    def __init__(self, files: Files, url: str, shard: str, page_size: int, since: datetime | None) -> None:
        self._files = files
        self._url = url
        self._shard = shard
        self._page_size = page_size
        self._limit = page_size
        self._since = since

    def pages(self, cursor: str | None) -> Iterator[Rows]:
        """Yield the pages after `cursor`. One that the hub refuses makes the walk begin anew, once.

        Raises:
            SourceError: the hub does not answer, or not as documented, or the listing does not end.
        """
        seen = {hash(cursor)}
        begun_again, empty = False, 0
        notes: dict[str, int] = {}
        while True:
            try:
                page = self._page(cursor)
                if page.cursor and hash(page.cursor) in seen:
                    page = self._page(cursor)
            except _Refused as error:
                if cursor is None or begun_again:
                    raise self._error(f"the query is refused: {error}") from error
                cursor, begun_again, notes = None, True, {"begun_again": 1}
                seen = {hash(cursor)}
                continue
            if page.cursor and hash(page.cursor) in seen:
                raise self._error("it goes round in circles: the next page's cursor is an earlier one's")
            empty = 0 if page.rows else empty + 1
            if empty > MAX_EMPTY:
                raise self._error(f"{empty} empty pages in a row, and no end")
            cursor = None if self._is_behind(page.rows) else page.cursor
            seen.add(hash(cursor))
            notes |= page.notes | ({} if page.rows else {"empty_pages": 1})
            yield Rows(rows=page.rows, cursor=cursor, notes=notes)
            notes = {}
            if cursor is None:
                return

    def _is_behind(self, rows: list[Any]) -> bool:
        """Whether the page ends before what an increment asks for; a row without a date does not tell."""
        last = updated(rows[-1]) if rows and self._since else None
        return bool(last and self._since and last < self._since)

    def _page(self, cursor: str | None) -> Rows:
        """The page after a cursor; a smaller one where the hub fails at this one.

        A single row at which it fails is asked for with fewer fields, so that the rest stays within reach:
        it then comes without tags.
        """
        whole = True
        while True:
            try:
                page = self._ask(cursor, self._limit, EXPAND if whole else BARE)
            except _Damaged as error:
                if self._limit > 1:
                    self._limit = max(1, self._limit // _SHRINK)
                elif whole:
                    whole = False
                else:
                    raise self._error(f"one row can not be had: {error}") from error
                continue
            if not whole:
                page.notes["damaged_rows"] = len(page.rows)
            if self._limit < self._page_size:
                page.notes["smaller_pages"] = 1
                self._limit = min(self._page_size, 2 * self._limit)
            return page

    def _ask(self, cursor: str | None, limit: int, fields: tuple[str, ...]) -> Rows:
        query = [*parse_qsl(self._shard), ("sort", "lastModified" if self._since else "createdAt")]
        query += [("limit", str(limit)), *(("expand", name) for name in fields)]
        try:
            response = self._files.get(self._url, [*query, *unpacked(cursor)])
        except HubError as error:
            raise self._sorted(error) from error
        kind = response.headers.get("Content-Type", "")
        if "json" not in kind:
            message = (
                f"a page of type {kind[:50]!r} in place of JSON; check crawler.huggingface_url and the proxy"
            )
            raise self._error(message)
        try:
            rows = response.json()
        except (ValueError, RecursionError) as error:
            raise _Damaged(f"the answer is no JSON that can be read: {str(error)[:100]}") from error
        if not isinstance(rows, list):
            raise self._error("the answer is no list; check crawler.huggingface_url")
        try:
            return Rows(rows=rows, cursor=following(response, query))
        except NoCursor as error:
            raise self._error(str(error)) from error

    def _sorted(self, error: Exception) -> Exception:
        """The error to go on with: damage, a refused query, or the end of the walk."""
        answer = getattr(error, "response", None)
        if answer is not None and answer.status_code in _DAMAGED:
            return _Damaged(f"status {answer.status_code}")
        if answer is not None and answer.status_code == 400:
            return _Refused(" ".join(str(error).split())[:300])
        try:
            _, detail = refusal(error)
        except SourceError as away:
            detail = str(away)
        return self._error(detail)

    def _error(self, what: str) -> SourceError:
        return SourceError(
            f"{self._url}, listing {self._shard!r}: {what}; the next crawl goes on from this page"
        )
