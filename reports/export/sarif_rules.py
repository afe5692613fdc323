"""The rules of a SARIF log: one for each severity, with stable names."""

from __future__ import annotations

from typing import Any

from reports.finding import Severity

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


def rule_id(severity: Severity) -> str:
    """Return the stable name of a severity's rule; the thresholds may change under it."""
    return f"leak-{severity.label}"


def rule(severity: Severity) -> dict[str, Any]:
    """Return a severity's rule as a SARIF reportingDescriptor."""
    return {
        "id": rule_id(severity),
        "name": f"TrainingPictureLeak{severity.label.capitalize()}",
        "shortDescription": {"text": f"Training picture leaks ({severity.label})"},
        "fullDescription": {"text": _MEANINGS[severity]},
        "help": {"text": _HELP},
        "defaultConfiguration": {"level": LEVELS[severity]},
        # GitHub reads the number only where "security" is among the tags.
        "properties": {
            "security-severity": SECURITY_SEVERITY[severity],
            "tags": ["security", "privacy", "memorisation"],
        },
    }
