"""`leaksweep takedown`: weights go and do not come back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from crawler.evidence.plain_text import printable
from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError


@command
def takedown(
    run: Run,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[CHECKPOINT|REPO|SHA256]",
            help="A checkpoint's id or key, a repository, or a digest; without it all acts are listed.",
        ),
    ] = None,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", metavar="TEXT", help="Why; kept with the act, and told wherever it is left out."
        ),
    ] = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Lift it: it may be planned and downloaded again.")
    ] = False,
) -> int:
    """Remove weights from the store for good; hash, metadata, extractions and findings stay."""
    from leaksweep import takedown as acts

    if name is None:
        if reason or undo:
            raise SettingsError("takedown: name a checkpoint, a repository or a SHA-256")
        listed = acts.acts(run)
        lines = [f"{one.at[:10]}  {one.act}  {one.reason}  (by {one.by})" for one in listed]
        run.finish(
            {"takedowns": [asdict(one) for one in listed]},
            "\n".join(map(printable, lines)) or "nothing is taken down",
        )
        return 0
    if undo:
        act, lifted = acts.undo(run, name)
        run.finish({"act": act, "lifted": lifted}, f"{act}: lifted, {lifted} targets are free again")
        return 0
    if not reason.strip():
        raise SettingsError(f'{name}: say why with --reason "..."; whoever reads the reports will ask')
    done = acts.take_down(run, name, reason.strip())
    run.finish(done.to_json(), done.text())
    return 0


def register(app: typer.Typer) -> None:
    """Add `takedown`."""
    app.command(
        epilog=examples(
            "leaksweep takedown ann/dog --reason 'asked by the person shown'",
            "leaksweep takedown 3f9a0c1d2e4b5a67 --reason 'court order 12/26'",
            "leaksweep takedown ann/dog --undo",
            "leaksweep takedown --json",
        )
    )(takedown)
