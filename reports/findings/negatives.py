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
    of: dict[str, list[Match]] = defaultdict(list)
    for one in innocent:
        of[one.match.extraction_id].append(one.match)
    return [_marked(one, of.get(one.match.extraction_id, [])) for one in wanted], innocent


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


def _marked(one: Judged, innocent: Iterable[Match]) -> Judged:
    measures = one.verdict.measures or _measured(one.match)
    # The nearest by what the rule rests on, and among equals the first by name: the same from run to run.
    nearer = sorted(
        (each for each in innocent if _as_near(each, one.match, measures)),
        key=lambda each: (_distance(each, measures), each.set_name, each.ref_id),
    )
    if not nearer:
        return one
    match = nearer[0]
    said = ", ".join(
        f"{_NAMES[name]} {getattr(match, name):.4g}, here {getattr(one.match, name):.4g}" for name in measures
    )
    why = f"at least as near to {match.ref_id}, which is known to be innocent ({said})"
    return Judged(one.match, replace(one.verdict, aside_by=f"set {match.set_name}", aside_why=why))


def _measured(match: Match) -> tuple[str, ...]:
    return tuple(name for name in _NAMES if getattr(match, name) is not None)


def _as_near(innocent: Match, wanted: Match, measures: Collection[str]) -> bool:
    if not measures:
        return False
    if any(name in _HIGHER_IS_NEARER for name in measures) and innocent.descriptor != wanted.descriptor:
        return False
    return all(_nearer(getattr(innocent, name), getattr(wanted, name), name) for name in measures)


def _nearer(innocent: float | None, wanted: float | None, measure: str) -> bool:
    if innocent is None or wanted is None:
        return False
    return innocent >= wanted if measure in _HIGHER_IS_NEARER else innocent <= wanted


def _distance(match: Match, measures: Collection[str]) -> tuple[float, ...]:
    values = [(name, getattr(match, name)) for name in measures]
    return tuple(-value if name in _HIGHER_IS_NEARER else value for name, value in values)
