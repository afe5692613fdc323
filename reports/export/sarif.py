"""Findings as a SARIF 2.1.0 log (OASIS standard), the form that code-scanning services read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.export.links import urn
from reports.finding import FindingState, Severity
from scanner.job import State

if TYPE_CHECKING:
    from reports.report import Report

Node = dict[str, Any]

LEVELS = {
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
SECURITY_SEVERITY = {
    Severity.LOW: "2.0",
    Severity.MEDIUM: "5.0",
    Severity.HIGH: "8.0",
    Severity.CRITICAL: "9.5",
}
"""GitHub takes its words from this number, 0 to 10: over 9.0 critical, from 7.0 high, from 4.0 medium."""
BASELINE = {FindingState.NEW: "new", FindingState.KNOWN: "unchanged", FindingState.GONE: "absent"}

EXPLAINED = {
    "explained_by_base": "The base model alone comes as near to the reference, "
    "so the fine-tune did not leak it.",
    "explained_by_others": "Half of the wrong checkpoints come as near to the reference, "
    "so it is not this one's own.",
}

_MEANINGS = {
    Severity.LOW: "An extraction resembles a reference: a lead to look into, not evidence.",
    Severity.MEDIUM: "An extraction is like a reference by two measures that are each too weak alone.",
    Severity.HIGH: "An extraction is very likely a copy of a reference.",
    Severity.CRITICAL: "An extraction is a copy of a reference as far as the measures can tell.",
}
_HELP = (
    "The checkpoint gives back a picture of the reference set. Scan again with another seed, "
    "then decide with a person who may see the picture."
)


def sarif(report: Report) -> Node:
    """Return the log with one run: rules by severity, results, failed scans as notifications, coverage."""
    run: Node = {
        "tool": {
            "driver": {
                "name": "leaksweep",
                "semanticVersion": report.version,
                "version": report.version,
                "rules": [_rule(severity) for severity in Severity],
            }
        },
        "automationDetails": {"id": "leaksweep/"},
        "invocations": [_invocation(report)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(rows) for _, rows in report.findings.groupby("id", sort=False)],
        "properties": {"coverage": _coverage(report), "recipe": report.recipe.id},
    }
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def plain(text: str) -> str:
    """Return text that stands for itself in a SARIF message, where [](), {0} and backslash have a meaning."""
    for special in "\\[]":
        text = text.replace(special, f"\\{special}")
    return text.replace("{", "{{").replace("}", "}}")


def rule_id(severity: Severity) -> str:
    """Return the stable name of a severity's rule; the thresholds may change under it."""
    return f"leak-{severity.label}"


def _rule(severity: Severity) -> Node:
    return {
        "id": rule_id(severity),
        "name": f"TrainingPictureLeak{severity.label.capitalize()}",
        "shortDescription": {"text": f"Training picture leaks ({severity.label})"},
        "fullDescription": {"text": _MEANINGS[severity]},
        "help": {"text": _HELP},
        "defaultConfiguration": {"level": LEVELS[severity]},
        "properties": {"security-severity": SECURITY_SEVERITY[severity], "tags": ["privacy", "memorisation"]},
    }


def _result(places: pd.DataFrame) -> Node:
    """Return one finding: its first place is its location, other places of the weights are related ones."""
    row, *others = places.to_dict("records")
    severity = Severity[row["severity"].upper()]
    who = plain(row["checkpoint_id"] if pd.isna(row["repo"]) else row["repo"])
    node = {
        "ruleId": rule_id(severity),
        "ruleIndex": list(Severity).index(severity),
        "level": LEVELS[severity],
        "message": {
            "text": f"{who} gives back {plain(row['ref_id'])} of the reference set {plain(row['set'])}."
        },
        "locations": [_location(row)],
        "partialFingerprints": {"findingId/v1": row["id"]},
        "baselineState": BASELINE[FindingState(row["state"])],
        "properties": {name: value for name in _EVIDENCE if (value := _json(row[name])) is not None},
    }
    if others:
        node["relatedLocations"] = [_location(other) for other in others]
    why = [text for name, text in EXPLAINED.items() if row[name]]
    if why:
        node["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": text} for text in why
        ]
    return node


_EVIDENCE = (
    "rule", "similarity", "control_similarity", "descriptor", "pdq_distance", "phash_distance", "mirrored",
    "control_pdq_distance", "control_phash_distance", "explained_by_base", "explained_by_others",
    "p_value", "others", "others_same_base", "others_as_near", "others_similarity", "first_seen", "last_seen",
    "cluster_size", "cohesion", "seed", "recipe_id", "extraction_id", "occurrences",
)  # fmt: skip


def _location(row: dict[Any, Any]) -> Node:
    if pd.isna(row["repo"]):
        hub, _, rest = row["checkpoint_id"].partition(":")
        uri = urn(hub, rest, "", "")
    elif pd.isna(row["url"]):
        uri = urn(row["hub"], row["repo"], row["revision"], row["path"])
    else:
        uri = row["url"]
    return {
        "physicalLocation": {"artifactLocation": {"uri": uri}},
        "logicalLocations": [{"fullyQualifiedName": row["checkpoint_id"], "kind": "resource"}],
    }


def _invocation(report: Report) -> Node:
    broken = report.checkpoints[report.checkpoints["state"].isin([State.FAILED, State.QUARANTINED])]
    return {
        "executionSuccessful": report.coverage.complete,
        "exitCode": int(report.exit_code),
        "endTimeUtc": report.generated_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "toolExecutionNotifications": [
            {
                "level": "error",
                "message": {
                    "text": plain(
                        f"{row['repo']} was not scanned: {_json(row['detail']) or 'no reason given'}"
                    )
                },
                "locations": [_location(row)],
                "properties": {
                    "state": row["state"],
                    "reason": _json(row["reason"]),
                    "attempts": _json(row["attempts"]),
                },
            }
            for row in broken.to_dict("records")
        ],
    }


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


def _json(value: Any) -> Any:
    """Return None for what pandas calls missing, else the value."""
    return None if pd.isna(value) else value
