"""Setting findings aside, and putting them back: each act is written with its entry in the audit log."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from leaksweep.operator_name import operator
from leaksweep.run import Run
from leaksweep.settings import SettingsError
from leaksweep.stores import Stores, opened
from reports.findings.suppressions import Suppression

_ID = re.compile(r"[0-9a-f]{16}")


def day(text: str) -> date:
    """Return the day that a text such as "2027-01-31" names.

    Raises:
        SettingsError: it names none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"--until {text}: is no day; write it as 2027-01-31") from error


def suppress(run: Run, finding_id: str, why: str, until: date | None) -> Suppression:
    """Set a finding aside: it counts no more, at once in reports and from the next match on.

    Raises:
        SettingsError: there is no such finding.
        CrawlError, ReportError: there is no reason, the day is past, or a store cannot be used.
    """
    with opened(run) as stores:
        _check(stores, finding_id)
        suppressions, audit, who = stores.suppressions, stores.audit, operator()
        with stores.engine.begin() as db:
            # The log first: it holds all other writers off until both are written.
            detail = {"why": why.strip(), "until": until.isoformat() if until else None}
            audit.append(who, "suppress", finding_id, detail, db=db)
            return suppressions.put(finding_id, who, why, until, db=db)


def lift(run: Run, finding_id: str) -> Suppression:
    """End what sets a finding aside, and return it as it was.

    Raises:
        SettingsError: there is no such finding.
        CrawlError, ReportError: nothing sets it aside, or a store cannot be used.
    """
    with opened(run) as stores:
        suppressions, audit, who = stores.suppressions, stores.audit, operator()
        if not suppressions.history(finding_id):
            _check(stores, finding_id)
        with stores.engine.begin() as db:
            audit.append(who, "lift", finding_id, db=db)
            return suppressions.lift(finding_id, who, db=db)


def listed(run: Run) -> list[dict[str, Any]]:
    """Every act in its order, those that have ended too, as plain values; `holds` tells whether it does.

    Raises:
        CrawlError: a store cannot be used.
    """
    now = datetime.now(UTC)
    with opened(run) as stores:
        acts = stores.suppressions.history()
    return [
        {**asdict(one), "until": one.until.isoformat() if one.until else None, "holds": one.holds(now)}
        for one in acts
    ]


def _check(stores: Stores, finding_id: str) -> None:
    if not _ID.fullmatch(finding_id):
        raise SettingsError(f"{finding_id}: is no finding's id, which is 16 hex digits; see findings.csv")
    if all(one.id != finding_id for one in stores.findings.findings()):
        raise SettingsError(f"{finding_id}: there is no such finding; findings.csv of a report shows the ids")
