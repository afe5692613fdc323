"""`leaksweep suppress`: a finding that somebody has looked into is set aside, for a while or for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from crawler.evidence.plain_text import printable
from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError


@command
def suppress(
    run: Run,
    finding: Annotated[str | None, typer.Argument(metavar="[ID]", help="The finding's id.")] = None,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="Why; shown wherever the finding is.")
    ] = "",
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="DATE", help="The last day on which it holds, in UTC; default: until lifted."
        ),
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="End it: the finding counts again.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List what is suppressed, and what was.")] = False,
) -> int:
    """Set a finding aside, so that it counts no more. It stays in the reports, with who, why and until."""
    from leaksweep import suppressing

    if list_:
        if finding or why or until or lift:
            raise SettingsError("suppress --list: takes neither a finding nor another option")
        acts = suppressing.listed(run)
        text = "\n".join(printable(_line(one)) for one in acts) or "nothing was ever suppressed"
        run.finish({"suppressions": acts}, text)
        return 0
    if finding is None:
        raise SettingsError("suppress: name a finding's id, or ask with --list")
    if lift:
        if why or until:
            raise SettingsError("suppress --lift: takes neither --why nor --until")
        ended = suppressing.lift(run, finding)
        text = f"{finding}: lifted; was suppressed since {ended.at[:10]}: {printable(ended.why)}"
        run.finish({"finding": finding, "lifted": True}, text)
        return 0
    if not why.strip():
        raise SettingsError(f'{finding}: say why with --why "..."; whoever reads the reports will ask')
    act = suppressing.suppress(run, finding, why, suppressing.day(until) if until else None)
    last = act.until.isoformat() if act.until else None
    how_long = f"until {last}" if last else "until it is lifted"
    text = f"{finding}: suppressed {how_long}: {printable(act.why)}"
    run.finish({"finding": finding, "who": act.who, "why": act.why, "at": act.at, "until": last}, text)
    return 0


def _line(act: Mapping[str, Any]) -> str:
    until = f"until {act['until']}" if act["until"] else "until lifted"
    if act["lifted_at"]:
        until = f"lifted {act['lifted_at'][:10]} by {act['lifted_by']}"
    elif not act["holds"]:
        until = f"ended {act['until']}"
    return f"{act['finding_id']}  {until}  {act['why']}  (by {act['who']}, {act['at'][:10]})"


def register(app: typer.Typer) -> None:
    """Add `suppress`."""
    app.command(
        epilog=examples(
            "leaksweep suppress 3f9a0c1d2e4b5a67 --why 'licensed to us, ticket 4711' --until 2027-01-31",
            "leaksweep suppress --list --json",
            "leaksweep suppress 3f9a0c1d2e4b5a67 --lift",
        )
    )(suppress)
