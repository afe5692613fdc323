"""`leaksweep refs`: the reference sets, which say what is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command

if TYPE_CHECKING:
    from reports.references.rows import ReferenceSet

app = typer.Typer(name="refs", help="Reference sets: add, list, remove.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, dots, dashes, underscores.")]


@app.command(
    epilog=examples(
        "leaksweep refs add artist pictures/",
        "leaksweep refs add hotline hashes.txt",
        "leaksweep refs add artist pictures/ --strict",
    )
)
@command
def add(
    run: Run,
    name: Name,
    source: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of pictures, or a text file of PDQ or pHash."),
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help="Add nothing when one of the pictures cannot be used.")
    ] = False,
) -> int:
    """Add a reference set. Hashes and descriptors are kept, never the pictures."""
    from leaksweep.progress import counter
    from leaksweep.stages import open_descriptor_of
    from reports.references.store import References

    run.home.prepare()
    references = References(run.home.references)
    if source.is_dir():
        describe = open_descriptor_of(run.settings)
        with counter("pictures", run.no_bar, "describing") as progress:
            added = references.add_folder(
                name, source, [describe], on_corrupt="fail" if strict else "report", progress=progress
            )
    else:
        added = references.add_hashes(name, source)
    left_out = [f"  left out: {one.ref_id}: {one.reason}" for one in added.rejected]
    run.finish(_row(added), "\n".join([f"{_line(added)}", *left_out]))
    return 0


@app.command("list", epilog=examples("leaksweep refs list", "leaksweep refs list --json"))
@command
def list_(run: Run) -> int:
    """List the reference sets."""
    from reports.references.store import References

    sets = References(run.home.references).sets() if run.home.references.exists() else ()
    nothing = "no reference sets; leaksweep refs add NAME FOLDER adds one"
    run.finish({"sets": [_row(one) for one in sets]}, "\n".join(map(_line, sets)) or nothing)
    return 0


@app.command(epilog=examples("leaksweep refs remove artist"))
@command
def remove(run: Run, name: Name) -> int:
    """Remove a reference set, and erase its hashes from the disk."""
    from reports.references.store import References

    run.home.prepare()
    References(run.home.references).remove(name)
    run.finish({"removed": name}, f"{name}: removed; findings against it go with the next match")
    return 0


def _line(one: ReferenceSet) -> str:
    makers = ", ".join([*one.descriptors, *([one.hashes] if one.hashes else [])]) or "as listed"
    return f"{one.name}: {one.entries} {one.kind} ({makers}), {len(one.rejected)} left out"


def _row(one: ReferenceSet) -> dict[str, Any]:
    """Everything but the hashes themselves, which are confidential."""
    return {
        "name": one.name,
        "kind": one.kind,
        "entries": one.entries,
        "duplicates": one.duplicates,
        "passed_over": one.passed_over,
        "rejected": [{"ref_id": bad.ref_id, "reason": bad.reason} for bad in one.rejected],
        "descriptors": list(one.descriptors),
        "hashes": one.hashes,
        "added_at": one.added_at.isoformat(),
    }
