"""`leaksweep crawl`, and `leaksweep changes`: what crawls have seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from leaksweep.commands.help_text import examples
from leaksweep.commands.stages import Limit, finish
from leaksweep.run import Run, command

Dump = Annotated[
    Path | None,
    typer.Option(
        "--from-hub-stats",
        metavar="FILE",
        help="Fill the catalog from the public dump of the Hugging Face Hub (parquet), and ask no hub.",
    ),
]
Since = Annotated[
    datetime,
    typer.Option(
        "--since", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], metavar="DATE", help="Day, or moment, in UTC."
    ),
]
What = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="KIND", help="Changes of this kind, such as new or gone; may be repeated."
    ),
]


@command
def crawl(run: Run, limit: Limit = None, from_hub_stats: Dump = None) -> int:
    """Read the hubs' listings into the catalog, look inside what is new, and look up the base models."""
    from leaksweep import crawling

    if from_hub_stats is not None:
        if not from_hub_stats.is_file():
            raise typer.BadParameter(f"{from_hub_stats} is no file; name the dump that was downloaded")
        return finish(run, [crawling.import_dump(run, from_hub_stats)])
    return finish(run, [crawling.crawl(run, limit=limit)])


@command
def changes(run: Run, since: Since, only: What = None) -> int:
    """List what crawls have seen change: new, changed, renamed, gated, opened, taken down, gone."""
    from crawler.catalog.changes import Change
    from leaksweep import crawling

    def wanted(change: Change) -> bool:
        return not only or change.what in only

    found = [one for one in crawling.changes_since(run, since.replace(tzinfo=UTC)) if wanted(one)]
    rows = [
        {"at": one.at, "hub": str(one.hub), "repo": one.repo, "what": one.what, "detail": one.detail}
        for one in found
    ]
    for row in rows:
        # Names are a stranger's: nothing in them may move the terminal's cursor.
        shown = json.dumps(row["repo"], ensure_ascii=True)[1:-1]
        run.say(f"{row['at']}  {row['hub']:<11}  {row['what']:<11}  {shown}  {row['detail']}".rstrip())
    run.finish({"since": since.isoformat(), "changes": rows}, f"{len(rows)} changes")
    return 0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "leaksweep crawl",
            "leaksweep crawl --limit 500 -v",
            "leaksweep crawl --from-hub-stats models.parquet",
        )
    )(crawl)
    app.command(
        epilog=examples(
            "leaksweep changes --since 2026-11-01",
            "leaksweep changes --since 2026-11-01 --only gone --json -q",
        )
    )(changes)
