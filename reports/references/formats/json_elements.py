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
        # Without use_float a number of thousands of digits ends the interpreter, not the parsing.
        for event, value in ijson.basic_parse(io.BytesIO(head), multiple_values=True, use_float=True):
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


def elements(
    path: Path, keys: Set[str], what: str, beside: dict[str, Any] | None = None
) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Yield the objects that have these keys, each with its place.

    Args:
        beside: filled with what the last document says beside its elements, such as a page's number.

    Raises:
        ReportError: the file cannot be read, is no JSON, holds no such objects, or holds some at another
            place than the first, which would be passed over.
    """
    at = whereabouts(head_of(path), keys)
    if at is None:
        raise ReportError(
            f"{path.name}: no {what} in its first {HEAD >> 10} KiB; "
            "export the list again, or name its format with --format"
        )
    with readable(path), path.open("rb") as file:
        stream = Stream(file, path.name)
        found = _values(stream, list(at), keys, {} if beside is None else beside)
        while True:
            place = Place(path.name, f"element {stream.entries + 1}")
            try:
                element = next(found, None)
            except ijson.IncompleteJSONError:
                raise place.fault("the file ends in it, or it is no JSON", "export the list again") from None
            except (ijson.JSONError, ValueError):
                raise place.fault("is no JSON", "export the list again") from None
            except _Fault as error:
                raise place.fault(error.reason, error.remedy) from None
            if element is None:
                return
            if not isinstance(element[0], dict):
                raise place.fault("is no object")
            stream.ended()
            yield place, element[0]


class _Fault(Exception):
    """What is wrong with the document, at the element that would come next."""

    def __init__(self, reason: str, remedy: str = "export the list again") -> None:
        self.reason = reason
        self.remedy = remedy


_TOO_DEEP = f"is nested more than {DEEPEST} levels deep"


def _values(stream: Stream, at: list[str], keys: Set[str], beside: dict[str, Any]) -> Iterator[tuple[Any]]:
    """Yield each value at a path. ijson's own `items` would be twice as fast, but has no limit of depth."""
    path: list[str] = []
    building: _Builder | None = None
    reached = not at
    for event, value in ijson.basic_parse(stream, multiple_values=True, use_float=True, buf_size=HEAD):
        step = _STEPS.get(event, 0)
        if building is not None:
            if building.takes(event, value):
                yield (building.whole,)
                building = None
        elif event == "map_key":
            if value in keys:
                raise _Fault("an entry stands at another place than the first", "write all into one array")
            path[-1] = value
            reached = reached or path == at
        elif step < 0:
            path.pop()
            if not (path or reached):
                raise _Fault("a document without entries stands here", "remove it, or fetch that page again")
        elif path == at and event != "start_array":
            if step:
                building = _Builder(event)
            else:
                yield (value,)
        elif step:
            if not path:
                reached = not at
                beside.clear()
            path.append(_ITEM)
            reached = reached or (event == "start_array" and path == at)
            if len(path) > DEEPEST:
                raise _Fault(_TOO_DEEP)
        elif len(path) == 1:
            beside[path[0]] = value


class _Builder:
    """An object put together from what its parser meets."""

    def __init__(self, event: str) -> None:
        self.whole: Any = {} if event == "start_map" else []
        self._open: list[Any] = [self.whole]
        self._key = ""

    def takes(self, event: str, value: Any) -> bool:
        """Take what comes next; return whether the object is whole."""
        if event == "map_key":
            if value in self._open[-1]:
                raise _Fault("has the same key twice, and they could differ")
            self._key = value
        elif _STEPS.get(event) == -1:
            self._open.pop()
        else:
            step = event in _STEPS
            if step:
                value = {} if event == "start_map" else []
            within = self._open[-1]
            if isinstance(within, dict):
                within[self._key] = value
            else:
                within.append(value)
            if step:
                self._open.append(value)
                if len(self._open) > DEEPEST:
                    raise _Fault(_TOO_DEEP)
        return not self._open


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
