"""What people have said since is laid over what matching found: suppressions and withdrawn references."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Protocol

from reports.finding import Finding, FindingState
from reports.findings.changes import REFERENCE_RESTORED, SUPPRESSION_ENDED

OF_THE_RUN = ("set ", "flood cap")
"""How `settled_by` begins when the run set a finding aside by itself, and not a person."""


class Suppressing(Protocol):
    """A person's act of setting a finding aside; see `reports.findings.suppressions.Suppression`."""

    @property
    def who(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def until(self) -> date | None: ...
    def holds(self, now: datetime) -> bool: ...


class Withdrawing(Protocol):
    """A person's act of withdrawing a reference; see `reports.references.withdrawals`."""

    @property
    def who(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def at(self) -> datetime | str: ...


Suppressed = Mapping[str, Suppressing]
"""By the finding's id."""
Withdrawn = Mapping[tuple[str, str], Withdrawing]
"""By reference set and reference."""
NONE: Mapping[str, Suppressing] = MappingProxyType({})
NONE_WITHDRAWN: Withdrawn = MappingProxyType({})


def restate(
    findings: Iterable[Finding],
    suppressions: Suppressed,
    withdrawals: Withdrawn,
    now: datetime,
    *,
    run: int | None = None,
) -> list[Finding]:
    """Return the findings as they stand now, in the order given; again changes nothing.

    The first that applies is the state: the reference is withdrawn; the run set the finding aside by itself
    (negative set, flood); a person suppressed it; else what matching said. Where an act has ended, a finding
    that the last run saw is changed ("suppression ended"), or new if that run was its first; others are gone.

    Args:
        findings: as `reports.findings.states.against` leaves them.
        suppressions: of a finding the last one; those that do not hold any more are passed over.
        run: number of the last run; None takes the last one that found anything.
    """
    listed = list(findings)
    last = run if run is not None else max((one.last_run for one in listed), default=0)
    return list(restated(listed, suppressions, withdrawals, now, run=last))


def restated(
    findings: Iterable[Finding], suppressions: Suppressed, withdrawals: Withdrawn, now: datetime, *, run: int
) -> Iterator[Finding]:
    """Yield the same, one by one: there may be more findings than fit into memory."""
    for one in findings:
        yield _restated(one, suppressions.get(one.id), withdrawals.get(_reference(one)), now, run)


def _reference(one: Finding) -> tuple[str, str]:
    return one.match.set_name, one.match.ref_id


def _restated(
    one: Finding, suppression: Suppressing | None, withdrawal: Withdrawing | None, now: datetime, run: int
) -> Finding:
    if withdrawal is not None:
        at = withdrawal.at if isinstance(withdrawal.at, str) else withdrawal.at.isoformat(timespec="seconds")
        return aside(one, FindingState.WITHDRAWN, withdrawal.who, withdrawal.why, at)
    if one.state is FindingState.SUPPRESSED and one.settled_by.startswith(OF_THE_RUN):
        return one
    if suppression is not None and suppression.holds(now):
        until = suppression.until.isoformat() if suppression.until else ""
        return aside(
            one, FindingState.SUPPRESSED, suppression.who, suppression.why, suppression.at, until=until
        )
    if one.state not in (FindingState.SUPPRESSED, FindingState.WITHDRAWN):
        return one
    return _returned(one, run)


def _returned(one: Finding, run: int) -> Finding:
    """What set it aside has ended."""
    free = replace(one, settled_by="", settled_why="", settled_at="", settled_until="", changed="")
    if one.last_run < run:
        return replace(free, state=FindingState.GONE)
    if one.first_run == run:
        return replace(free, state=FindingState.NEW)
    ended = REFERENCE_RESTORED if one.state is FindingState.WITHDRAWN else SUPPRESSION_ENDED
    return replace(free, state=FindingState.CHANGED, changed=ended)


def aside(one: Finding, state: FindingState, who: str, why: str, at: str, *, until: str = "") -> Finding:
    """Return the finding set aside, with who did it and why."""
    return replace(
        one, state=state, changed="", settled_by=who, settled_why=why, settled_at=at, settled_until=until
    )
