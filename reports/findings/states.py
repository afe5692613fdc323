"""From judged matches to findings: one for a checkpoint and a reference, with its state from run to run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reports.finding import Finding, FindingState, Match, Severity
from reports.findings.changes import Standing, differences
from reports.findings.ladder import Verdict
from reports.findings.restating import NONE, NONE_WITHDRAWN, Suppressed, Withdrawn, restate

FLOOD = "flood cap"
"""`settled_by` of the findings with a reference in quarantine."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A match and what the ladder says of it."""

    match: Match
    verdict: Verdict

    @property
    def rank(self) -> tuple[bool, bool, int, int, float, int]:
        """Higher is the better evidence: not set aside first, not explained, then graver, then nearer."""
        match, verdict = self.match, self.verdict
        return (
            not verdict.aside_by,
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
    """Put the references that match more than `cap` checkpoints into quarantine.

    Their matches become leads that are set aside, so that nobody is paged by a border or a logo; they stay in
    the lists, and the references are named in the summary for somebody to look at.
    """
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in judged:
        seen[one.match.set_name, one.match.ref_id].add(one.match.checkpoint_id)
    floods = {key: len(checkpoints) for key, checkpoints in seen.items() if len(checkpoints) > cap}
    calmed = [
        _quarantined(one, cap, floods[one.match.set_name, one.match.ref_id])
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
    groups: dict[tuple[str, str, str, bool], list[Judged]] = defaultdict(list)
    for one in judged:
        match = one.match
        subject = digests.get(match.checkpoint_id) or match.checkpoint_id
        # What an id is made of; see `Finding.id`.
        groups[subject, match.set_name, match.ref_id, match.similarity is None].append(one)
    merged = []
    for group in groups.values():
        # Among equals the first extraction, so that a finding does not depend on the order of matches.
        group.sort(key=lambda one: one.match.extraction_id)
        best = max(group, key=lambda one: one.rank)
        places = tuple(sorted({one.match.checkpoint_id for one in group}))
        finding = finding_of(best, digests.get(best.match.checkpoint_id))
        merged.append(replace(finding, occurrences=len(group), checkpoint_ids=places))
    return sorted(merged, key=lambda one: one.id)


def against(
    found: Iterable[Finding],
    before: Iterable[Finding],
    run: int,
    now: datetime,
    *,
    suppressions: Suppressed = NONE,
    withdrawals: Withdrawn = NONE_WITHDRAWN,
) -> list[Finding]:
    """Return today's findings and those of earlier runs, by id, with their state; see docs/findings.md.

    Doing the same run again, after a kill or on purpose, changes nothing: what it found first stays new, and
    what it found changed stays so.

    Args:
        before: what the store holds, which may come from this very run.
        run: number of this run; earlier ones have lower numbers.
        suppressions, withdrawals: what people have said; see `reports.findings.restating.restate`.
    """
    earlier = {one.id: one for one in before}
    stamp = now.isoformat(timespec="seconds")
    settled = {one.id: _seen(one, earlier.get(one.id), run, stamp) for one in found}
    for name, old in earlier.items():
        # What only a cut-off attempt at this run found never was.
        if name not in settled and old.first_run < run:
            settled[name] = _missed(old, run)
    ordered = [settled[name] for name in sorted(settled)]
    return restate(ordered, suppressions, withdrawals, now, run=run)


def finding_of(one: Judged, sha256: str | None) -> Finding:
    """Return the finding that a match by itself would make, as yet without a run.

    Args:
        sha256: of the checkpoint's weights, where known.
    """
    verdict = one.verdict
    return Finding(
        match=one.match,
        severity=verdict.severity,
        state=FindingState.SUPPRESSED if verdict.aside_by else FindingState.NEW,
        rule=verdict.rule,
        checkpoint_sha256=sha256,
        explained_by_base=verdict.explained_by_base,
        explained_by_others=verdict.explained_by_others,
        settled_by=verdict.aside_by,
        settled_why=verdict.aside_why,
    )


def _seen(one: Finding, old: Finding | None, run: int, stamp: str) -> Finding:
    """Return today's finding with its dates, and its state against the run before."""
    state, changed, settled_at = FindingState.NEW, "", ""
    if one.state is FindingState.SUPPRESSED:
        since = old.settled_at if old and old.settled_by == one.settled_by else stamp
        state, settled_at = FindingState.SUPPRESSED, since
    elif old and old.first_run < run:
        changed = _changed(old, one, run)
        state = FindingState.CHANGED if changed else FindingState.KNOWN
    return replace(
        one,
        state=state,
        changed=changed,
        settled_at=settled_at,
        first_run=old.first_run if old else run,
        first_seen=old.first_seen if old else stamp,
        last_run=run,
        last_seen=old.last_seen if old and old.last_run == run else stamp,
    )


def _missed(old: Finding, run: int) -> Finding:
    return replace(
        old,
        state=FindingState.GONE,
        last_run=min(old.last_run, run - 1),
        changed="",
        settled_by="",
        settled_why="",
        settled_at="",
        settled_until="",
    )


def _changed(old: Finding, one: Finding, run: int) -> str:
    then = Standing.of(old)
    if old.state is FindingState.GONE and old.last_run == run - 1:
        # An attempt at this run missed it; the run before did not.
        then = replace(then, state=FindingState.KNOWN)
    said = differences(then, Standing.of(one))
    # The same run again finds what its first attempt wrote: the run before is known from its words only.
    return said or (old.changed if old.last_run == run else "")


def _quarantined(one: Judged, cap: int, checkpoints: int) -> Judged:
    verdict = replace(
        one.verdict, severity=Severity.LOW, rule=f"flood of more than {cap}: {one.verdict.rule}"
    )
    if verdict.aside_by:
        return Judged(one.match, verdict)
    why = f"the reference matches {checkpoints} checkpoints, more than reports.flood_cap = {cap}"
    return Judged(one.match, replace(verdict, aside_by=FLOOD, aside_why=why))
