"""What differs between a finding and the same finding earlier, in words."""

from __future__ import annotations

from dataclasses import dataclass

from reports.finding import Finding, FindingState, Severity

SEEN_AGAIN = "seen again"
SUPPRESSION_ENDED = "suppression ended"
REFERENCE_RESTORED = "reference restored"

_ENDED = {
    FindingState.GONE: SEEN_AGAIN,
    FindingState.SUPPRESSED: SUPPRESSION_ENDED,
    FindingState.WITHDRAWN: REFERENCE_RESTORED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a change is told from: of a finding then or now. None and "" for what is not known."""

    severity: Severity
    places: frozenset[str]
    """Checkpoint ids."""
    qualifier: str | None
    """What holds the rule's severity down: "flood", "seed", "disputed", or "" for nothing."""
    explained: bool | None
    state: FindingState

    @classmethod
    def of(cls, finding: Finding) -> Standing:
        """Return a finding's standing."""
        return cls(
            severity=finding.severity,
            places=frozenset(finding.checkpoint_ids or (finding.match.checkpoint_id,)),
            qualifier=qualifier(finding.rule),
            explained=finding.explained_by_base or finding.explained_by_others,
            state=finding.state,
        )


def qualifier(rule: str) -> str:
    """Return the first word of what stands before a rule: "flood" of "flood of more than 3: pdq<=20"."""
    before, colon, _ = rule.rpartition(": ")
    return before.split(maxsplit=1)[0].rstrip(",") if colon and before.strip() else ""


def differences(then: Standing, now: Standing) -> str:
    """Return what differs, such as "severity high, was medium; 2 places more"; empty: nothing that counts.

    Distances, the rule within its severity, and how many extractions agree may move without being told.
    """
    said = [_ENDED[then.state]] if then.state in _ENDED else []
    if then.severity is not now.severity:
        said.append(f"severity {now.severity.label}, was {then.severity.label}")
    if then.qualifier is not None and then.qualifier != now.qualifier:
        said.append(f"held down by {now.qualifier or 'nothing'}, was {then.qualifier or 'nothing'}")
    if then.explained is not None and then.explained is not now.explained:
        said.append("explained now" if now.explained else "not explained any more")
    more, fewer = len(now.places - then.places), len(then.places - now.places)
    said += [
        f"{count} {'place' if count == 1 else 'places'} {word}"
        for count, word in ((more, "more"), (fewer, "fewer"))
        if count
    ]
    return "; ".join(said)
