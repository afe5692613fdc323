"""What the stores know of a checkpoint or an extraction, put together; and which extractions there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from leaksweep.account import Account
from leaksweep.dossier import dossiers
from leaksweep.dossier_text import text
from leaksweep.lookup import Found
from leaksweep.run import Run
from leaksweep.stores import opened
from reports.findings.ladder import judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A dossier as it is printed."""

    content: dict[str, Any]
    text: str


def about_checkpoints(run: Run, name: str) -> list[Told]:
    """What is known of the checkpoints and skips that go by a name; empty when there are none.

    Raises:
        CrawlError, ScanError: the database cannot be used.
    """
    if not run.home.exists:
        return []
    with opened(run) as stores:
        found = dossiers(stores.catalog, stores.ledger, name)
        return [Told(content=one.to_json(), text=text(one)) for one in found]


def explain(run: Run, found: Found) -> Account:
    """Put together what the stores know.

    Raises:
        CrawlError, ScanError, ReportError: a store cannot be used.
    """
    row, settings = found.row, run.settings.reports
    with opened(run) as stores:
        matches, findings = stores.findings.matches(), stores.findings.findings()
        evidence = stores.findings.evidence().get(row["id"])
        rows = stores.ledger.rows(row["recipe_id"])
        job = next((one for one in rows if one.job_id == row["job_id"]), None)
    judged = [
        (match, verdict)
        for match in matches
        if match.extraction_id == row["id"] and (verdict := judge(match, settings))
    ]
    hidden = ("descriptor", "control_descriptor", "recipe")
    return Account(
        extraction={name: value for name, value in row.items() if name not in hidden},
        generations=job.measures.get("generations") if job else None,
        evidence=evidence,
        matches=tuple(sorted(judged, key=lambda one: (-one[1].severity, one[0].set_name, one[0].ref_id))),
        findings=tuple(one for one in findings if one.match.extraction_id == row["id"]),
        settings=settings,
    )


def list_ids(run: Run) -> list[dict[str, Any]]:
    """Every extraction with the ids of the findings that rest on it."""
    if not run.home.exists:
        return []
    resting: dict[str, list[str]] = {}
    with opened(run) as stores:
        for one in stores.findings.findings():
            resting.setdefault(one.match.extraction_id, []).append(one.id)
        rows = stores.extractions.rows(["id", "checkpoint_id", "recipe_id", "rank"])
    ordered = rows.take(pc.sort_indices(rows, [(name, "ascending") for name in ("checkpoint_id", "id")]))
    return [{**row, "findings": resting.get(row["id"], [])} for row in ordered.to_pylist()]
