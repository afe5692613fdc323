"""`leaksweep rates`: how often checkpoints leak, with what the number needs to be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command


@command
def rates(
    run: Run,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="NAMES",
            help="Groups: hub,family,kind,age,popularity,year; with commas crossed; repeatable.",
        ),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="NAME", help="Members of a sample alone, with their weights."),
    ] = None,
    sensitivity: Annotated[
        str | None,
        typer.Option(
            "--sensitivity",
            metavar="S",
            help="Share of leaking checkpoints whose leak is found: 0.2, 0.2:0.15-0.26 or 21/105.",
        ),
    ] = None,
    sensitivity_source: Annotated[
        str, typer.Option("--sensitivity-source", metavar="TEXT", help="Where it was measured.")
    ] = "",
    cluster: Annotated[
        Literal["auto", "owner", "none"],
        typer.Option(
            "--cluster", help="Whether one owner's checkpoints are taken to be alike; auto: without a sample."
        ),
    ] = "auto",
    fail_on: Annotated[
        Literal["low", "medium", "high", "critical"] | None,
        typer.Option("--fail-on", help="Least severity that counts as a leak; default: reports.fail_on."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write rates.csv, rates.parquet and the figures here."),
    ] = None,
) -> int:
    """Leakage rates with denominators, intervals, bounds and corrections, and what they mean in words."""
    from datetime import UTC, datetime

    from leaksweep import rates as made
    from reports.rates.about import content as about
    from reports.rates.accuracy import read_sensitivity

    table = made.read(
        run,
        by=None if by is None else [[one.strip() for one in each.split(",") if one.strip()] for each in by],
        sample=sample,
        sensitivity=read_sensitivity(sensitivity, sensitivity_source) if sensitivity else None,
        cluster=cluster,
        fail_on=fail_on,
        now=datetime.now(UTC),
    )
    files = made.write(table, out) if out else []
    written = f"\n\nwritten to {out}" if out else ""
    content = {"rates": made.as_json(table), "about": about(table), "files": [str(path) for path in files]}
    run.finish(content, made.text(table) + written)
    return 0


def register(app: typer.Typer) -> None:
    """Add `rates`."""
    app.command(
        epilog=examples(
            "leaksweep rates",
            "leaksweep rates --by family,kind --by age --out rates/",
            "leaksweep rates --sample may --by hub --json",
            "leaksweep rates --sensitivity 21/105 --sensitivity-source 'our zoo, SD 1.5'",
        )
    )(rates)
