"""What rates are told apart by: hub, family, kind, age, popularity, year."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd

from crawler.catalog.sample import bracket
from reports.finding import ReportError
from reports.rates.leakage import UNKNOWN

AGES = (
    (91, "under 3 months"),
    (365, "3 to 12 months"),
    (730, "1 to 2 years"),
    (1095, "2 to 3 years"),
)
"""Days from the repository's making below which an age goes by this name."""
OLDEST = "3 years and more"

NAMES = ("hub", "family", "kind", "age", "popularity", "year")
"""What `--by` takes, in any combination."""


def age(created_at: Any, now: datetime) -> str:
    """Return the age's name; UNKNOWN where no hub tells the day."""
    try:
        days = (now.date() - date.fromisoformat(created_at[:10])).days
    except (TypeError, ValueError):
        return UNKNOWN
    return next((name for limit, name in AGES if days < limit), OLDEST)


def popularity(downloads: Any) -> str:
    """Return the power of ten, such as "100-999"; UNKNOWN where no hub tells."""
    return UNKNOWN if pd.isna(downloads) else bracket(int(downloads))


def year(created_at: Any) -> str:
    """Return the four digits of an ISO time."""
    text = created_at[:4] if isinstance(created_at, str) else ""
    return text if text.isdigit() else UNKNOWN


def check(by: Sequence[str]) -> tuple[str, ...]:
    """Return the names, each once.

    Raises:
        ReportError: there is none, or one of them is not known.
    """
    if not by:
        raise ReportError(f"rates by nothing: name one or several of {', '.join(NAMES)}")
    for name in by:
        if name not in NAMES:
            raise ReportError(f'rates by "{name}": there is no such group; there are: {", ".join(NAMES)}')
    return tuple(dict.fromkeys(by))


def _by_age(label: str) -> int:
    names = [name for _, name in AGES]
    return names.index(label) if label in names else len(names)


def _by_size(label: str) -> int:
    return int(label.partition("-")[0])


_ORDERS: Mapping[str, Callable[[str], Any]] = {"age": _by_age, "popularity": _by_size}


def order(group: Mapping[str, str]) -> tuple[Any, ...]:
    """Sort key of a group: names by letter, ages and downloads by size, what is unknown last."""
    return tuple(
        (label == UNKNOWN, 0 if label == UNKNOWN else _ORDERS.get(name, str)(label))
        for name, label in group.items()
    )
