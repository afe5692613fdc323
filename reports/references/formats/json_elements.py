"""The objects of a JSON list, one after the other, wherever in the document they lie.

A list may be an array, an object with an array in it, or several documents on end, as one gets by
writing the pages of an API into one file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import ijson

from reports.finding import ReportError
from reports.references.formats.files import HEAD, Stream, head_of, readable
from reports.references.formats.listed import Place

DEEPEST = 64
"""Levels of nesting. A document of brackets alone would fill the memory with the paths to them."""
_ITEM = "item"
"""What stands in a path for the place in an array."""
_STEPS = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
"""Levels that an event goes down or up."""


def whereabouts(head: bytes, keys: Set[str]) -> tuple[str, ...] | None:
    """Return the path of the outermost objects that have one of these keys; None: there are none.

    Args:
        head: the document's first bytes, cut off anywhere.
    """
    found: list[tuple[str, ...]] = []
    path: list[str] = []
    try:
        for event, value in ijson.basic_parse(io.BytesIO(head), multiple_values=True):
            if event == "map_key":
                path[-1] = value
                if value in keys:
                    found.append(tuple(path[:-1]))
            elif _STEPS.get(event) == 1:
                path.append(_ITEM)
            elif event in _STEPS:
                path.pop()
            if len(path) > DEEPEST:
                break
    except (ijson.JSONError, ValueError):
        # It is cut off, or broken; whoever reads it whole will say where.
        pass
    return min(found, key=len, default=None)


def elements(path: Path, keys: Set[str], what: str) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Yield the objects that have these keys, each with its place.

    Raises:
        ReportError: the file cannot be read, is no JSON, or holds no such objects.
    """
    at = whereabouts(head_of(path), keys)
    if at is None:
        raise ReportError(
            f"{path.name}: no {what} in its first {HEAD >> 10} KiB; "
            "export the list again, or name its format with --format"
        )
    with readable(path), path.open("rb") as file:
        stream = Stream(file, path.name)
        found = _values(stream, list(at))
        while True:
            place = Place(path.name, f"element {stream.entries + 1}")
            try:
                element = next(found, None)
            except ijson.IncompleteJSONError:
                raise place.fault("the file ends in it, or it is no JSON", "export the list again") from None
            except (ijson.JSONError, ValueError):
                raise place.fault("is no JSON", "export the list again") from None
            except _TooDeep:
                raise place.fault(f"is nested more than {DEEPEST} levels deep") from None
            if element is None:
                return
            if not isinstance(element[0], dict):
                raise place.fault("is no object")
            stream.ended()
            yield place, element[0]


class _TooDeep(Exception):
    """The document is nested too deep."""


def _values(stream: Stream, at: list[str]) -> Iterator[tuple[Any]]:
    """Yield each value at a path. ijson's own `items` would be twice as fast, but has no limit of depth."""
    path: list[str] = []
    builder = ijson.ObjectBuilder()
    building = 0
    for event, value in ijson.basic_parse(stream, multiple_values=True, use_float=True, buf_size=HEAD):
        step = _STEPS.get(event, 0)
        if building:
            builder.event(event, value)
            if step:
                building += step
                if not building:
                    yield (builder.value,)
                elif building > DEEPEST:
                    raise _TooDeep
        elif event == "map_key":
            path[-1] = value
        elif step < 0:
            path.pop()
        elif path == at and event != "start_array":
            if step:
                builder, building = ijson.ObjectBuilder(), 1
                builder.event(event, value)
            else:
                yield (value,)
        elif step:
            path.append(_ITEM)
            if len(path) > DEEPEST:
                raise _TooDeep


def text(place: Place, element: Mapping[str, Any], key: str, *, default: str | None = None) -> str:
    """Return a value that has to be text.

    Raises:
        ReportError: it is missing without a default, or something else.
    """
    value = element.get(key, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise place.fault(f"{key} is {'missing' if value is None else 'no text'}")
    return value
