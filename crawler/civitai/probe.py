"""Models that no listing showed any more, asked for by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crawler.checkpoint import Listing, Presence, Probe
from crawler.civitai.api import AnswerError, Api

ReadModel = Callable[[Any], Listing | None]
"""A model's row."""


def probe(api: Api, listings: Sequence[Listing], read: ReadModel) -> list[Probe]:
    """Ask for all together, then for each that was not among the answers by itself.

    Those that got no clear answer are left out. A 404 proves little: the hub gives it for models that were
    deleted, unpublished, or flagged as showing a real person, and at times for days while the site shows them
    (civitai#1763). So it is a proof to be repeated, over weeks.

    Raises:
        SourceError: the hub does not answer.
    """
    numbers = [listing.number for listing in listings if listing.number.isdecimal()]
    shown, _ = api.by_ids([int(number) for number in numbers])
    found = {about.number: about for model in shown if (about := read(model))}
    return [
        probe_
        for number in numbers
        for probe_ in (
            [_shown(found[number], "listed by its id")] if number in found else _alone(api, number, read)
        )
    ]


def _alone(api: Api, number: str, read: ReadModel) -> Iterator[Probe]:
    try:
        model = api.model(number)
    except AnswerError as error:
        # 500 says that this one row is broken, another status nothing of the model: ask again another day.
        if error.status in (429, 502, 503, 504):
            raise
        return
    if model is None:
        detail = "404 by its id, and no listing shows it: deleted, unpublished, or flagged as a real person"
        yield Probe(number=number, presence=Presence.UNREACHABLE, detail=detail, proof=True)
    elif (about := read(model)) and about.number == number:
        yield _shown(about, "answered by its id; no listing shows it")


def _shown(listing: Listing, detail: str) -> Probe:
    return Probe(number=listing.number, presence=listing.presence, detail=detail, listing=listing)
