"""Civitai's cursors: what they give away, and what a walk keeps besides them.

A cursor is written from the first row after a page: what the listing is sorted by, then the model's id, such
as "2024-09-15 02:47:40.81|1234567" by time and "75363|932023|257749" by counters. "Most Downloaded" goes on
at that row. "Newest" goes on after it, so that no page ever shows it (civitai#1372). "Oldest" goes on at the
first row of the same time, so that rows come twice, and never moves on where one time fills a page. The hub
calls cursors opaque: what is read out of them here is guarded by their form, and nothing relies on it alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_STATS = re.compile(r"(\d{1,12}\|\d{1,12})\|(\d{1,10})", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[ T][\d:.]{5,15}(?:\+00(?::00)?|Z)?)\|(\d{1,10})", re.ASCII)
_HIGHEST_ID = 2**31 - 1
_ID_STEPS, _TIME_STEPS = 30, 17
_TIME_STEP = timedelta(milliseconds=1)
"""The precision of the hub's times."""


class Order(StrEnum):
    """The listings' orders that are walked, as the hub names them."""

    OLDEST = "Oldest"
    NEWEST = "Newest"
    MOST_DOWNLOADED = "Most Downloaded"


def sentinel(cursor: str) -> int | None:
    """The id of the model that the cursor was written from; None where it has another form than today's."""
    found = _TIME.fullmatch(cursor) or _STATS.fullmatch(cursor)
    return int(found[2]) if found else None


def past(cursor: str, order: Order) -> Iterator[str]:
    """Yield cursors of our own, farther and farther behind the hub's, to step over a row that breaks it.

    From one id up to all with equal counters, and from a millisecond up to 50 days. None where the cursor has
    another form.
    """
    if order is Order.MOST_DOWNLOADED:
        if found := _STATS.fullmatch(cursor):
            for attempt in range(_ID_STEPS):
                yield f"{found[1]}|{min(int(found[2]) + 2**attempt, _HIGHEST_ID)}"
        return
    found = _TIME.fullmatch(cursor)
    start = _moment(found[1]) if found else None
    if found and start:
        for attempt in range(_TIME_STEPS):
            step = _TIME_STEP * 4**attempt
            try:
                yield f"{_postgres(start + step if order is Order.OLDEST else start - step)}|{found[2]}"
            except OverflowError:
                return


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _postgres(moment: datetime) -> str:
    """A time as the hub's database prints it: a space, no zone, no zeros at the end."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return text.rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a walk through "Newest" has come: the hub's cursor, and the models that it has swallowed."""

    cursor: str | None = None
    owed: tuple[int, ...] = ()
    """Ids of models that no page showed, still to be asked for."""
    nameless: bool = False
    """A cursor did not tell which model it swallowed."""
    again: bool = False
    """This is a second walk, with pages of another length, so that it loses other models than the first."""

    def text(self) -> str:
        """What is stored; never empty."""
        return json.dumps([self.cursor, list(self.owed), int(self.nameless), int(self.again)])

    @classmethod
    def read(cls, text: str | None) -> Place:
        """The place that was stored; the beginning for what has no such form, as of an older version."""
        try:
            cursor, owed, nameless, again = json.loads(text or "")
        except (ValueError, TypeError):
            return cls()
        if not isinstance(owed, list) or not all(type(number) is int for number in owed):
            return cls()
        known = cursor if isinstance(cursor, str) else None
        return cls(cursor=known, owed=tuple(owed), nameless=bool(nameless), again=bool(again))
