"""Opinions and dates, as lists write them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time
from typing import Any

from reports.finding import Opinion
from reports.references.formats.listed import Place

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""`disable_until` of an entry that its giver has switched off without a date."""

_OPINIONS = {
    "positive": Opinion.POSITIVE,
    "positive_class": Opinion.POSITIVE,
    "seed": Opinion.SEED,
    "investigation_seed": Opinion.SEED,
    "disputed": Opinion.DISPUTED,
    "negative": Opinion.NEGATIVE,
    "negative_class": Opinion.NEGATIVE,
}


def opinion(place: Place, text: str) -> Opinion:
    """Return an opinion in our words or in ThreatExchange's; nothing said is positive.

    Raises:
        ReportError: it is none of them.
    """
    if not text.strip():
        return Opinion.POSITIVE
    found = _OPINIONS.get(text.strip().lower())
    if found is None:
        raise place.fault(f"its opinion is none of {', '.join(_OPINIONS)}")
    return found


def together(opinions: Collection[Opinion], otherwise: Opinion) -> Opinion:
    """Return one opinion for several: yes and no together are disputed."""
    if Opinion.DISPUTED in opinions or {Opinion.POSITIVE, Opinion.NEGATIVE} <= set(opinions):
        return Opinion.DISPUTED
    for one in (Opinion.NEGATIVE, Opinion.POSITIVE, Opinion.SEED):
        if one in opinions:
            return one
    return otherwise


def moment(place: Place, value: Any, name: str) -> datetime | None:
    """Return a date in UTC: ISO 8601, seconds since 1970, or a date as it is; nothing is None.

    Raises:
        ReportError: it is none of them.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, datetime):
            found = value
        elif isinstance(value, date):
            found = datetime.combine(value, time())
        elif isinstance(value, bool):
            raise ValueError
        elif isinstance(value, str) and not value.strip().lstrip("-").isdigit():
            found = datetime.fromisoformat(value.strip())
        else:
            found = datetime.fromtimestamp(int(value), UTC)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise place.fault(f"{name} is no date; write ISO 8601 or seconds since 1970") from None
