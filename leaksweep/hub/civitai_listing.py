"""GET /models: which models, in which order, and a cursor with the hub's three ways of treating a page's end.

The cursor is written from the first row after the page. With the sorts by rating and downloads the next
page starts there, and nothing is lost. With Newest it starts after that row, which no page ever shows. With
Oldest it starts at the first row of the same time, so that rows come twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from starlette.datastructures import QueryParams

from leaksweep.hub.civitai_vocabulary import MODEL_TYPES
from leaksweep.hub.content import CivitaiModel, milliseconds
from leaksweep.hub.shelf import Key, Shelf

_PG, _ANY = 1, 31
"""Bits of the level: PG, and whichever of the five."""
MAX_PAGE = 100
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


def listing(shelf: Shelf[CivitaiModel], query: QueryParams, *, member: bool) -> Listing:
    """Return the page a query asks for.

    Args:
        member: the query came with a valid token.

    Raises:
        Refused: a parameter is not what it may be.
    """
    limit = _integer(query, "limit", 0, MAX_PAGE, default=MAX_PAGE)
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
    keep = filtered(query)
    if "query" in query:
        return _search((model for _, model in shelf.walk(sort, (), query) if keep(model)), query, limit)
    start = _after(query["cursor"], sort) if "cursor" in query else ()
    rows = (model for _, model in _candidates(shelf, query, sort, start) if keep(model))
    skipped = (number - 1) * limit if number else 0
    page = list(islice(rows, skipped, skipped + limit + 1))
    following = page[limit] if len(page) > limit else None
    return Listing(tuple(page[:limit]), _cursor(following, sort) if following else None, number, limit)


def sort_key(sort: str) -> Callable[[CivitaiModel], Key]:
    """Return the key by which a model is listed."""
    if sort == "Newest":
        return lambda model: (-milliseconds(model.last_version_at), -model.id)
    if sort == "Oldest":
        return lambda model: (milliseconds(model.last_version_at), model.id)
    return lambda model: (_stats(model, sort), model.id)


def _candidates(
    shelf: Shelf[CivitaiModel], query: QueryParams, sort: str, start: Key
) -> Iterator[tuple[Key, CivitaiModel]]:
    """Yield the models from a key on, with their keys; those named by `ids` without a walk."""
    if "ids" not in query:
        yield from shelf.walk(sort, start, query)
        return
    key = sort_key(sort)
    found = (shelf.find(name) for name in dict.fromkeys(query["ids"].split(",")))
    pairs = ((key(model), model) for model in found if model)
    yield from sorted((pair for pair in pairs if pair[0] >= start), key=lambda pair: pair[0])


def filtered(query: QueryParams) -> Callable[[CivitaiModel], bool]:
    """Return whether a model is listed, by the hub's rules and the query's filters.

    Every filter may be repeated; values of one are alternatives.
    """
    types = query.getlist("types")
    for kind in types:
        if kind not in MODEL_TYPES:
            raise _invalid("types", f"Invalid option: expected one of {'|'.join(MODEL_TYPES)}")
    bases = set(query.getlist("baseModels"))
    username, tag = query.get("username"), query.get("tag")
    levels = _ANY if query.get("nsfw") == "true" else _PG
    archived = bool(query.get("archived"))

    def keep(model: CivitaiModel) -> bool:
        hidden = model.poi or model.minor or model.availability == "Private"
        return (
            bool(model.nsfw_level & levels)
            and not hidden
            and (archived or model.mode != "Archived")
            and (not types or model.type in types)
            and (not bases or any(version.base_model in bases for version in model.versions))
            and username in (None, model.creator)
            and (tag is None or tag in model.tags)
        )

    return keep


def _search(found: Iterable[CivitaiModel], query: QueryParams, limit: int) -> Listing:
    """Page through a text search: the cursor is an offset."""
    offset = _integer(query, "cursor", 0, None, default=0)
    rows = (model for model in found if query["query"].lower() in model.name.lower())
    page = list(islice(rows, offset, offset + limit + 1))
    following = str(offset + limit) if len(page) > limit else None
    return Listing(tuple(page[:limit]), following, None, limit)


def _stats(model: CivitaiModel, sort: str) -> tuple[int, int]:
    first, second = model.thumbs_up, model.downloads
    return (-second, -first) if sort == "Most Downloaded" else (-first, -second)


def _cursor(model: CivitaiModel, sort: str) -> str:
    if sort in _BY_TIME:
        return f"{_postgres_time(model.last_version_at)}|{model.id}"
    first, second = _stats(model, sort)
    return f"{-first}|{-second}|{model.id}"


def first_cursor(query: QueryParams, first: CivitaiModel) -> str:
    """Return a cursor that leads to the first page, which begins with this model."""
    sort = query.get("sort", "Highest Rated")
    if sort == "Newest":
        return f"{_postgres_time(first.last_version_at)}|{first.id + 1}"
    return _cursor(first, sort)


def _after(cursor: str, sort: str) -> Key:
    """Return the key from which a cursor's page starts, the hub's own mistakes included."""
    parts = _CURSORS["time" if sort in _BY_TIME else "stats"].fullmatch(cursor)
    if not parts:
        raise Refused(400, f"Invalid cursor: {cursor}")
    if sort not in _BY_TIME:
        return (-int(parts[1]), -int(parts[2])), int(parts[3])
    try:
        time = milliseconds(parts[1])
    except ValueError as error:
        raise Refused(400, f"Invalid cursor: {cursor}") from error
    # Keys are whole numbers: half a step further on is past the cursor's own row.
    return (time,) if sort == "Oldest" else (-time, 0.5 - int(parts[2]))


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
