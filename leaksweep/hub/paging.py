"""Faults of a listing's pages and cursors, the same on both hubs."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from starlette.datastructures import QueryParams
from starlette.requests import Request

from leaksweep.hub.faults import Striker
from leaksweep.hub.limits import Clock

_REMEMBERED = 100_000
"""Cursors whose time is known; older ones count as expired."""


class Paging:
    """Decides what is wrong with a page.

    Args:
        lifetime: of cursors, in seconds; None for ever.
    """

    def __init__(self, host: str, striker: Striker, clock: Clock, lifetime: int | None) -> None:
        self._host = host
        self._striker = striker
        self._clock = clock
        self._lifetime = lifetime
        self._issued: OrderedDict[str, float] = OrderedDict()

    def refuses(self, request: Request) -> bool:
        """Whether the request has a cursor that is not, or no longer, good."""
        cursor = request.query_params.get("cursor")
        if cursor is None:
            return False
        if self._lifetime is not None and self._clock() > self._issued.get(cursor, 0.0) + self._lifetime:
            return True
        if self._host == "civitai" and self._strikes("cursor_arity", request):
            return True
        return self._strikes("expired_cursor", request)

    def query(self, request: Request, most: int) -> QueryParams:
        """Return the request's query, with half of its limit where the page is to be short.

        Args:
            most: rows of a page when the query does not say.
        """
        query, limit = request.query_params, request.query_params.get("limit", str(most))
        if not limit.isdecimal() or int(limit) < 2 or not self._strikes("short_page", request):
            return query
        kept = [pair for pair in query.multi_items() if pair[0] != "limit"]
        return QueryParams([*kept, ("limit", str(min(int(limit), most) // 2))])

    def turn(self, request: Request) -> Literal["next", "same", "empty"]:
        """Where the page's cursor leads, and whether the page has any rows before it."""
        if self._strikes("empty_page", request):
            return "empty"
        return "same" if self._strikes("looping_cursor", request) else "next"

    def leads_away(self, request: Request) -> bool:
        """Whether the link to the next page names a foreign host."""
        return self._strikes("foreign_next", request)

    def issue(self, cursor: str) -> None:
        """Remember when a cursor was given out."""
        if self._lifetime is not None:
            self._issued[cursor] = self._clock()
            while len(self._issued) > _REMEMBERED:
                self._issued.popitem(last=False)

    def _strikes(self, name: str, request: Request) -> bool:
        return self._striker.strikes(name, f"{self._host}{request.url.path}", request.url.query)
