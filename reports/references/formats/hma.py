"""Bank contents of Hasher-Matcher-Actioner, as its API gives them with `include_signals=true`.

`{"id", "disable_until_ts", "bank": {"name", "matching_enabled_ratio"}, "signals": {"pdq": ...},
"metadata": {"collab": {exchange: [keys]}}, "note"}`, in an array or one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from reports.references.formats.json_elements import elements, text
from reports.references.formats.listed import Entry, Place, entry
from reports.references.formats.said import FOREVER, moment

KEYS = frozenset({"disable_until_ts", "signals"})
_DISABLED, _ENABLED = 0, 1
"""Values of disable_until_ts that are no dates."""


def read_hma(path: Path) -> Iterator[Entry]:
    """Yield the entries: one for each signal of a content, all under the content's id.

    Raises:
        ReportError: the file cannot be read, is no JSON, or an element is malformed.
    """
    for place, content in elements(path, KEYS, "bank content of HMA"):
        number = content.get("id")
        if isinstance(number, bool) or not isinstance(number, int | str) or number == "":
            raise place.fault("id is missing, or neither a number nor text")
        signals = _object(place, content, "signals")
        if not signals:
            raise place.fault("has no signals", "export it with include_signals=true")
        bank = _object(place, content, "bank")
        collab = _object(place, _object(place, content, "metadata"), "collab")
        note = text(place, content, "note", default="")
        for kind in signals:
            yield entry(
                Place(place.file, f"{place.name}, signals"),
                str(number),
                kind,
                text(place, signals, kind),
                classification=text(place, bank, "name", default=""),
                tags=(f"note: {note}",) if note else (),
                source=", ".join(sorted(collab)),
                disable_until=_disable_until(place, content, bank),
            )


def _disable_until(place: Place, content: Mapping[str, Any], bank: Mapping[str, Any]) -> datetime | None:
    until = content.get("disable_until_ts", _ENABLED)
    if isinstance(until, bool) or not isinstance(until, int):
        raise place.fault("disable_until_ts is no whole number")
    ratio = bank.get("matching_enabled_ratio", 1)
    if isinstance(ratio, bool) or not isinstance(ratio, int | float):
        raise place.fault("matching_enabled_ratio is no number")
    # A bank with a ratio of 0 matches nothing.
    if until == _DISABLED or ratio == 0:
        return FOREVER
    return None if until == _ENABLED else moment(place, until, "disable_until_ts")


def _object(place: Place, element: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = element.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise place.fault(f"{key} is no object")
    return value
