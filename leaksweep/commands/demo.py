"""`leaksweep demo`: the whole way on a local hub and truly trained checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command


@command
def demo(
    run: Run,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for what it writes.")] = Path(
        ".demo"
    ),
) -> int:
    """Serve a tiny zoo of trained checkpoints on this machine, sweep it, and compare with what is in them."""
    from leaksweep.demo import run_demo

    return run_demo(run, out)


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command(epilog=examples("leaksweep demo", "leaksweep demo --out /tmp/demo -v"))(demo)
