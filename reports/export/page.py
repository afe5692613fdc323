"""The report as one HTML page that loads nothing: no script, no font, no picture that was not asked for."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.coverage import MEANINGS
from reports.export.plots import leakage_plot
from reports.export.text import count, counted, percent, visible
from reports.finding import FindingState, ReportError
from scanner.job import State

if TYPE_CHECKING:
    from reports.report import Report

MOST_FINDINGS = 500
MOST_FAILURES = 50
"""Rows on the page; it says how many there are in all, and the tables beside it have every one."""

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def page(report: Report, thumbnails: Mapping[str, bytes]) -> str:
    """Return the page. Pictures by extraction id are shown beside the findings that rest on them.

    Raises:
        ReportError: a thumbnail is neither PNG nor JPEG.
    """
    css = files("reports.export").joinpath("templates/report.css").read_text("utf-8")
    pictures = {key: data_uri(key, picture) for key, picture in thumbnails.items()}
    findings = _records(report.findings.drop_duplicates("id"))
    broken = _records(report.checkpoints[report.checkpoints["state"].isin([State.FAILED, State.QUARANTINED])])
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            coverage=report.coverage,
            total=report.total,
            groups=report.by_group,
            policy=policy(css, pictures=bool(pictures)),
            css=Markup(css),
            plot=Markup(leakage_plot(report.by_group)),
            skips=_skips(report.coverage.skipped),
            failures=broken[:MOST_FAILURES],
            failure_count=len(broken),
            findings=findings[:MOST_FINDINGS],
            finding_count=len(findings),
            new_count=sum(row["state"] == FindingState.NEW and row["counts"] for row in findings),
            pictures=pictures,
            generations=int(report.checkpoints["generations"].sum()),
            references=[one for one in report.matching.sets if not one.decoy] if report.matching else [],
            ladder=_ladder(report),
        )
    )


def policy(css: str, *, pictures: bool) -> str:
    """Return the Content-Security-Policy under which the page may do nothing but show itself."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    rules = {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:" if pictures else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {allowed}" for name, allowed in rules.items())


def data_uri(name: str, picture: bytes) -> str:
    """Return PNG or JPEG bytes as a data: URI; raises ReportError for anything else."""
    kind = next((kind for signature, kind in _SIGNATURES.items() if picture.startswith(signature)), None)
    if kind is None:
        raise ReportError(f"thumbnail of extraction {name}: neither PNG nor JPEG; encode it as one of these")
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


@cache
def _environment() -> Environment:
    """Compile the template once a process; nothing of a report stays in it."""
    environment = Environment(
        loader=PackageLoader("reports.export"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(visible=visible, percent=percent, count=count, counted=counted)
    return environment


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows with None for what is missing."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _ladder(report: Report) -> dict[str, object]:
    """Return the thresholds in force for this run's descriptor, by name."""
    ladder = report.settings.ladder
    similarities = ladder.similarities(report.descriptor).model_dump()
    return {
        **ladder.model_dump(exclude={"sscd", "thumbnail"}),
        **{f"similarity {name}": value for name, value in similarities.items()},
    }


def _skips(skipped: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Return reason, count and meaning; a reason of another version has no meaning here."""
    known = {str(reason): meaning for reason, meaning in MEANINGS.items()}
    return [(reason or "not given", number, known.get(reason, "")) for reason, number in skipped.items()]
