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


def whereabouts(head: bytes, keys: Set[str]) -> str | None:
    """Return ijson's prefix of the outermost objects that have one of these keys; None: there are none.

    Args:
        head: the document's first bytes, cut off anywhere.
    """
    found: list[str] = []
    try:
        for prefix, event, value in ijson.parse(io.BytesIO(head), multiple_values=True):
            if event == "map_key" and value in keys:
                found.append(prefix)
    except (ijson.JSONError, UnicodeDecodeError):
        # It is cut off, or broken; whoever reads it whole will say where.
        pass
    return min(found, key=lambda prefix: prefix.count("."), default=None)


def elements(path: Path, keys: Set[str], what: str) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Yield the objects that have these keys, each with its place.

    Raises:
        ReportError: the file cannot be read, is no JSON, or holds no such objects.
    """
    prefix = whereabouts(head_of(path), keys)
    if prefix is None:
        raise ReportError(
            f"{path.name}: no {what} in its first {HEAD >> 10} KiB; "
            "export the list again, or name its format with --format"
        )
    with readable(path), path.open("rb") as file:
        stream = Stream(file, path.name)
        found = ijson.items(stream, prefix, multiple_values=True, use_float=True, buf_size=HEAD)
        while True:
            place = Place(path.name, f"element {stream.entries + 1}")
            try:
                element = next(found, None)
            except ijson.IncompleteJSONError:
                raise place.fault("the file ends in it, or it is no JSON", "export the list again") from None
            except (ijson.JSONError, UnicodeDecodeError):
                raise place.fault("is no JSON", "export the list again") from None
            if element is None:
                return
            if not isinstance(element, dict):
                raise place.fault("is no object")
            stream.ended()
            yield place, element


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
