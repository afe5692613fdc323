"""What this run could not see, said set by set: a clean page must not hide a blind spot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reports.export.text import count, counted, visible
from reports.summary import MatchSummary, SetSummary

if TYPE_CHECKING:
    from reports.report import Report

HASHES = {"pdq": "PDQ", "phash": "pHash", "phash256": "256-bit pHash"}
"""Measures that a hash list has; any other measure is a descriptor's name and maker."""


def blind_spots(report: Report) -> list[str]:
    """Return one sentence for each thing that could not be compared or found."""
    matching = report.matching
    if matching is None:
        return []
    looked_for = [one for one in matching.sets if not one.decoy]
    spots = [spot for one in looked_for for spot in _of_set(one, matching.extractions)]
    return [*spots, *_of_hashes(matching)]


def _of_set(one: SetSummary, extractions: int) -> Iterator[str]:
    name = visible(one.name)
    described = [measure for measure in one.compared_by if measure not in HASHES]
    if not one.entries:
        yield f"{name}: the set is empty, so nothing of it can be found."
    elif not described:
        yield (
            f"{name}: hashes only. A copy that training has cropped, or that has a border, has another hash. "
            "In a published test PDQ found 9 % of the copies with 5 % cropped away. Where the pictures "
            "can be had, add them as a folder, and their crops are looked for too."
        )
    if extractions and described and not any(one.compared_by[measure] for measure in described):
        yield (
            f"{name}: described by {visible(', '.join(described))}, and no extraction is, so only hashes "
            "could be compared. Add the set again with the descriptor of the scan."
        )
    if extractions:
        dark = [title for measure, title in HASHES.items() if one.compared_by.get(measure) == 0]
        if dark and len(dark) < len(one.compared_by):
            yield f"{name}: no extraction could be compared by {' or '.join(dark)}."
    kinds = one.unmatchable
    if kinds:
        listed = ", ".join(f"{count(number)} {visible(kind)}" for kind, number in kinds.items())
        yield (
            f"{name}: {counted(sum(kinds.values()), 'entry', 'entries')} cannot be matched against generated "
            f"pictures ({listed}): such a digest knows a file, and no picture that was made anew."
        )


def _of_hashes(matching: MatchSummary) -> Iterator[str]:
    lost = {state: number for state, number in matching.pdq.items() if number and state != "hashed"}
    if lost:
        listed = ", ".join(f"{count(number)} {state}" for state, number in lost.items())
        number = counted(sum(lost.values()), "extraction has", "extractions have")
        yield f"{number} no PDQ hash to compare: {listed}."
    if matching.unhashed:
        number = counted(matching.unhashed, "extraction has", "extractions have")
        yield f"{number} no hash at all and can only be compared by descriptor."
