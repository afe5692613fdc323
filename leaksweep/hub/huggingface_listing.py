"""GET /api/models: which repositories, in which order, and the cursor that follows a page.

The cursor is the hub's: a condition on the last row of the page (a keyset), so that rows that come or go
between two pages make none of the others be lost or repeated.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import QueryParams

from leaksweep.hub.huggingface_rows import Served

MAX_PAGE = 1000
"""Rows of a page when no limit is given, and the most there are."""

_SORT_KEYS = {
    "lastModified": "last_modified",
    "createdAt": "created_at",
    "downloads": "downloads",
    "likes": "likes",
    "trendingScore": "trending_score",
}


class BadQuery(ValueError):
    """A query that the hub answers with 400."""


def page(repos: Iterable[Served], query: QueryParams) -> tuple[list[Served], str | None]:
    """Return the rows of one page, and the cursor of the next; None after the last.

    Raises:
        BadQuery: an unknown sort key, a limit or cursor that cannot be read.
    """
    key = query.get("sort", "trendingScore")
    if key not in _SORT_KEYS:
        options = "|".join(map(json.dumps, _SORT_KEYS))
        raise BadQuery(f"✖ Invalid option: expected one of {options}\n  → at sort")
    if not query.get("limit", "1").isdecimal():
        raise BadQuery("✖ Invalid input: expected number, received NaN → at limit")
    limit = min(int(query.get("limit", MAX_PAGE)), MAX_PAGE)
    attribute = _SORT_KEYS[key]
    rows = [served for served in repos if not served.repo.private and _matches(served, query)]
    rows.sort(key=lambda served: served.object_id)
    rows.sort(key=lambda served: getattr(served.repo, attribute), reverse=True)
    if "cursor" in query:
        value, last_id = _after(query["cursor"], key)

        def follows(served: Served) -> bool:
            found = getattr(served.repo, attribute)
            return bool(found < value or (found == value and served.object_id > last_id))

        rows = list(filter(follows, rows))
    last = rows[limit - 1] if 0 < limit < len(rows) else None
    return rows[:limit], _cursor(key, getattr(last.repo, attribute), last.object_id) if last else None


def _matches(served: Served, query: QueryParams) -> bool:
    repo, tags = served.repo, set(served.tags)
    return (
        all(tag in tags for tag in query.getlist("filter"))
        and query.get("pipeline_tag") in (None, repo.pipeline_tag)
        and query.get("author") in (None, repo.id.split("/")[0])
        and query.get("search", "").lower() in repo.id.lower()
        and query.get("gated") in (None, str(bool(repo.gated)).lower())
    )


def _cursor(key: str, value: Any, object_id: str) -> str:
    condition = {"$or": [{key: value, "_id": {"$gt": object_id}}, {key: {"$lt": value}}, {key: None}]}
    return base64.b64encode(json.dumps(condition, separators=(",", ":")).encode()).decode()


def _after(cursor: str, key: str) -> tuple[Any, str]:
    try:
        same_value = json.loads(base64.b64decode(cursor, validate=True))["$or"][0]
        return same_value[key], same_value["_id"]["$gt"]
    except (binascii.Error, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadQuery(f"Invalid cursor for sort={key}") from error
