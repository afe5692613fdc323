"""`leaksweep review`: a local page on which people look at findings and label them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from leaksweep.commands.help_text import examples
from leaksweep.operator_name import operator
from leaksweep.run import Run, command


@command
def review(
    run: Run,
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Who reviews; default: the user of this process."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="Where to listen; default: the settings'.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = None,
    expose: Annotated[
        bool, typer.Option("--expose", help="Let other machines in, for a host that is not loopback.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="Serve by HTTPS with this PEM.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The certificate's private key, PEM.")
    ] = None,
) -> int:
    """Review findings on a local page: metadata first, one picture at a time, all of it in the audit log."""
    from leaksweep.reviewing import Place, serve

    settings = run.settings.reports.review
    place = Place(
        host=host or settings.host,
        port=settings.port if port is None else port,
        certificate=certificate,
        key=key,
    )
    warning = place.check(expose=expose)
    if warning:
        print(f"leaksweep: {warning}", file=sys.stderr)
    serve(run, operator() if name is None else name, place)
    return 0


def register(app: typer.Typer) -> None:
    """Add `review`."""
    app.command(
        epilog=examples(
            "leaksweep review",
            "leaksweep review --as ann --port 0",
            "leaksweep review --host 0.0.0.0 --expose --certificate page.pem --key page.key",
        )
    )(review)
