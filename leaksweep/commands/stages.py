"""`leaksweep sweep` and its stages: crawl, plan, scan, match, report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from leaksweep.commands.help_text import examples
from leaksweep.commands.selection_options import selected, selecting
from leaksweep.run import Run, command
from leaksweep.summaries import Summary, worst

FailOn = Annotated[
    Literal["low", "medium", "high", "critical"] | None,
    typer.Option("--fail-on", help="Least severity that makes the exit code 1; default: reports.fail_on."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="Stop the crawl after so many checkpoints."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder of the report; default: report in the home folder."),
]
Thumbs = Annotated[
    bool, typer.Option("--thumbs", help="Show pictures of findings on the page, as far as they were kept.")
]
BaselineFile = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="Tell states against an earlier report's findings.jsonl or .parquet, not the run before; "
        "only what is new or changed since makes the exit code 1.",
    ),
]
RetrySkipped = Annotated[
    bool,
    typer.Option("--retry-skipped", help="Try again what was skipped, such as after an update of leaksweep."),
]


def finish(run: Run, summaries: Iterable[Summary]) -> int:
    """Say what each stage says as it ends, and return the worst of their exit codes."""
    ended = []
    for summary in summaries:
        ended.append(summary)
        run.say(summary.text())
    code = worst(*ended)
    content = {summary.stage: summary.content for summary in ended}
    # Quiet is the result alone: the last stage's, and whether it could be told where it should be.
    result = ended[-2:] if ended[-1].stage == "notify" else ended[-1:]
    text = "\n".join(summary.text() for summary in result) if run.quiet else ""
    run.finish({**content, "exit_code": code}, text)
    return code


@command
def sweep(
    run: Run, limit: Limit = None, fail_on: FailOn = None, out: Out = None, thumbs: Thumbs = False
) -> int:
    """Crawl, plan, scan, match and report: what cron calls. Goes on where an interrupted sweep stopped."""
    from leaksweep import stages

    return finish(run, stages.sweep(run, limit=limit, fail_on=fail_on, out=out, thumbs=thumbs))


@command
@selecting
def plan(run: Run, filters: Mapping[str, Any]) -> int:
    """Turn the catalog, or what is selected of it, into jobs; what is left out gets a reason.

    The options win over the same filters of scanner.selection in the settings.
    """
    from leaksweep import stages

    return finish(run, [stages.plan(selected(run, filters))])


@command
@selecting
def scan(run: Run, filters: Mapping[str, Any], retry_skipped: RetrySkipped = False) -> int:
    """Plan, and work off the jobs: download, extract, store. Safe to kill and to start again.

    Give the options that plan was given: without them everything is planned anew.
    """
    from leaksweep import stages

    return finish(run, [stages.scan(selected(run, filters), retry_skipped=retry_skipped)])


@command
def match(run: Run) -> int:
    """Compare all extractions with all reference sets; then erase the pixels of what matched nothing."""
    from leaksweep import stages

    return finish(run, [stages.match(run)])


@command
def report(
    run: Run, fail_on: FailOn = None, out: Out = None, thumbs: Thumbs = False, baseline: BaselineFile = None
) -> int:
    """Write the report: CSV, parquet, SARIF and one page. The exit code tells what it says."""
    from leaksweep import stages

    told = stages.report(run, fail_on=fail_on, out=out, thumbs=thumbs, baseline=baseline)
    return finish(run, [told])


def register(app: typer.Typer) -> None:
    """Add the commands, in the order of the work."""
    app.command(
        epilog=examples(
            "leaksweep sweep",
            "leaksweep sweep --config nightly.toml --json -q",
            "leaksweep sweep --limit 200 --fail-on critical",
        )
    )(sweep)
    app.command(
        epilog=examples(
            "leaksweep plan",
            "leaksweep plan --family sd1,sdxl --min-downloads 100",
            "leaksweep plan --sample may",
        )
    )(plan)
    app.command(
        epilog=examples(
            "leaksweep scan",
            "leaksweep scan --set scanner.workers=4",
            "leaksweep scan --retry-skipped",
            "leaksweep scan --sample may",
        )
    )(scan)
    app.command(epilog=examples("leaksweep match", "leaksweep match --set reports.pixels=all"))(match)
    app.command(
        epilog=examples(
            "leaksweep report",
            "leaksweep report --out weekly/ --thumbs --fail-on medium",
            "leaksweep report --baseline accepted/findings.jsonl",
        )
    )(report)
