"""`leaksweep notify`: those who are told of a run's end, told again, or for a trial."""

from __future__ import annotations

from typing import Annotated

import typer

from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError


@command
def notify(
    run: Run,
    test: Annotated[
        bool, typer.Option("--test", help="Send the webhook a message that says nothing of any run.")
    ] = False,
) -> int:
    """Tell the webhook and the metrics file of the last run again; every sweep does so at its end."""
    from leaksweep import noticing

    if not test and not noticing.wanted(run):
        raise SettingsError(
            "nobody is to be told: set reports.notices.webhook_url or reports.notices.prometheus_file"
        )
    said = noticing.try_webhook(run) if test else noticing.tell(run)
    run.finish({**said.content, "exit_code": said.exit_code}, said.text())
    return said.exit_code


def register(app: typer.Typer) -> None:
    """Add `notify`."""
    app.command(
        epilog=examples(
            "leaksweep notify --test",
            "leaksweep notify --set reports.notices.prometheus_file=/var/lib/node_exporter/leaksweep.prom",
        )
    )(notify)
