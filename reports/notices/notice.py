"""What a run's notice says: its number, counts by severity and state, and ids of findings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reports.finding import FindingState, Severity
from reports.report import Report

VERSION = 1
"""Of the message; raised when a field changes its name or meaning."""
MOST_IDS = 1000
"""Ids in one message, strongest findings first; it says how many it leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message, as it is sent."""

    key: str
    """The same for every attempt to tell of the same run, so that a receiver can drop what it has had."""
    body: bytes
    """JSON in ASCII. It holds no pixels, hashes, names of references or of who gave them, and no prompts."""


def run_notice(report: Report, key: str) -> Notice:
    """Return what is said of a run."""
    each = report.ranked.each
    fresh = each[each["counts"] & each["state"].isin([FindingState.NEW, FindingState.CHANGED])]
    table = each.groupby(["severity", "state"]).size()
    covered = report.coverage
    return _notice(
        key,
        report.generated_at,
        {
            "event": "run",
            "run": report.matching.run if report.matching else None,
            "exit_code": int(report.exit_code),
            "complete": covered.complete and not report.deaf,
            "fail_on": report.fail_on.label,
            "counts": {severity.label: count for severity, count in report.by_severity.items()},
            "findings": {
                severity.label: {
                    str(state): int(table.get((severity.label, str(state)), 0)) for state in FindingState
                }
                for severity in reversed(Severity)
            },
            "checkpoints": {
                "scanned": covered.scanned,
                "left_out": covered.left_out,
                "failed": covered.failed,
                "pending": covered.pending,
                "unplanned": covered.unplanned,
            },
            "canaries": {
                "planted": report.matching.canaries.planted if report.matching else 0,
                "found": report.matching.canaries.found if report.matching else 0,
            },
            "new": fresh["id"].head(MOST_IDS).tolist(),
            "new_left_out": max(0, len(fresh) - MOST_IDS),
        },
    )


def trial_notice(key: str, now: datetime) -> Notice:
    """Return a message that only tries the way to the receiver."""
    return _notice(key, now, {"event": "test"})


def _notice(key: str, now: datetime, content: Mapping[str, Any]) -> Notice:
    told = {"version": VERSION, "key": key, "at": now.strftime("%Y-%m-%dT%H:%M:%SZ"), **content}
    return Notice(key=key, body=json.dumps(told, separators=(",", ":")).encode())
