"""An extraction by its id, or by the id of a finding that rests on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leaksweep.run import Run
from leaksweep.settings import SettingsError
from leaksweep.stores import opened
from reports.finding import Finding

HOW_TO_LIST = "leaksweep explain without an ID lists them, and so do findings.csv and extractions.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An extraction's row, and the finding by whose id it was asked for."""

    row: dict[str, Any]
    """As `scanner.extraction_rows.EXTRACTION_SCHEMA`."""
    finding: Finding | None


def look_up(run: Run, name: str) -> Found:
    """Find an extraction.

    Raises:
        SettingsError: there is none of that name, nor a finding.
        ScanError, ReportError: a store cannot be used.
    """
    if not run.home.exists:
        raise SettingsError(f"{name}: nothing has been scanned in {run.home.root}; leaksweep sweep begins")
    with opened(run) as stores:
        findings = {one.id: one for one in stores.findings.findings()}
        finding = findings.get(name)
        row = stores.extractions.row(finding.match.extraction_id if finding else name)
    if row is None and finding:
        raise SettingsError(
            f"{name}: its extraction {finding.match.extraction_id} is gone: it was scanned again"
        )
    if row is None:
        nothing = "there is no extraction, finding or checkpoint of this id"
        raise SettingsError(f"{name}: {nothing}; {HOW_TO_LIST}")
    return Found(row=row, finding=finding)
