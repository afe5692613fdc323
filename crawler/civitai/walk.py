"""A listing read page by page, whatever the hub does on the way: loops, forgotten cursors, broken models."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crawler.civitai.api import AnswerError, Api, Query
from crawler.civitai.cursors import Order, past, sentinel

_REMEMBERED = 1000
"""Cursors that are compared with the next one: a loop is noticed when it closes, unless it is longer."""
_SMALLER = 8
"""How much smaller a page is asked for after one that breaks the hub. A host where five requests in a row
fail is left alone (`crawler.guest.circuit`), and two steps lead from a hundred models to one."""
_PATIENCE = 3
"""Failures in a row before we ask whether the hub answers at all, for the same reason."""
_FIRST_PAGES = 20
"""Pages of one model that are tried at a listing's beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One page of a listing."""

    models: list[Any]
    following: str | None
    """The hub's next cursor; None at the end."""
    broken: tuple[int, ...] = ()
    """A model before these on which the hub breaks, and that was stepped over, where it has a name."""
    notes: dict[str, int] = field(default_factory=dict)


def walk(api: Api, query: Query, order: Order, cursor: str | None, limit: int) -> Iterator[Step]:
    """Yield the pages after `cursor`, short and empty ones included: only a missing cursor is the end.

    - A cursor that was there before ("stuck") ends the listing: the hub loops. Where one time fills a page of
      "Oldest", it goes on behind that time; its other models come by the other listings.
    - A stored cursor that the hub no longer takes, as after an update of its own, restarts the listing once
      ("restarted").
    - A page that answers 500 is asked for in smaller ones, until the one model that breaks it stands first.
      That one is stepped over ("stepped_over").

    Args:
        limit: models to a page.

    Raises:
        SourceError: the hub does not answer, or not as documented.
    """
    stored = cursor
    recent = deque([cursor], maxlen=_REMEMBERED)
    size = limit
    notes: dict[str, int] = {}
    while True:
        try:
            step = _ask(api, query, cursor, size)
        except AnswerError as error:
            if error.status == 400 and cursor is not None and cursor == stored:
                cursor = stored = None
                recent = deque([None], maxlen=_REMEMBERED)
                notes = {"restarted": 1}
                continue
            if error.status != 500:
                raise
            if size > 1:
                size = max(1, size // _SMALLER)
                continue
            step = _over(api, query, order, cursor, error)
        size = min(limit, 2 * size)
        stuck = step.following is not None and step.following in recent
        cursor = step.following
        if stuck:
            behind = next(past(cursor, order), None) if cursor and order is Order.OLDEST else None
            cursor = None if behind in recent else behind
        marks = {**notes, **step.notes, **({"stuck": 1} if stuck else {})}
        yield Step(models=step.models, following=cursor, broken=step.broken, notes=marks)
        if cursor is None:
            return
        recent.append(cursor)
        notes = {}


def _ask(api: Api, query: Query, cursor: str | None, size: int) -> Step:
    place = [("cursor", cursor)] if cursor else []
    models, following = api.models([*query, *place, ("limit", str(size))])
    return Step(models=models, following=following)


def _over(api: Api, query: Query, order: Order, cursor: str | None, reason: AnswerError) -> Step:
    """The page behind the one model that the hub breaks on, with that model where it can be had by itself.

    Raises:
        SourceError: the hub breaks on whatever is asked: it is the hub, not a model.
    """
    # Only from its beginning can a listing be counted through.
    first = ([("page", str(number))] for number in range(2, _FIRST_PAGES))
    places = first if cursor is None else ([("cursor", behind)] for behind in past(cursor, order))
    for attempt, place in enumerate(places):
        if attempt % _PATIENCE == 0:
            api.base_models()
        try:
            models, following = api.models([*query, *place, ("limit", "1")])
        except AnswerError as error:
            if error.status != 500:
                raise
            continue
        # In "Newest" the cursor names the model before this page, which is not the broken one.
        named = sentinel(cursor) if cursor and order is not Order.NEWEST else None
        found, broken = api.by_ids([named]) if named else ([], [])
        notes = {"stepped_over": 1}
        return Step(models=[*found, *models], following=following, broken=tuple(broken), notes=notes)
    raise reason
