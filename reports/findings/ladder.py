"""The ladder: from a match's distances to a severity, by rules that can be named; and what counts."""

from __future__ import annotations

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
_ASIDE = (FindingState.GONE, FindingState.SUPPRESSED, FindingState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A rule: it holds when every measure that it names reaches its limit."""

    severity: Severity
    pdq: int | None = None
    """PDQ distance, at most."""
    phash: int | None = None
    """pHash distance, at most."""
    similarity: float | None = None
    """Cosine, at least."""
    descriptor: str = ""
    """What to call the descriptor in the rule's name."""

    @property
    def name(self) -> str:
        """Such as "pdq<=30 & sscd>=0.75"."""
        parts = []
        if self.pdq is not None:
            parts.append(f"pdq<={self.pdq}")
        if self.phash is not None:
            parts.append(f"phash<={self.phash}")
        if self.similarity is not None:
            parts.append(f"{self.descriptor}>={self.similarity:g}")
        return " & ".join(parts)

    @property
    def measures(self) -> tuple[str, ...]:
        """The fields of `Match` that it looks at."""
        return tuple(field for limit, field in _MEASURES.items() if getattr(self, limit, None) is not None)

    def holds(self, match: Match) -> bool:
        return (
            (self.pdq is None or _at_most(match.pdq_distance, self.pdq))
            and (self.phash is None or _at_most(match.phash_distance, self.phash))
            and (self.similarity is None or _at_least(match.similarity, self.similarity))
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
        Rung(severity=low, pdq=ladder.pdq_low),
        Rung(severity=low, phash=ladder.phash_low),
    )
    if descriptor is None:
        return by_hash
    at, name = ladder.similarities(descriptor), "sscd" if descriptor.startswith("sscd") else "thumbnail"
    by_likeness = (
        Rung(severity=critical, pdq=ladder.pdq_high, similarity=at.critical, descriptor=name),
        Rung(severity=critical, phash=ladder.phash_high, similarity=at.critical, descriptor=name),
        Rung(severity=high, similarity=at.high, descriptor=name),
        Rung(severity=medium, pdq=ladder.pdq_low, similarity=at.medium, descriptor=name),
        Rung(severity=medium, phash=ladder.phash_low, similarity=at.medium, descriptor=name),
        Rung(severity=low, similarity=at.low, descriptor=name),
    )
    return tuple(sorted((*by_hash, *by_likeness), key=lambda rung: -rung.severity))


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


@dataclass(frozen=True, slots=True)
class _Control:
    """How near something comes that did not leak the reference."""

    pdq: float | None
    phash: float | None
    similarity: float | None


def _base(match: Match) -> _Control:
    return _Control(match.control_pdq_distance, match.control_phash_distance, match.control_similarity)


def _others(match: Match) -> _Control:
    """The middle one of the wrong checkpoints: when it comes as near, so does half of them."""
    return _Control(match.others_pdq_distance, match.others_phash_distance, match.others_similarity)


def _explained(match: Match, rung: Rung, settings: ReportsSettings, control: _Control) -> bool:
    """Whether the control comes as near, within the margins, by every measure that the rule rests on."""
    return (
        (rung.pdq is None or _as_near(match.pdq_distance, control.pdq, settings.control_margin_pdq))
        and (
            rung.phash is None or _as_near(match.phash_distance, control.phash, settings.control_margin_phash)
        )
        and (
            rung.similarity is None
            or (
                match.similarity is not None
                and _at_least(control.similarity, match.similarity - settings.control_margin)
            )
        )
    )


def _as_near(distance: int | None, control: float | None, margin: int) -> bool:
    return distance is not None and _at_most(control, distance + margin)


def _at_most(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _at_least(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit
