"""`leaksweep status`: what is in the stores."""

from __future__ import annotations

import typer

from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command


@command
def status(run: Run) -> int:
    """Show what is in the stores: catalog, ledger, extractions, references, findings, sizes."""
    from leaksweep.status import read_status, status_text

    found = read_status(run)
    run.finish(found, status_text(found))
    return 0


def register(app: typer.Typer) -> None:
    """Add `status`."""
    app.command(epilog=examples("leaksweep status", "leaksweep status --home /srv/leaksweep --json"))(status)
