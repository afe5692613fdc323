"""What is in the stores, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from leaksweep.reporting import standing_findings
from leaksweep.run import Run
from leaksweep.stores import opened
from leaksweep.summaries import counted
from reports.finding import Finding, FindingState
from reports.findings.ladder import counts
from reports.matching.stage import last_summary
from scanner.job import LedgerRow, State


def read_status(run: Run) -> dict[str, Any]:
    """Counts of every store and bytes on disk. Makes no store: an absent one counts nothing.

    Raises:
        CrawlError, ScanError, ReportError: a store was made by another version.
    """
    home = run.home
    found: dict[str, Any] = {"home": str(home.root), "recipe_id": run.settings.recipe.id}
    if not home.exists:
        return found
    with opened(run) as stores:
        catalog, ledger = stores.catalog, stores.ledger
        found["catalog"] = catalog.counts()
        found["skips"] = {str(reason): count for reason, count in catalog.skip_counts().items()}
        found["jobs"] = {str(state): count for state, count in ledger.counts().items()}
        found["not_scanned"] = _not_scanned(ledger.rows(run.settings.recipe.id))
        found["extractions"] = stores.extractions.sizes()
        found["references"] = {one.name: one.entries for one in stores.references.sets()}
        found["findings"] = _findings(standing_findings(stores, datetime.now(UTC)))
        summary = last_summary(stores.findings)
    found["last_match"] = summary.run if summary else None
    found["sweep_under_way"] = home.open_sweep() is not None
    found["bytes"] = home.sizes()
    return found


def status_text(found: dict[str, Any]) -> str:
    """The same for a person."""
    if "catalog" not in found:
        return f"{found['home']}: nothing yet; leaksweep sweep begins"
    sizes = [f"{name} {count / 1e6:.1f} MB" for name, count in found["bytes"].items()]
    sets = [f"{name} ({entries})" for name, entries in found["references"].items()]
    held = found["extractions"]
    lines = {
        "home": found["home"],
        "catalog": counted(found["catalog"]),
        "skips": counted(found["skips"]),
        "jobs": counted(found["jobs"]),
        "not scanned": counted(found["not_scanned"]),
        "extractions": f"{held['extractions']}, {held['images']} with pictures",
        "references": ", ".join(sets) or "none",
        "findings": counted(found["findings"]),
        "on disk": ", ".join(sizes),
    }
    if found["sweep_under_way"]:
        lines["sweep"] = "was cut off; leaksweep sweep goes on"
    return "\n".join(f"{name:<12} {text}" for name, text in lines.items())


def _not_scanned(rows: Iterable[LedgerRow]) -> dict[str, int]:
    """What the recipe in force left out or skipped, by reason; what triage set aside is among it."""
    return dict(Counter(row.reason for row in rows if row.state is State.SKIPPED))


def _findings(findings: Iterable[Finding]) -> dict[str, int]:
    """Findings of today by severity; those that do not count by their state, or as explained."""
    found: Counter[str] = Counter()
    for one in findings:
        aside = one.state in (FindingState.SUPPRESSED, FindingState.WITHDRAWN)
        if one.state is not FindingState.GONE:
            found[one.severity.label if counts(one) else str(one.state) if aside else "explained"] += 1
    return dict(found)
