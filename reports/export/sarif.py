"""Findings as a SARIF 2.1.0 log (OASIS standard), the form that code-scanning services read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.export.columns import CHECKPOINTS, FINDINGS
from reports.export.sarif_rules import LEVELS, rule, rule_id
from reports.export.sarif_text import location, plain
from reports.export.text import count
from reports.export.typed import Row, records
from reports.finding import FindingState, Severity
from scanner.job import State

if TYPE_CHECKING:
    from reports.report import Report

Node = dict[str, Any]

MOST_RESULTS = 25_000
"""GitHub refuses a run with more. The strongest are kept, and the log says how many there are in all."""
MOST_PLACES = 100
"""Places of one result; GitHub shows no more."""
MOST_NOTIFICATIONS = 1000
"""Failed scans that are named one by one."""

BASELINE = {
    FindingState.NEW: "new",
    FindingState.KNOWN: "unchanged",
    FindingState.CHANGED: "updated",
    FindingState.GONE: "absent",
    FindingState.WITHDRAWN: "absent",
}
"""A suppressed one is new or unchanged, by the run that found it first."""

EXPLAINED = {
    "explained_by_base": "The base model alone comes as near to the reference, "
    "so the fine-tune did not leak it.",
    "explained_by_others": "Half of the wrong checkpoints come as near to the reference, "
    "so it is not this one's own.",
}
_SETTLED = {FindingState.SUPPRESSED: "Suppressed", FindingState.WITHDRAWN: "Its reference was withdrawn"}

_EVIDENCE = (
    "state", "changed", "rule", "similarity", "normalised_similarity", "control_similarity", "descriptor",
    "pdq_distance", "phash_distance", "phash256_distance", "mirrored", "control_pdq_distance",
    "control_phash_distance", "control_phash256_distance", "explained_by_base", "explained_by_others",
    "p_value", "others", "others_same_base", "others_as_near", "others_similarity", "first_seen", "last_seen",
    "cluster_size", "cohesion", "seed", "recipe_id", "extraction_id", "occurrences",
)  # fmt: skip


def sarif(report: Report) -> Node:
    """Return the log with one run: rules by severity, results, failed scans as notifications, coverage."""
    findings = len(report.ranked.each)
    run: Node = {
        "tool": {
            "driver": {
                "name": "leaksweep",
                "semanticVersion": report.version,
                "version": report.version,
                "rules": [rule(severity) for severity in Severity],
            }
        },
        "automationDetails": {"id": "leaksweep/"},
        "invocations": [_invocation(report, findings)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(list(places)) for places in _by_id(report.ranked.strongest(MOST_RESULTS))],
        "properties": {"coverage": _coverage(report), "recipe": report.recipe.id, "findings": findings},
    }
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _by_id(findings: pd.DataFrame) -> Iterable[Iterable[Row]]:
    """Return the rows of each finding, which lie together in the frame, in its order."""
    return (rows for _, rows in groupby(records(findings, FINDINGS), key=itemgetter("id")))


def _result(places: list[Row]) -> Node:
    """Return one finding: its first place is its location, other places of the weights are related ones."""
    row, *others = places[:MOST_PLACES]
    severity = Severity[row["severity"].upper()]
    who = plain(row["checkpoint_id"] if row["repo"] is None else row["repo"])
    node = {
        "ruleId": rule_id(severity),
        "ruleIndex": list(Severity).index(severity),
        "level": LEVELS[severity],
        "message": {
            "text": f"{who} gives back {plain(row['ref_id'])} of the reference set {plain(row['set'])}."
        },
        "locations": [location(row)],
        # The second is what GitHub tells alerts apart by, with a count as CodeQL writes it.
        "partialFingerprints": {"findingId/v1": row["id"], "primaryLocationLineHash": f"{row['id']}:1"},
        "baselineState": _baseline(row),
        "properties": {name: value for name in _EVIDENCE if (value := row[name]) is not None},
    }
    if others:
        node["relatedLocations"] = [location(other) for other in others]
    if why := _suppressions(row):
        node["suppressions"] = why
    return node


def _baseline(row: Row) -> str:
    state = FindingState(row["state"])
    if state is FindingState.SUPPRESSED:
        first = row["first_run"]
        return "new" if first is not None and first == row["last_run"] else "unchanged"
    return BASELINE[state]


def _suppressions(row: Row) -> list[Node]:
    """Return why a finding does not count; empty for one that does, and for one that is merely gone."""
    why: list[Node] = [
        {"kind": "external", "status": "accepted", "justification": text}
        for name, text in EXPLAINED.items()
        if row[name]
    ]
    if words := _SETTLED.get(FindingState(row["state"])):
        until = row["settled_until"]
        parts = (
            f"{words} by {plain(row['settled_by'] or 'nobody named')}",
            f"at {plain(row['settled_at'] or 'an unknown time')}",
            f"until {plain(until)}" if until else "for good",
        )
        reason = plain(row["settled_why"] or "no reason given")
        properties = {name: row[f"settled_{name}"] for name in ("by", "at", "until")}
        why.append(
            {
                "kind": "external",
                "status": "accepted",
                "justification": f"{', '.join(parts)}: {reason}",
                "properties": {name: value for name, value in properties.items() if value is not None},
            }
        )
    return why


def _invocation(report: Report, findings: int) -> Node:
    broken = report.checkpoints[report.checkpoints["state"].isin([State.FAILED, State.QUARANTINED])]
    notes = [_failure(row) for row in records(broken.head(MOST_NOTIFICATIONS), CHECKPOINTS)]
    if findings > MOST_RESULTS:
        notes.append(_left_out("findings", "findings", MOST_RESULTS, findings))
    if len(broken) > MOST_NOTIFICATIONS:
        notes.append(_left_out("failed scans", "checkpoints", MOST_NOTIFICATIONS, len(broken)))
    if report.matching and report.deaf:
        notes.append(_deaf(report.matching.canaries.found, report.matching.canaries.planted))
    return {
        "executionSuccessful": report.coverage.complete and not report.deaf,
        "exitCode": int(report.exit_code),
        "endTimeUtc": report.generated_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "toolExecutionNotifications": notes,
    }


def _failure(row: Row) -> Node:
    reason = row["detail"] or "no reason given"
    return {
        "level": "error",
        "message": {"text": f"{plain(row['repo'])} was not scanned: {plain(reason)}"},
        "locations": [location(row)],
        "properties": {name: row[name] for name in ("state", "reason", "attempts")},
    }


def _deaf(found: int, planted: int) -> Node:
    text = (
        f"Of {planted} canaries, {found} were found: the matching was blind, so nothing it missed is clear."
    )
    return {"level": "error", "message": {"text": text}}


def _left_out(what: str, table: str, shown: int, there: int) -> Node:
    text = (
        f"This log holds {count(shown)} of {count(there)} {what}, the first of them; "
        f"{table}.parquet beside it has all."
    )
    return {"level": "warning", "message": {"text": text}}


def _coverage(report: Report) -> Node:
    covered = report.coverage
    return {
        "total": covered.total,
        "scanned": covered.scanned,
        "skipped": dict(covered.skipped),
        "failed": covered.failed,
        "pending": covered.pending,
        "unplanned": covered.unplanned,
    }
