"""What reviewers' labels say of the ladder: of the findings that a rule gave, how many were right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reports.finding import Finding
from reports.rates.leakage import Proportion


def precision_by(findings: Iterable[Finding], right: Mapping[str, bool]) -> dict[str, Proportion]:
    """Return confirmed findings of all that were settled, by severity, then by rule; in order of name.

    Args:
        right: by finding id, whether reviewers confirmed it (`reports.review.labels.Labels`).
    """
    counts: dict[str, list[int]] = {}
    for one in findings:
        if one.id in right:
            for name in (f"severity {one.severity.label}", f"rule {one.rule}"):
                tally = counts.setdefault(name, [0, 0])
                tally[0] += right[one.id]
                tally[1] += 1
    order = sorted(counts, key=lambda name: (not name.startswith("severity"), name))
    return {name: Proportion(count=counts[name][0], of=counts[name][1]) for name in order}
