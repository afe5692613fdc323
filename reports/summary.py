"""What a matching did, counted: what a reader needs in order to believe its findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reports.finding import Finding, FindingState, Severity
from reports.findings.ladder import counts
from reports.findings.states import Flood
from reports.matching.canaries import CanaryCheck

_TODAY = (FindingState.NEW, FindingState.KNOWN, FindingState.CHANGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSummary:
    """One reference set."""

    name: str
    decoy: bool
    """No checkpoint can have seen it: its matches are false ones."""
    entries: int
    pairs: int
    """Extractions and references that could be compared by one measure at least."""
    compared_by: Mapping[str, int]
    """By measure ("phash", "pdq", a descriptor's name): extractions that share it with the set. 0 is a
    blind spot: hashes not installed, or a set described by another maker."""
    matches: Mapping[str, int]
    """Pairs that the ladder puts at a severity, by its label."""
    highest: Mapping[str, tuple[float, float, float]]
    """By descriptor: median, 99th percentile and maximum, over the extractions, of the cosine with the
    nearest reference. For decoys only: the threshold has to lie above what strangers reach."""
    unmatchable: Mapping[str, int] = field(default_factory=dict)
    """Entries of the set's list that can never match a picture made again, by kind, such as "md5"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSummary:
    """The whole run."""

    run: int
    """Its number, from 1."""
    extractions: int
    hashed: int
    """Pictures hashed in this run."""
    unhashed: int
    """Extractions without any hash: their pictures were erased, or could not be read, before they had one."""
    pdq: Mapping[str, int]
    """Extractions by what became of their PDQ hash: "hashed", "not installed", "too flat", "unreadable",
    "low quality"."""
    sets: tuple[SetSummary, ...]
    findings: Mapping[str, int]
    """Findings of today that count, by severity label; see `reports.findings.ladder.counts`."""
    new: int
    gone: int
    explained_by_base: int
    explained_by_others: int = 0
    """Those that wrong checkpoints explain, and the base does not."""
    changed: int = 0
    """Of those that count; see `reports.findings.changes.differences`."""
    suppressed: int = 0
    """By people, by negative sets and by the flood cap."""
    withdrawn: int = 0
    shared: int = 0
    """Extractions that another checkpoint of the same base gave too."""
    floods: tuple[Flood, ...]
    """References that matched so many checkpoints that their findings became leads."""
    canaries: CanaryCheck = field(default_factory=CanaryCheck)
    """Known copies that were planted in every search: who missed one has proved nothing."""
    erased: int
    """Pictures erased from the disk in this run."""
    kept: int
    """Pictures on the disk now."""

    def count(self, at: Severity) -> int:
        """Findings of today that count, at this severity or above."""
        return sum(self.findings.get(severity.label, 0) for severity in Severity if severity >= at)

    def false_matches(self, at: Severity) -> tuple[int, int]:
        """Return how many pairs of extraction and decoy reach a severity, and of how many."""
        decoys = [one for one in self.sets if one.decoy]
        wrong = sum(
            one.matches.get(severity.label, 0) for one in decoys for severity in Severity if severity >= at
        )
        return wrong, sum(one.pairs for one in decoys)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> MatchSummary:
        """Take what `as_dict` gave, by way of JSON."""
        sets = tuple(
            SetSummary(**{**one, "highest": {name: tuple(values) for name, values in one["highest"].items()}})
            for one in content["sets"]
        )
        floods = tuple(Flood(**one) for one in content["floods"])
        told = content.get("canaries", {})
        canaries = CanaryCheck(**{**told, "missed": tuple(told.get("missed", ()))})
        return cls(**{**content, "sets": sets, "floods": floods, "canaries": canaries})


def count_findings(findings: list[Finding]) -> dict[str, Any]:
    """Return the summary's fields that are counts of findings."""
    leaks = [one for one in findings if counts(one)]
    states = Counter(one.state for one in findings)
    # Those that are gone or set aside are counted as such, and not once more.
    explained = [one for one in findings if one.state in _TODAY and not counts(one)]
    by_base = sum(one.explained_by_base for one in explained)
    return {
        "findings": {
            severity.label: sum(one.severity is severity for one in leaks) for severity in reversed(Severity)
        },
        "new": sum(one.state is FindingState.NEW for one in leaks),
        "changed": sum(one.state is FindingState.CHANGED for one in leaks),
        "gone": states[FindingState.GONE],
        "suppressed": states[FindingState.SUPPRESSED],
        "withdrawn": states[FindingState.WITHDRAWN],
        "explained_by_base": by_base,
        "explained_by_others": len(explained) - by_base,
    }
