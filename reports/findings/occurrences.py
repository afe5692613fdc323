"""Occurrences: the single matches under a finding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reports.finding import Match
from reports.findings.states import Judged, finding_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One extraction that matches a finding's reference. None: not comparable by that measure."""

    id: str
    """16 hex digits, stable from run to run: finding and extraction."""
    finding_id: str
    checkpoint_id: str
    """The place it came from: weights that were published more than once have one finding and many places."""
    extraction_id: str
    similarity: float | None
    """Cosine, -1 to 1; higher is nearer."""
    pdq_distance: int | None
    """Bits of 256; lower is nearer."""
    phash_distance: int | None
    """Bits of 64."""
    phash256_distance: int | None
    """Bits of 256."""


def occurrences(judged: Iterable[Judged], digests: Mapping[str, str | None]) -> list[Occurrence]:
    """Return the occurrences of all findings, by finding and id, each once.

    Args:
        judged: what `reports.findings.states.findings` makes findings of.
        digests: SHA-256 of the weights by checkpoint id, as there.
    """
    best: dict[str, tuple[Judged, Occurrence]] = {}
    for one in judged:
        occurrence = occurrence_of(one.match, finding_of(one, digests.get(one.match.checkpoint_id)).id)
        held = best.get(occurrence.id)
        if held is None or one.rank > held[0].rank:
            best[occurrence.id] = (one, occurrence)
    return sorted((pair[1] for pair in best.values()), key=lambda each: (each.finding_id, each.id))


def occurrence_of(match: Match, finding_id: str) -> Occurrence:
    """Return the occurrence of a finding that a match is."""
    content = f"{finding_id}\x1f{match.extraction_id}"
    return Occurrence(
        id=hashlib.sha256(content.encode()).hexdigest()[:16],
        finding_id=finding_id,
        checkpoint_id=match.checkpoint_id,
        extraction_id=match.extraction_id,
        similarity=match.similarity,
        pdq_distance=match.pdq_distance,
        phash_distance=match.phash_distance,
        phash256_distance=match.phash256_distance,
    )
