"""The stores put together for the report; the report itself reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from crawler.checkpoint import Hub
from crawler.settings import CrawlerSettings
from leaksweep import __version__
from leaksweep.run import Run
from leaksweep.stores import Stores, opened
from leaksweep.summaries import Summary, counted
from reports.export.frames import NEEDED
from reports.export.links import PUBLIC
from reports.export.write import write_report
from reports.finding import Finding, FindingState
from reports.findings.baseline import Baseline, against_baseline, read_baseline
from reports.findings.restating import restated
from reports.matching.stage import last_summary
from reports.page.page import MOST_FINDINGS
from reports.rates.read import read_rates
from reports.report import Report, build_report


def read_report(
    stores: Stores, *, fail_on: str | None, now: datetime, baseline: Baseline | None = None
) -> Report:
    """Everything that the stores know, as one report.

    Args:
        fail_on: a severity's label; None is the settings'.
        now: what the report is dated with, UTC; suppressions that have ended by then do not hold.
        baseline: what the findings' states are told against; None: the run before.

    Raises:
        ScanError, ReportError: a store cannot be used.
    """
    settings = stores.run.settings
    recipe = settings.recipe
    extractions = stores.extractions.rows(NEEDED)
    findings = stores.findings
    found = standing_findings(stores, now)
    makers = extractions.filter(pc.field("recipe_id") == recipe.id)["descriptor_name"].to_pylist()
    two_person = settings.reports.review.two_person
    return build_report(
        checkpoints=stores.catalog.checkpoints(),
        skips=stores.catalog.skips(),
        ledger=stores.ledger.rows(recipe.id),
        extractions=extractions,
        findings=against_baseline(found, baseline) if baseline else found,
        matching=last_summary(findings),
        settings=settings.reports.model_copy(update={"fail_on": fail_on or settings.reports.fail_on}),
        recipe=recipe,
        descriptor=makers[0] if makers else recipe.descriptor,
        generated_at=now,
        version=__version__,
        hubs=_public_hubs(settings.crawler),
        evidence=findings.evidence(),
        labels={name: str(label) for name, label in stores.labels.settled(two_person=two_person).items()},
        baseline=baseline.name if baseline else "",
    )


def write(
    run: Run,
    *,
    fail_on: str | None = None,
    out: Path | None = None,
    thumbs: bool = False,
    baseline: Path | None = None,
) -> tuple[Report, Summary]:
    """Write the files as `leaksweep.stages.report` says; return the report too, for who tells of it."""
    # Before it may be overwritten: the baseline is often the last report's own file.
    told = read_baseline(baseline) if baseline else None
    with opened(run) as stores:
        made = read_report(stores, fail_on=fail_on, now=datetime.now(UTC), baseline=told)
        made = replace(made, rates=read_rates(made, stores.engine, stores.findings, by=[("hub",)]))
        pictures = thumbnails(stores, made) if thumbs else None
    folder = out or run.home.report
    files = write_report(made, folder, thumbnails=pictures)
    by_severity = {severity.label: count for severity, count in made.by_severity.items()}
    covered = made.coverage
    said = Summary(
        stage="report",
        exit_code=int(made.exit_code),
        content={
            "findings": by_severity,
            "fail_on": made.fail_on.label,
            "scanned": covered.scanned,
            "complete": covered.complete,
            "recipe_id": made.recipe.id,
            "files": [str(file) for file in files],
            "failing": made.failing,
            "baseline": told.name if told else None,
        },
        lines=(
            f"findings: {counted(by_severity)} (fails on {made.fail_on.label})",
            *(since_baseline(made, told) if told else ()),
            f"{covered.scanned} checkpoints scanned",
            f"written to {folder}",
        ),
    )
    return made, said


def standing_findings(stores: Stores, now: datetime) -> Iterator[Finding]:
    """Yield all findings, in no order, as they stand now: with what was suppressed or withdrawn since they
    were matched.

    Raises:
        ReportError: a store cannot be used.
    """
    return _standing(stores, stores.findings.each_finding(), now)


def standing(stores: Stores, found: Iterable[Finding], now: datetime) -> list[Finding]:
    """The same of findings that have been read already, in their order."""
    return list(_standing(stores, found, now))


def _standing(stores: Stores, found: Iterable[Finding], now: datetime) -> Iterator[Finding]:
    last = stores.findings.last_run()
    suppressed, withdrawn = stores.suppressions.active(now), stores.references.withdrawn()
    # Before a run has come to its end, all there is comes from the first.
    return restated(found, suppressed, withdrawn, now, run=last.number if last else 1)


def since_baseline(report: Report, baseline: Baseline) -> tuple[str, ...]:
    """What is to be said of a baseline, for a person."""
    found = report.ranked.each
    states = {str(state): int(count) for state, count in found["state"].value_counts().items()}
    held = {name for name, then in baseline.standings.items() if then.state is not FindingState.GONE}
    away = len(held - set(found["id"]))
    lines = [f"against {baseline.name}: {counted(states)}; {report.failing} new or changed fail"]
    if away:
        lines.append(f"{away} findings of the baseline are not known here: deleted since, or of another home")
    return tuple(lines)


def thumbnails(stores: Stores, report: Report) -> dict[str, bytes]:
    """PNG by extraction id for every finding on the page whose picture is kept."""
    wanted = sorted(set(report.ranked.strongest(MOST_FINDINGS)["extraction_id"]))
    pictures = stores.extractions.images(wanted)
    return {name: png for name, png, _ in pictures}


def _public_hubs(settings: CrawlerSettings) -> dict[str, str]:
    """Pages for people: only of hubs that were really asked, not of a mirror or a local hub."""
    defaults = CrawlerSettings()
    asked = {
        Hub.HUGGINGFACE: settings.huggingface_url == defaults.huggingface_url,
        Hub.CIVITAI: settings.civitai_url == defaults.civitai_url,
    }
    return {hub: page for hub, page in PUBLIC.items() if asked.get(Hub(hub))}
