"""GET /api/models: which repositories, in which order, and the cursor that follows a page.

The cursor is the hub's: a condition on the last row of the page (a keyset), so that rows that come or go
between two pages make none of the others be lost or repeated.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from starlette.datastructures import QueryParams

from leaksweep.hub.content import milliseconds
from leaksweep.hub.huggingface_rows import Served
from leaksweep.hub.shelf import Key, Shelf

MAX_PAGE = 1000
"""Rows of a page when no limit is given, and the most there are."""

_NUMBERS = {"downloads": "downloads", "likes": "likes", "trendingScore": "trending_score"}
_TIMES = {"lastModified": "last_modified", "createdAt": "created_at"}
SORTS = (*_TIMES, *_NUMBERS)


class BadQuery(ValueError):
    """A query that the hub answers with 400."""


def sort_key(sort: str) -> Callable[[Served], Key]:
    """Return the key by which a repository is listed: the highest value first, then by `_id`."""
    return lambda served: (_rank(sort, _value(sort, served)), served.object_id)


def page(shelf: Shelf[Served], query: QueryParams) -> tuple[list[Served], str | None]:
    """Return the rows of one page, and the cursor of the next; None after the last.

    Raises:
        BadQuery: an unknown sort key, a limit or cursor that cannot be read.
    """
    sort = query.get("sort", "trendingScore")
    if sort not in SORTS:
        options = "|".join(map(json.dumps, SORTS))
        raise BadQuery(f"✖ Invalid option: expected one of {options}\n  → at sort")
    if not query.get("limit", "1").isdecimal():
        raise BadQuery("✖ Invalid input: expected number, received NaN → at limit")
    limit = min(int(query.get("limit", MAX_PAGE)), MAX_PAGE)
    start = _after(query["cursor"], sort) if "cursor" in query else ()
    rows: list[Served] = []
    is_shown = shown(query)
    for key, served in shelf.walk(sort, start, query):
        if key != start and is_shown(served):
            if len(rows) == limit:
                return rows, _cursor(sort, rows[-1], rows[-1].object_id) if rows else None
            rows.append(served)
    return rows, None


def first_cursor(query: QueryParams, first: Served) -> str:
    """Return a cursor that leads to the first page, which begins with this row."""
    sort = query.get("sort", "trendingScore")
    return _cursor(sort, first, "")


def _value(sort: str, served: Served) -> Any:
    return getattr(served.repo, _TIMES.get(sort) or _NUMBERS[sort])


def _rank(sort: str, value: Any) -> int:
    return -(milliseconds(value) if sort in _TIMES else int(value))


def shown(query: QueryParams) -> Callable[[Served], bool]:
    """Return whether the listing of a query has a repository."""
    wanted = set(query.getlist("filter"))
    pipeline, author, gated = query.get("pipeline_tag"), query.get("author"), query.get("gated")
    search = query.get("search", "").lower()

    def is_shown(served: Served) -> bool:
        repo = served.repo
        return (
            not repo.private
            and (not wanted or wanted <= set(served.tags))
            and pipeline in (None, repo.pipeline_tag)
            and author in (None, repo.id.partition("/")[0])
            and (not search or search in repo.id.lower())
            and gated in (None, str(bool(repo.gated)).lower())
        )

    return is_shown


def _cursor(sort: str, last: Served, object_id: str) -> str:
    value = _value(sort, last)
    condition = {"$or": [{sort: value, "_id": {"$gt": object_id}}, {sort: {"$lt": value}}, {sort: None}]}
    return base64.b64encode(json.dumps(condition, separators=(",", ":")).encode()).decode()


def _after(cursor: str, sort: str) -> Key:
    """Return the key of the last row before the page."""
    try:
        same_value = json.loads(base64.b64decode(cursor, validate=True))["$or"][0]
        return _rank(sort, same_value[sort]), str(same_value["_id"]["$gt"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadQuery(f"Invalid cursor for sort={sort}") from error
