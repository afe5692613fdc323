"""`leaksweep explain` and `leaksweep verify`: the evidence of a checkpoint, and of one extraction."""

from __future__ import annotations

from typing import Annotated

import typer

from crawler.evidence.plain_text import printable
from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command

Id = Annotated[str, typer.Argument(metavar="ID", help="Of an extraction, or of a finding.")]


@command
def explain(
    run: Run,
    id_: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="Of an extraction, a finding or a checkpoint, a repository, a number on Civitai, a SHA-256; "
            "without one all extractions are listed.",
        ),
    ] = None,
) -> int:
    """Say what is known of a checkpoint: its base, who says so, its prompts; or of an extraction: what was
    found, what was held against it, what it does not show."""
    from leaksweep.explain import about_checkpoints, list_ids
    from leaksweep.explain import explain as account_of
    from leaksweep.lookup import look_up

    if id_ is None:
        listed = list_ids(run)
        lines = [
            f"{row['id']}  {row['checkpoint_id']}  recipe {row['recipe_id']}"
            + (f"  findings {', '.join(row['findings'])}" if row["findings"] else "")
            for row in listed
        ]
        run.finish(
            {"extractions": listed},
            "\n".join(map(printable, lines)) or "no extractions; leaksweep sweep begins",
        )
        return 0
    if found := about_checkpoints(run, id_):
        words = "\n\n".join(one.text for one in found)
        run.finish({"checkpoints": [one.content for one in found]}, words)
        return 0
    account = account_of(run, look_up(run, id_))
    run.finish(account.to_json(), account.text())
    return 0


@command
def verify(run: Run, id_: Id) -> int:
    """Make an extraction again from its recipe, here, and compare it with what is stored.

    Exit code 0: it came again within the tolerance of the device; 1: it did not; 2: it cannot be made.
    """
    from leaksweep.lookup import look_up
    from leaksweep.verify import verify as verify_one

    verified = verify_one(run, look_up(run, id_))
    run.finish(verified.to_json(), verified.text())
    return 0 if verified.passed else 1


def register(app: typer.Typer) -> None:
    """Add `explain` and `verify`."""
    app.command(
        epilog=examples(
            "leaksweep explain",
            "leaksweep explain 3f9a0c1d2e4b5a67",
            "leaksweep explain 0123456789abcdef-000 --json",
            "leaksweep explain owner/name",
        )
    )(explain)
    app.command(
        epilog=examples(
            "leaksweep verify 3f9a0c1d2e4b5a67",
            "leaksweep verify 0123456789abcdef-000 --set scanner.device=cpu",
        )
    )(verify)
