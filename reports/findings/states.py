"""From judged matches to findings: one for a checkpoint and a reference, with its state from run to run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reports.finding import Finding, FindingState, Match, Severity
from reports.findings.ladder import Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A match and what the ladder says of it."""

    match: Match
    verdict: Verdict

    @property
    def rank(self) -> tuple[bool, int, int, float, int]:
        """Higher is the better evidence: not explained first, then graver, then nearer."""
        match, verdict = self.match, self.verdict
        return (
            not verdict.explained,
            verdict.severity,
            -(256 if match.pdq_distance is None else match.pdq_distance),
            -1.0 if match.similarity is None else match.similarity,
            -(64 if match.phash_distance is None else match.phash_distance),
        )


@dataclass(frozen=True, slots=True)
class Flood:
    """A reference that matches so many checkpoints that it is taken for noise."""

    set_name: str
    ref_id: str
    checkpoints: int


def calm(judged: Sequence[Judged], cap: int) -> tuple[list[Judged], tuple[Flood, ...]]:
    """Make leads of the matches with references that match more than `cap` checkpoints."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in judged:
        seen[one.match.set_name, one.match.ref_id].add(one.match.checkpoint_id)
    floods = {key: len(checkpoints) for key, checkpoints in seen.items() if len(checkpoints) > cap}
    calmed = [
        Judged(
            one.match,
            replace(one.verdict, severity=Severity.LOW, rule=f"flood of more than {cap}: {one.verdict.rule}"),
        )
        if (one.match.set_name, one.match.ref_id) in floods
        else one
        for one in judged
    ]
    return calmed, tuple(Flood(*key, count) for key, count in sorted(floods.items()))


def findings(judged: Iterable[Judged], digests: Mapping[str, str | None]) -> list[Finding]:
    """Return one finding for each checkpoint and reference, by id: the best of their matches.

    Args:
        digests: SHA-256 of the weights by checkpoint id. The same weights under two names make one finding.
    """
    groups: dict[str, list[tuple[Judged, Finding]]] = defaultdict(list)
    for one in judged:
        finding = _finding(one, digests.get(one.match.checkpoint_id))
        groups[finding.id].append((one, finding))
    merged = []
    for _, group in sorted(groups.items()):
        # Among equals the first extraction, so that a finding does not depend on the order of matches.
        group.sort(key=lambda pair: pair[0].match.extraction_id)
        best = max(group, key=lambda pair: pair[0].rank)[1]
        checkpoints = tuple(sorted({one.match.checkpoint_id for one, _ in group}))
        merged.append(replace(best, occurrences=len(group), checkpoint_ids=checkpoints))
    return merged


def against(found: Iterable[Finding], before: Iterable[Finding], run: int, now: datetime) -> list[Finding]:
    """Return today's findings and those that are gone, by id, with their state.

    Doing the same run again, after a kill or on purpose, changes nothing: what it found first stays new.

    Args:
        before: what the store holds, which may come from this very run.
        run: number of this run; earlier ones have lower numbers.
    """
    earlier = {one.id: one for one in before}
    stamp = now.isoformat(timespec="seconds")
    settled: dict[str, Finding] = {}
    for one in found:
        old = earlier.get(one.id)
        settled[one.id] = replace(
            one,
            state=FindingState.KNOWN if old and old.first_run < run else FindingState.NEW,
            first_run=old.first_run if old else run,
            first_seen=old.first_seen if old else stamp,
            last_run=run,
            last_seen=stamp,
        )
    for name, old in earlier.items():
        # What only a cut-off attempt at this run found never was.
        if name not in settled and old.first_run < run:
            settled[name] = replace(old, state=FindingState.GONE, last_run=min(old.last_run, run - 1))
    return [settled[name] for name in sorted(settled)]


def _finding(one: Judged, sha256: str | None) -> Finding:
    return Finding(
        match=one.match,
        severity=one.verdict.severity,
        state=FindingState.NEW,
        rule=one.verdict.rule,
        checkpoint_sha256=sha256,
        explained_by_base=one.verdict.explained_by_base,
        explained_by_others=one.verdict.explained_by_others,
    )
