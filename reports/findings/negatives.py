"""What the givers of references say about them: innocent look-alikes set aside, unsure ones held down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from reports.finding import Match, Opinion, Severity
from reports.findings.states import Judged

_NAMES = {
    "pdq_distance": "pdq",
    "phash_distance": "phash",
    "phash256_distance": "phash256",
    "similarity": "similarity",
    "normalised_similarity": "normalised similarity",
}
"""Measures of a match, as a reader knows them."""
_HIGHER_IS_NEARER = ("similarity", "normalised_similarity")
_HELD_DOWN = {
    Opinion.SEED: "seed, so at most high",
    Opinion.DISPUTED: "disputed, so at most high",
}

Opinions = Mapping[tuple[str, str], Opinion]
"""By reference set and reference; one that is not in it is POSITIVE."""


def set_aside(
    judged: Iterable[Judged], negatives: Collection[str], opinions: Opinions
) -> tuple[list[Judged], list[Judged]]:
    """Return the matches with what is looked for, and those with what is known to be innocent.

    A match is marked, and its finding suppressed, when its extraction comes at least as near to an innocent
    reference by every measure that the rule rests on. An innocent reference is one of a negative set, or one
    whose giver says NEGATIVE; its own matches never become findings.

    Args:
        judged: of all sets but decoys.
        negatives: names of the negative sets.
    """
    wanted: list[Judged] = []
    innocent: list[Judged] = []
    for one in judged:
        key = one.match.set_name, one.match.ref_id
        known = key[0] in negatives or opinions.get(key) is Opinion.NEGATIVE
        (innocent if known else wanted).append(one)
    near = _Nearest(one.match for one in innocent)
    return [_marked(one, near) for one in wanted], innocent


def hold_down(judged: Iterable[Judged], opinions: Opinions) -> list[Judged]:
    """Make critical matches high where the reference's giver is not sure of it; the rule's name says so.

    Critical is for references that were reviewed: opinion POSITIVE.
    """
    return [_held_down(one, opinions.get((one.match.set_name, one.match.ref_id))) for one in judged]


def _held_down(one: Judged, opinion: Opinion | None) -> Judged:
    verdict = one.verdict
    if opinion not in _HELD_DOWN or verdict.severity <= Severity.HIGH:
        return one
    rule = f"{_HELD_DOWN[opinion]}: {verdict.rule}"
    return Judged(one.match, replace(verdict, severity=Severity.HIGH, rule=rule))


class _Nearest:
    """Innocent matches by extraction and measures, nearest first; each order is made once."""

    def __init__(self, innocent: Iterable[Match]) -> None:
        self._of: dict[str, list[Match]] = defaultdict(list)
        for each in innocent:
            self._of[each.extraction_id].append(each)
        self._ordered: dict[tuple[str, tuple[str, ...]], list[tuple[tuple[float, ...], Match]]] = {}

    def to(self, wanted: Match, measures: tuple[str, ...]) -> Match | None:
        """Return the nearest that is at least as near by every measure; among equals the first by name."""
        limit = _distances(wanted, measures)
        if limit is None:
            return None
        for distances, each in self._order(wanted.extraction_id, measures):
            if distances[0] > limit[0]:
                return None
            comparable = each.descriptor == wanted.descriptor or not set(measures) & set(_HIGHER_IS_NEARER)
            if comparable and all(mine <= most for mine, most in zip(distances, limit, strict=True)):
                return each
        return None

    def _order(self, extraction_id: str, measures: tuple[str, ...]) -> list[tuple[tuple[float, ...], Match]]:
        if extraction_id not in self._of:
            return []
        key = extraction_id, measures
        if key not in self._ordered:
            measured = ((_distances(each, measures), each) for each in self._of[extraction_id])
            self._ordered[key] = sorted(
                ((distances, each) for distances, each in measured if distances is not None),
                key=lambda pair: (pair[0], pair[1].set_name, pair[1].ref_id),
            )
        return self._ordered[key]


def _marked(one: Judged, near: _Nearest) -> Judged:
    measures = one.verdict.measures or tuple(name for name in _NAMES if getattr(one.match, name) is not None)
    match = near.to(one.match, measures)
    if match is None:
        return one
    said = ", ".join(
        f"{_NAMES[name]} {getattr(match, name):.4g}, here {getattr(one.match, name):.4g}" for name in measures
    )
    why = f"at least as near to {match.ref_id}, which is known to be innocent ({said})"
    return Judged(one.match, replace(one.verdict, aside_by=f"set {match.set_name}", aside_why=why))


def _distances(match: Match, measures: tuple[str, ...]) -> tuple[float, ...] | None:
    """Return how far it is by each measure, lower is nearer; None where one of them is missing."""
    found: list[float] = []
    for name in measures:
        value = getattr(match, name)
        if value is None:
            return None
        found.append(-value if name in _HIGHER_IS_NEARER else value)
    return tuple(found) or None
