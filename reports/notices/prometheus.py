"""Metrics of a run, as a file for a node exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reports.export.files import write_atomically
from reports.export.text import visible
from reports.finding import FindingState, ReportError
from reports.report import ExitCode, Report

LAST_SUCCESS = "leaksweep_last_success_timestamp_seconds"


def write_metrics(report: Report, path: Path) -> None:
    """Write a run's metrics, whole or not at all.

    The time of the run is always among them, so that a job that has stopped shows; the time of the last run
    that was complete is kept from the file that was there before.

    Raises:
        ReportError: the name does not end in .prom, or the folder cannot be written.
    """
    if path.suffix != ".prom":
        raise ReportError(f"{path}: the collector reads files that end in .prom; give such a name")
    registry = CollectorRegistry()
    _run(registry, report, _last_success(path))
    _findings(registry, report)
    _checkpoints(registry, report)
    _matching(registry, report)
    write_atomically(path, generate_latest(registry))


def _run(registry: CollectorRegistry, report: Report, before: float | None) -> None:
    now = report.generated_at.timestamp()
    done = report.exit_code is not ExitCode.INCOMPLETE
    _gauge(registry, "leaksweep_run_timestamp_seconds", "When the last run was reported.", now)
    _gauge(registry, "leaksweep_exit_code", "0 clean, 1 findings, 2 incomplete, 3 nothing.", report.exit_code)
    last = now if done else before
    if last is not None:
        _gauge(registry, LAST_SUCCESS, "When a run was complete, with findings or without.", last)


def _findings(registry: CollectorRegistry, report: Report) -> None:
    each = report.ranked.each
    table = each.groupby(["severity", "state"]).size()
    found = Gauge(
        "leaksweep_findings", "Findings by severity and state.", ["severity", "state"], registry=registry
    )
    counted = Gauge("leaksweep_findings_counted", "Findings that count.", ["severity"], registry=registry)
    for severity, count in report.by_severity.items():
        counted.labels(severity.label).set(count)
        for state in FindingState:
            found.labels(severity.label, str(state)).set(table.get((severity.label, str(state)), 0))


def _checkpoints(registry: CollectorRegistry, report: Report) -> None:
    covered = report.coverage
    states = {
        "scanned": covered.scanned,
        "left_out": covered.left_out,
        "failed": covered.failed,
        "pending": covered.pending,
        "unplanned": covered.unplanned,
    }
    by_state = Gauge(
        "leaksweep_checkpoints", "Checkpoints by what became of them.", ["state"], registry=registry
    )
    for state, count in states.items():
        by_state.labels(state).set(count)
    skipped = Gauge("leaksweep_skipped", "Checkpoints that were left out.", ["reason"], registry=registry)
    for reason, count in covered.skipped.items():
        skipped.labels(visible(reason) or "not given").set(count)


def _matching(registry: CollectorRegistry, report: Report) -> None:
    summary = report.matching
    if summary is None:
        return
    _gauge(registry, "leaksweep_run_number", "Number of the last matching.", summary.run)
    _gauge(registry, "leaksweep_pictures_erased", "Pictures erased by the last matching.", summary.erased)
    _gauge(registry, "leaksweep_pictures_kept", "Pictures kept, encrypted.", summary.kept)
    planted, found = summary.canaries.planted, summary.canaries.found
    _gauge(
        registry, "leaksweep_canaries_planted", "References planted to prove that matching works.", planted
    )
    _gauge(registry, "leaksweep_canaries_found", "Of these, how many were found.", found)
    wrong = report.false_positives
    if wrong is not None and wrong.rate.value is not None and wrong.rate.interval is not None:
        rate = Gauge(
            "leaksweep_match_false_positive_rate",
            "Pairs of extraction and decoy that reached the severity that fails a run, of all; the bounds "
            "take pairs for independent.",
            ["bound"],
            registry=registry,
        )
        for bound, value in zip(
            ("estimate", "lower", "upper"), (wrong.rate.value, *wrong.rate.interval), strict=True
        ):
            rate.labels(bound).set(value)


def _gauge(registry: CollectorRegistry, name: str, meaning: str, value: float) -> None:
    Gauge(name, meaning, registry=registry).set(value)


def _last_success(path: Path) -> float | None:
    """Return what the file before says of it; None when there is none, or it is not ours."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return next(_values(text, LAST_SUCCESS), None)


def _values(text: str, name: str) -> Iterator[float]:
    try:
        for family in text_string_to_metric_families(text):
            yield from (sample.value for sample in family.samples if sample.name == name)
    except ValueError:
        return
