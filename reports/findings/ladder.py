"""The ladder: from a match's distances to a severity, by rules that can be named; and what counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reports.finding import Finding, FindingState, Match, Severity
from reports.settings import Ladder, ReportsSettings

_MEASURES = {
    "pdq": "pdq_distance",
    "phash": "phash_distance",
    "phash256": "phash256_distance",
    "similarity": "similarity",
    "normalised": "normalised_similarity",
}
"""Fields of `Rung` that are limits, and the fields of `Match` that they limit."""
_HASHES = ("pdq", "phash", "phash256")
_CONTROLLED = {name: field for name, field in _MEASURES.items() if name != "normalised"}
"""Measures that the base alone, and the wrong checkpoints, have too."""
_ASIDE = (FindingState.GONE, FindingState.SUPPRESSED, FindingState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A rule: it holds when every measure that it names reaches its limit."""

    severity: Severity
    pdq: int | None = None
    """PDQ distance, at most."""
    phash: int | None = None
    """pHash distance, at most."""
    phash256: int | None = None
    """Distance of 256-bit pHash, at most."""
    similarity: float | None = None
    """Cosine, at least."""
    normalised: float | None = None
    """Normalised similarity, at least."""
    descriptor: str = ""
    """What to call the descriptor in the rule's name."""

    @property
    def name(self) -> str:
        """Such as "pdq<=30 & sscd>=0.75"."""
        parts = [f"{kind}<={limit}" for kind in _HASHES if (limit := getattr(self, kind)) is not None]
        if self.similarity is not None:
            parts.append(f"{self.descriptor}>={self.similarity:g}")
        if self.normalised is not None:
            parts.append(f"normalised>={self.normalised:g}")
        return " & ".join(parts)

    @property
    def measures(self) -> tuple[str, ...]:
        """The fields of `Match` that it looks at."""
        return tuple(field for limit, field in _MEASURES.items() if getattr(self, limit) is not None)

    def holds(self, match: Match) -> bool:
        by_hash = (_at_most(getattr(match, _MEASURES[kind]), getattr(self, kind)) for kind in _HASHES)
        return (
            all(by_hash)
            and _at_least(match.similarity, self.similarity)
            and _at_least(match.normalised_similarity, self.normalised)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the ladder says of a match."""

    severity: Severity
    rule: str
    explained_by_base: bool
    explained_by_others: bool = False
    measures: tuple[str, ...] = ()
    """Fields of `Match` that the rule rests on."""
    aside_by: str = ""
    """What sets the match aside, such as "set NAME"; empty: nothing. Its finding is suppressed."""
    aside_why: str = ""

    @property
    def explained(self) -> bool:
        """Whether something else than a leak of this checkpoint accounts for it."""
        return self.explained_by_base or self.explained_by_others


def rungs(ladder: Ladder, descriptor: str | None) -> tuple[Rung, ...]:
    """Return the rules, gravest first; without a descriptor, those of the hashes only.

    The rules with pHash beside another measure stand in for those with PDQ, which may not be installed.
    """
    critical, high, medium, low = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
    by_hash = (
        Rung(severity=critical, pdq=ladder.pdq_critical),
        Rung(severity=high, pdq=ladder.pdq_high),
        Rung(severity=high, phash=ladder.phash_high),
        Rung(severity=high, phash256=ladder.phash256_high),
        Rung(severity=low, pdq=ladder.pdq_low),
        Rung(severity=low, phash=ladder.phash_low),
        Rung(severity=low, phash256=ladder.phash256_low),
    )
    if descriptor is None:
        return by_hash
    at, name = ladder.similarities(descriptor), "sscd" if descriptor.startswith("sscd") else "thumbnail"
    by_likeness = (
        *(
            Rung(severity=critical, similarity=at.critical, descriptor=name, **hashed)
            for hashed in _each(ladder, "high")
        ),
        Rung(severity=high, similarity=at.high, descriptor=name, normalised=at.normalised_high),
        *(
            Rung(severity=medium, similarity=at.medium, descriptor=name, **hashed)
            for hashed in _each(ladder, "low")
        ),
        Rung(severity=low, similarity=at.low, descriptor=name),
    )
    return tuple(sorted((*by_hash, *by_likeness), key=lambda rung: -rung.severity))


def _each(ladder: Ladder, step: str) -> Iterator[dict[str, int]]:
    """One kind of hash at a time, with its limit."""
    for kind in _HASHES:
        yield {kind: getattr(ladder, f"{kind}_{step}")}


def judge(match: Match, settings: ReportsSettings) -> Verdict | None:
    """Return the verdict of the first rule that holds; None when none does."""
    for rung in rungs(settings.ladder_of(match.set_name), match.descriptor):
        if rung.holds(match):
            return Verdict(
                severity=rung.severity,
                rule=rung.name,
                explained_by_base=_explained(match, rung, settings, _base(match)),
                explained_by_others=_explained(match, rung, settings, _others(match)),
                measures=rung.measures,
            )
    return None


def counts(finding: Finding) -> bool:
    """Whether a finding counts: seen by the last run, not set aside, explained by neither base nor others.

    Whatever counts findings, fails a run or computes a rate goes by this.
    """
    explained = finding.explained_by_base or finding.explained_by_others
    return finding.state not in _ASIDE and not explained


def same_picture(descriptor: str, settings: ReportsSettings) -> float:
    """Cosine from which two extractions are taken for one picture: what is high by itself."""
    return settings.ladder.similarities(descriptor).high


def _base(match: Match) -> dict[str, float | None]:
    return {kind: getattr(match, f"control_{field}") for kind, field in _CONTROLLED.items()}


def _others(match: Match) -> dict[str, float | None]:
    """The middle one of the wrong checkpoints: when it comes as near, so does half of them."""
    return {kind: getattr(match, f"others_{field}") for kind, field in _CONTROLLED.items()}


def _explained(
    match: Match, rung: Rung, settings: ReportsSettings, control: Mapping[str, float | None]
) -> bool:
    """Whether the control comes as near, within the margins, by every measure that the rule rests on.

    What is normalised is the similarity, so the similarity's control is its control.
    """
    for kind in _HASHES:
        distance = getattr(match, _MEASURES[kind])
        if getattr(rung, kind) is not None and not _at_most(
            control[kind], distance + getattr(settings, f"control_margin_{kind}")
        ):
            return False
    if rung.similarity is None:
        return True
    return match.similarity is not None and _at_least(
        control["similarity"], match.similarity - settings.control_margin
    )


def _at_most(value: float | None, limit: float | None) -> bool:
    """Whether a value reaches its limit; without a limit, whatever it is."""
    return limit is None or (value is not None and value <= limit)


def _at_least(value: float | None, limit: float | None) -> bool:
    return limit is None or (value is not None and value >= limit)
