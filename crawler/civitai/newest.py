"""An increment: "Newest" from its beginning to where all is older, with the models that no page shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from crawler.civitai.api import MAX_PAGE, Api, Query
from crawler.civitai.cursors import Order, Place, sentinel
from crawler.civitai.rows import moment
from crawler.civitai.walk import Step, walk

_OLD_PAGES = 2
"""Pages in a row whose versions are all older, after which the rest is: a model may be listed by a date that
no answer shows, so that single old ones stand among the new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One page with the place that follows it: what is committed together."""

    models: list[Any]
    place: Place | None
    """None at the end."""
    broken: tuple[int, ...] = ()
    notes: dict[str, int]


def newest(api: Api, query: Query, place: Place, since: datetime | None, limit: int) -> Iterator[Piece]:
    """Yield the pages after `place`.

    The hub swallows one model at the end of each page, and its cursor names it. Those ids are kept with the
    place until there are enough for one question, or the listing ends: then the page brings those models.
    A cursor that names none makes for a second walk, with pages one model shorter, which lose others.

    Args:
        since: all that is older was read by an earlier pass; None reads to the end.

    Raises:
        SourceError: the hub does not answer, or not as documented.
    """
    while True:
        size = limit if not place.again else limit - 1 if limit > 1 else 2
        old = 0
        for step in walk(api, query, Order.NEWEST, place.cursor, size):
            date = _newest_date(step.models)
            # A page without any date, such as an empty one, says neither.
            if date is not None:
                old = old + 1 if since is not None and date < since else 0
            place, notes = _noted(place, step, ends=old >= _OLD_PAGES)
            done = place.cursor is None and not (place.nameless and not place.again)
            found: list[Any] = []
            broken = list(step.broken)
            if place.owed and (done or len(place.owed) >= MAX_PAGE):
                found, refused = api.by_ids(place.owed)
                broken += refused
                place = replace(place, owed=())
                notes["recovered"] = len(found)
            if place.cursor is None and not done:
                place = Place(again=True, owed=place.owed)
                notes["second_walk"] = 1
            yield Piece(
                models=[*step.models, *found],
                place=None if done else place,
                broken=tuple(broken),
                notes=notes,
            )
            if done:
                return
            if place.cursor is None:
                break


def _noted(place: Place, step: Step, *, ends: bool) -> tuple[Place, dict[str, int]]:
    """The place after a page, with the model that its boundary has swallowed."""
    # The boundary counts where the walk ends by itself, too: that model may be a new one.
    lost = sentinel(step.following) if step.following else None
    nameless = step.following is not None and lost is None
    after = replace(
        place,
        cursor=None if ends else step.following,
        owed=(*place.owed, lost) if lost else place.owed,
        nameless=place.nameless or nameless,
    )
    return after, {**step.notes, **({"nameless_cursors": 1} if nameless else {})}


def _newest_date(models: list[Any]) -> datetime | None:
    """When the newest version on a page was published."""
    dates = (
        moment(version.get("publishedAt"))
        for model in models
        if isinstance(model, dict) and isinstance(model.get("modelVersions"), list)
        for version in model["modelVersions"]
        if isinstance(version, dict)
    )
    return max(filter(None, dates), default=None)
