"""GET /models: which models, in which order, and a cursor with the hub's three ways of treating a page's end.

The cursor is written from the first row after the page. With the sorts by rating and downloads the next
page starts there, and nothing is lost. With Newest it starts after that row, which no page ever shows. With
Oldest it starts at the first row of the same time, so that rows come twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from leaksweep.hub.civitai_vocabulary import MODEL_TYPES
from leaksweep.hub.content import CivitaiModel

_PG = 1
_MAX_PAGE = 100
_MAX_OFFSET = 1000
_BY_TIME = ("Newest", "Oldest")
SORTS = (
    "Highest Rated", "Most Downloaded", "Most Liked", "Most Discussed", "Most Collected", "Most Images",
    *_BY_TIME,
)  # fmt: skip
_CURSORS = {"stats": re.compile(r"(\d+)\|(\d+)\|(\d+)"), "time": re.compile(r"([\d :.-]+)\|(\d+)")}


class Refused(Exception):
    """A query that the hub does not answer with a page."""

    def __init__(self, status: int, error: object) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


@dataclass(frozen=True, slots=True)
class Listing:
    """A page."""

    models: tuple[CivitaiModel, ...]
    next_cursor: str | None
    page: int | None
    """Set when the page was asked for by number."""
    limit: int


def listing(models: Sequence[CivitaiModel], query: QueryParams, *, member: bool) -> Listing:
    """Return the page a query asks for.

    Args:
        member: the query came with a valid token.

    Raises:
        Refused: a parameter is not what it may be.
    """
    limit = _integer(query, "limit", 0, _MAX_PAGE, default=_MAX_PAGE)
    by_number = "page" in query and "cursor" not in query
    number = _integer(query, "page", 1, None, default=1) if by_number else None
    if number is not None and "query" in query:
        raise Refused(400, "Cannot use page param with query search. Use cursor-based pagination.")
    if number is not None and number * limit > _MAX_OFFSET:
        raise Refused(429, "You've requested too many pages, please use cursors instead")
    if not member and ("favorites" in query or "hidden" in query):
        raise Refused(401, "Unauthorized")
    sort = query.get("sort", "Highest Rated")
    if sort not in SORTS:
        raise _invalid("sort", f"Invalid option: expected one of {'|'.join(SORTS)}")
    found = [model for model in models if _listed(model, query) and _wanted(model, query)]
    if "query" in query:
        return _search(found, query, limit)
    rows = _ordered(found, sort)
    if number is not None:
        rows = rows[(number - 1) * limit :]
    elif "cursor" in query:
        keep = _after(query["cursor"], sort)
        rows = [model for model in rows if keep(model)]
    following = rows[limit] if len(rows) > limit else None
    return Listing(tuple(rows[:limit]), _cursor(following, sort) if following else None, number, limit)


def _listed(model: CivitaiModel, query: QueryParams) -> bool:
    """Apply the rules about what is listed at all."""
    levels = model.nsfw_level if query.get("nsfw") == "true" else model.nsfw_level & _PG
    hidden = model.poi or model.minor or model.availability == "Private"
    return bool(levels) and not hidden and (model.mode != "Archived" or bool(query.get("archived")))


def _wanted(model: CivitaiModel, query: QueryParams) -> bool:
    """Apply the query's filters. Every one may be repeated; values of one are alternatives."""
    types = query.getlist("types")
    for kind in types:
        if kind not in MODEL_TYPES:
            raise _invalid("types", f"Invalid option: expected one of {'|'.join(MODEL_TYPES)}")
    bases = set(query.getlist("baseModels"))
    ids = set(query["ids"].split(",")) if "ids" in query else None
    return (
        (not types or model.type in types)
        and (not bases or any(version.base_model in bases for version in model.versions))
        and (ids is None or str(model.id) in ids)
        and query.get("username") in (None, model.creator)
        and ("tag" not in query or query["tag"] in model.tags)
    )


def _search(found: Sequence[CivitaiModel], query: QueryParams, limit: int) -> Listing:
    """Page through a text search: the cursor is an offset."""
    offset = _integer(query, "cursor", 0, None, default=0)
    rows = [model for model in found if query["query"].lower() in model.name.lower()]
    more = len(rows) > offset + limit
    return Listing(tuple(rows[offset : offset + limit]), str(offset + limit) if more else None, None, limit)


def _ordered(models: Sequence[CivitaiModel], sort: str) -> list[CivitaiModel]:
    if sort == "Newest":
        return sorted(models, key=lambda model: (model.last_version_at, model.id), reverse=True)
    if sort == "Oldest":
        return sorted(models, key=lambda model: (model.last_version_at, model.id))
    return sorted(models, key=lambda model: _rank(model, sort))


def _rank(model: CivitaiModel, sort: str) -> tuple[int, int, int]:
    first, second = model.thumbs_up, model.downloads
    return (-second, -first, model.id) if sort == "Most Downloaded" else (-first, -second, model.id)


def _cursor(model: CivitaiModel, sort: str) -> str:
    if sort in _BY_TIME:
        return f"{_postgres_time(model.last_version_at)}|{model.id}"
    first, second, last = _rank(model, sort)
    return f"{-first}|{-second}|{last}"


def _after(cursor: str, sort: str) -> Callable[[CivitaiModel], bool]:
    """Return the condition a cursor stands for, the hub's own mistakes included."""
    parts = _CURSORS["time" if sort in _BY_TIME else "stats"].fullmatch(cursor)
    if not parts:
        raise Refused(400, f"Invalid cursor: {cursor}")
    if sort == "Oldest":
        return lambda model: _postgres_time(model.last_version_at) >= parts[1]
    if sort == "Newest":
        last = (parts[1], int(parts[2]))
        return lambda model: (_postgres_time(model.last_version_at), model.id) < last
    start = (-int(parts[1]), -int(parts[2]), int(parts[3]))
    return lambda model: _rank(model, sort) >= start


def _postgres_time(iso: str) -> str:
    """Return a time as the database prints it: a space, no zone, no trailing zeros."""
    date, _, fraction = iso.removesuffix("Z").replace("T", " ").partition(".")
    return f"{date}.{fraction}".rstrip("0").rstrip(".") if fraction else date


def _integer(query: QueryParams, name: str, low: int, high: int | None, *, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) < low or (high is not None and int(text) > high):
        allowed = f"from {low} to {high}" if high is not None else f"from {low}"
        raise _invalid(name, f"Invalid input: expected a number {allowed}")
    return int(text)


def _invalid(parameter: str, message: str) -> Refused:
    return Refused(400, {"name": "ZodError", "issues": [{"path": [parameter], "message": message}]})
