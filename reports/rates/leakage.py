"""How often checkpoints leak, and how often the match is wrong, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from scipy.stats import binomtest

from reports.finding import ReportError, Severity
from reports.summary import MatchSummary
from scanner.job import State

CONFIDENCE = 0.95
UNKNOWN = "unknown"
"""Family or kind of a skip that was left out before anyone could tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """So many of so many, with a 95 % Wilson interval, which stays sensible at 0 and at small counts."""

    count: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.of:
            raise ReportError(f"{self.count} of {self.of} is no proportion: count must lie in 0 to {self.of}")

    @property
    def value(self) -> float | None:
        """0 to 1; None when nothing was tried."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper bound, 0 to 1; None when nothing was tried."""
        if not self.of:
            return None
        bounds = binomtest(self.count, self.of).proportion_ci(CONFIDENCE, method="wilson")
        return float(bounds.low), float(bounds.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class FalsePositives:
    """How often the match that was used calls strangers alike, measured on pictures that cannot leak."""

    rate: Proportion
    """Pairs of extraction and decoy that reached `severity`, of all that were compared."""
    severity: Severity
    pairs: int
    """Pairs of extraction and reference that the run compared: what the rate has to be held against."""

    @property
    def by_chance(self) -> float:
        """Matches of the run that chance explains, at most: at the upper end of the interval."""
        return self.rate.interval[1] * self.pairs if self.rate.interval else float("inf")


def false_positives(matching: MatchSummary, at: Severity) -> FalsePositives | None:
    """Return the rate of false matches at severity `at` or above; None when no decoys were compared."""
    wrong, tried = matching.false_matches(at)
    if not tried:
        return None
    pairs = sum(one.pairs for one in matching.sets if not one.decoy)
    return FalsePositives(rate=Proportion(count=wrong, of=tried), severity=at, pairs=pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """Of the scanned checkpoints of a family and kind, those with a finding; and what was not scanned."""

    family: str | None
    """None in the total over all families."""
    kind: str | None
    leaked: Proportion
    skipped: int
    unfinished: int
    """Failed, pending or unplanned."""


def counted(findings: pd.DataFrame) -> pd.DataFrame:
    """Return the findings that count, as `reports.findings.ladder.counts` says."""
    return findings[findings["counts"]]


def leaking(findings: pd.DataFrame, at: Severity) -> set[str]:
    """Return the ids of the checkpoints with a finding that counts at severity `at` or above."""
    found = counted(findings)
    return set(found.loc[at_least(found, at), "checkpoint_id"].unique())


def at_least(findings: pd.DataFrame, at: Severity) -> pd.Series:
    """Return which findings have severity `at` or a higher one."""
    return findings["severity"].isin([severity.label for severity in Severity if severity >= at])


def leakage(checkpoints: pd.DataFrame, findings: pd.DataFrame, at: Severity) -> tuple[Leakage, ...]:
    """Return the leakage rate of each family and kind, scanned or left out, by name; unknown comes last.

    A checkpoint counts once, however many findings it has; only scanned checkpoints are in the denominator.
    """
    leaked = leaking(findings, at)
    named = checkpoints.assign(**{name: checkpoints[name].fillna(UNKNOWN) for name in ("family", "kind")})
    groups = [
        _leakage(group, leaked, family=str(family), kind=str(kind))
        for (family, kind), group in named.groupby(["family", "kind"], sort=True)
    ]
    return tuple(sorted(groups, key=lambda group: (group.family == UNKNOWN, group.kind == UNKNOWN)))


def total_leakage(checkpoints: pd.DataFrame, findings: pd.DataFrame, at: Severity) -> Leakage:
    """Return the leakage rate over all checkpoints."""
    return _leakage(checkpoints, leaking(findings, at), family=None, kind=None)


def _leakage(checkpoints: pd.DataFrame, leaked: set[str], family: str | None, kind: str | None) -> Leakage:
    scanned = checkpoints["state"] == State.DONE
    skipped = int((checkpoints["state"] == State.SKIPPED).sum())
    with_finding = scanned & checkpoints["checkpoint_id"].isin(leaked)
    return Leakage(
        family=family,
        kind=kind,
        leaked=Proportion(count=int(with_finding.sum()), of=int(scanned.sum())),
        skipped=skipped,
        unfinished=len(checkpoints) - int(scanned.sum()) - skipped,
    )
