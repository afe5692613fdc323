"""`leaksweep key`: the master key that seals what is confidential: show, make, change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from leaksweep.commands.help_text import examples
from leaksweep.operator_name import operator
from leaksweep.run import Run, command
from leaksweep.summaries import CLEAN

app = typer.Typer(name="key", help="The master key: show, make, change.", no_args_is_help=True)


@app.command(epilog=examples("leaksweep key show", "leaksweep key show --json"))
@command
def show(run: Run) -> int:
    """Show which master key seals this home's pictures, hashes and lists, by its fingerprint."""
    from leaksweep.stores import opened
    from scanner.key_change import KeyChanges

    with opened(run) as stores:
        vault = stores.vault
        earlier = KeyChanges(stores.engine).earlier()
    before = "".join(f"\nuntil {until[:10]}: {fingerprint}" for fingerprint, until in earlier.items())
    run.finish(
        {"origin": vault.origin, "fingerprint": vault.fingerprint, "earlier": earlier},
        f"{vault.origin}: fingerprint {vault.fingerprint}. Without it, pictures, hashes and lists of this "
        f"home cannot be read; keep a copy elsewhere{before}",
    )
    return CLEAN


@app.command(epilog=examples("leaksweep key new /etc/leaksweep/key"))
@command
def new(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write, which is not there yet.")],
) -> int:
    """Make a new key: for a home to come, or to change a home's key to."""
    from scanner.vault import write_new_key

    write_new_key(file)
    run.finish({"file": str(file)}, f"{file}: a new key; name it as key_file, and keep a copy elsewhere")
    return CLEAN


@app.command(
    epilog=examples(
        "leaksweep key rotate --why 'the operator left'", "leaksweep key rotate --to /etc/leaksweep/key-2027"
    )
)
@command
def rotate(
    run: Run,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="File of the new key, made where it is missing; it stays there."
        ),
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept on record.")] = "",
) -> int:
    """Change the master key: seal everything anew, prove that the old key opens nothing, keep a receipt.

    The new key takes the place of the key file, and the old one is kept beside it. With --to it stays in a
    file of its own; LEAKSWEEP_NEW_KEY in the environment gives it without a file. Cut off, the same command
    goes on; until then all others refuse.
    """
    from leaksweep.new_key import rotate as change_key
    from leaksweep.new_key import told

    done = change_key(run, to=to, who=operator(), why=why, environ=os.environ)
    if done is None:
        run.finish({"changed": False}, "this home has the new key already; nothing to do")
        return CLEAN
    content, text = told(run, done, os.environ)
    run.finish(content, text)
    return CLEAN
