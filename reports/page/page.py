"""The report as one HTML page: it loads nothing, and shows no picture that was not asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.coverage import MEANINGS
from reports.export.plots import leakage_plot
from reports.export.text import count, counted, percent, visible
from reports.finding import Severity
from reports.page.limits import HASHES, blind_spots
from reports.page.policy import data_uri, policy
from reports.page.rows import STANDINGS, Row, findings_json, findings_rows, frame_rows, standing
from reports.rates import about
from reports.rates.rate import RateTable
from reports.rates.sentence import sentence
from reports.rates.table import rate_table
from scanner.job import State

if TYPE_CHECKING:
    from reports.report import Report

MOST_FINDINGS = 25_000
"""Findings on the page, the strongest; it says how many there are in all. They weigh some 5 MB."""
MOST_FAILURES = 50
"""Rows of failed scans on the page; it says how many there are in all, and checkpoints.csv has every one."""

SCRIPT = ("view.js", "evidence.js", "findings.js")
"""The parts of the page's script, in the order in which they need each other."""


def page(report: Report, thumbnails: Mapping[str, bytes]) -> str:
    """Return the page. Pictures by extraction id can be opened beside the findings that rest on them.

    Raises:
        ReportError: a thumbnail is neither PNG nor JPEG.
    """
    css, script = _part("report.css"), "\n".join(map(_part, SCRIPT))
    findings = findings_rows(report.ranked.strongest(MOST_FINDINGS))
    pictures = _pictures(findings, thumbnails)
    rates = _rates(report)
    broken = frame_rows(
        report.checkpoints[report.checkpoints["state"].isin([State.FAILED, State.QUARANTINED])]
    )
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            coverage=report.coverage,
            total=report.total,
            groups=report.by_group,
            policy=policy(css, script, pictures=bool(thumbnails)),
            css=Markup(css),
            script=Markup(script),
            plot=Markup(leakage_plot(report.by_group)),
            skips=_skips(report.coverage.skipped),
            failures=broken[:MOST_FAILURES],
            failure_count=len(broken),
            findings=findings,
            finding_count=len(report.ranked.each),
            data=findings_json(
                findings, report.settings, {one["extraction"]: one["mark"] for one in pictures}
            ),
            standings=_standings(report.ranked.each),
            severities=[severity.label for severity in reversed(Severity)],
            sets=_values(findings, "set"),
            hubs=_values(findings, "hub"),
            pictures=pictures,
            thumbnails=bool(thumbnails),
            generations=int(report.checkpoints["generations"].sum()),
            references=[one for one in report.matching.sets if not one.decoy] if report.matching else [],
            canaries=report.matching.canaries if report.matching else None,
            rates=rates,
            said=sentence(rates.total, rates) if rates else "",
            rate_notes=tuple(about.notes(rates)) if rates else (),
            blind_spots=blind_spots(report),
            hashes=HASHES,
            ladder=_ladder(report),
        )
    )


@cache
def _part(name: str) -> str:
    return files("reports.page").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    """Compile the templates once a process; nothing of a report stays in them."""
    environment = Environment(
        loader=PackageLoader("reports.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(visible=visible, percent=percent, count=count, counted=counted)
    return environment


def _pictures(findings: Sequence[Row], thumbnails: Mapping[str, bytes]) -> list[Row]:
    """Return the pictures that findings rest on, each once, with what can be said of it in words."""
    shown: dict[str, Row] = {}
    for row in findings:
        extraction = row["extraction_id"]
        if extraction in thumbnails and extraction not in shown:
            uri = data_uri(extraction, thumbnails[extraction])
            shown[extraction] = row | {
                "extraction": extraction,
                "uri": uri,
                "mark": f"picture-{len(shown) + 1}",
            }
    for unused in thumbnails.keys() - shown.keys():
        data_uri(unused, thumbnails[unused])
    return list(shown.values())


def _standings(findings: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return how many findings there are by severity and standing, strongest first; all of them, also 0."""
    names = ["state", "explained_by_base", "explained_by_others"]
    kinds = findings[["severity", *names]].value_counts()
    counts: Counter[tuple[str, str]] = Counter()
    for kind, number in zip(kinds.index.to_list(), kinds.to_list(), strict=True):
        counts[kind[0], standing(dict(zip(names, kind[1:], strict=True)))] += number
    return {
        severity.label: {str(standing): counts[severity.label, standing] for standing in STANDINGS}
        for severity in reversed(Severity)
    }


def _rates(report: Report) -> RateTable | None:
    """Return the rates that the report carries, or those that follow from it alone; None of nothing seen."""
    if report.rates is not None or not report.coverage.total:
        return report.rates
    return rate_table(report, by=[("hub",)])


def _values(findings: Sequence[Row], name: str) -> list[str]:
    return sorted({row[name] for row in findings if row[name]})


def _ladder(report: Report) -> dict[str, object]:
    """Return the thresholds in force for this run's descriptor, by name."""
    ladder = report.settings.ladder
    similarities = ladder.similarities(report.descriptor).model_dump(exclude_none=True)
    return {
        **ladder.model_dump(exclude={"sscd", "thumbnail"}),
        **{f"similarity {name}": value for name, value in similarities.items()},
    }


def _skips(skipped: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Return reason, count and meaning; a reason of another version has no meaning here."""
    known = {str(reason): meaning for reason, meaning in MEANINGS.items()}
    return [(reason or "not given", number, known.get(reason, "")) for reason, number in skipped.items()]
