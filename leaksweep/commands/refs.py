"""`leaksweep refs`: the reference sets, which say what is looked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaksweep.commands import refs_withdraw
from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError

if TYPE_CHECKING:
    from reports.references.rows import ReferenceSet

app = typer.Typer(
    name="refs", help="Reference sets: add, update, list, remove, withdraw.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, dots, dashes, underscores.")]
Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="The list's format: plain, dataset, te, hma, stopncii, ncmec, csv or parquet; "
        "default: told by its content.",
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="CSV and parquet: the column of each thing, such as value=hash,ref_id=id; repeatable.",
    ),
]
Source = Annotated[
    str, typer.Option("--source", metavar="TEXT", help="Who gave the list; confidential, as the list itself.")
]


@app.command(
    epilog=examples(
        "leaksweep refs add artist pictures/",
        "leaksweep refs add artist pictures/ --strict",
        "leaksweep refs add hotline hashes.txt",
        "leaksweep refs add partner list.csv --map value=hash,ref_id=uuid --source 'Partner e.V.'",
    )
)
@command
def add(
    run: Run,
    name: Name,
    given: Annotated[
        Path, typer.Argument(metavar="FOLDER|LIST", help="Folder of pictures, or a list of hashes.")
    ],
    form: Form = None,
    columns: Map = None,
    source: Source = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Add nothing when one of the pictures cannot be used.")
    ] = False,
) -> int:
    """Add a reference set. Hashes and descriptors are kept, encrypted, and never the pictures."""
    if given.is_dir() and (form or columns or source):
        raise SettingsError(f"{given}: is a folder; --format, --map and --source are for lists")
    if strict and not given.is_dir():
        raise SettingsError(
            f"{given}: is no folder; --strict is for pictures, and a list is always read strictly"
        )
    added = (
        _add_folder(run, name, given, strict)
        if given.is_dir()
        else _read(run, name, given, form, columns, source)
    )
    return _told(run, added)


@app.command(
    epilog=examples(
        "leaksweep refs update hotline hashes.txt",
        "leaksweep refs update partner list.csv --map value=hash,ref_id=uuid",
    )
)
@command
def update(
    run: Run,
    name: Name,
    given: Annotated[Path, typer.Argument(metavar="LIST", help="A newer edition of the set's list.")],
    form: Form = None,
    columns: Map = None,
    source: Source = "",
) -> int:
    """Read a newer list in place of a set's. What it has no longer, or says was deleted, is withdrawn."""
    return _told(run, _read(run, name, given, form, columns, source, newer=True))


@app.command("list", epilog=examples("leaksweep refs list", "leaksweep refs list --json"))
@command
def list_(run: Run) -> int:
    """List the reference sets: entries, opinions, and what of a list cannot be matched."""
    from collections import Counter

    from leaksweep.reference_text import set_line, set_row
    from leaksweep.stores import opened

    sets: tuple[ReferenceSet, ...] = ()
    withdrawn: Counter[str] = Counter()
    if run.home.references.exists():
        with opened(run) as stores:
            sets = stores.references.sets()
            withdrawn = Counter(name for name, _ in stores.references.withdrawn())
    nothing = "no reference sets; leaksweep refs add NAME FOLDER adds one"
    run.finish(
        {"sets": [set_row(one, withdrawn[one.name]) for one in sets]},
        "\n".join(set_line(one, withdrawn[one.name]) for one in sets) or nothing,
    )
    return 0


@app.command(epilog=examples("leaksweep refs remove artist"))
@command
def remove(run: Run, name: Name) -> int:
    """Remove a reference set, and erase it from the disk."""
    from leaksweep.operator_name import operator
    from leaksweep.stores import opened

    with opened(run) as stores:
        stores.references.remove(name)
        stores.audit.append(operator(), "refs remove", name)
    run.finish({"removed": name}, f"{name}: removed; findings against it go with the next match")
    return 0


refs_withdraw.register(app)


def _add_folder(run: Run, name: str, folder: Path, strict: bool) -> ReferenceSet:
    from leaksweep.operator_name import operator
    from leaksweep.progress import counter
    from leaksweep.stages import open_descriptor_of
    from leaksweep.stores import opened

    with opened(run) as stores, counter("pictures", run.no_bar, "describing") as progress:
        added = stores.references.add_folder(
            name,
            folder,
            [open_descriptor_of(run.settings)],
            on_corrupt="fail" if strict else "report",
            progress=progress,
        )
        stores.audit.append(operator(), "refs add", name, {"kind": added.kind, "entries": added.entries})
    return added


def _read(
    run: Run,
    name: str,
    path: Path,
    form: str | None,
    columns: Iterable[str] | None,
    source: str,
    *,
    newer: bool = False,
) -> ReferenceSet:
    from leaksweep.operator_name import operator
    from leaksweep.progress import bar
    from leaksweep.stores import opened

    mapping = _mapping(columns or ())
    with opened(run) as stores, bar("entries", run.no_bar, "reading") as shown:

        def show(done: int) -> None:
            shown.update(done - shown.n)

        read = stores.references.update if newer else stores.references.add_list
        added = read(
            name,
            path,
            form=form,
            mapping=mapping or None,
            source=source,
            progress=show,
        )
        act = "refs update" if newer else "refs add"
        # The list's digest says which edition it was, and tells nothing of what is in it.
        detail = {"kind": added.kind, "entries": added.entries, "list_sha256": added.list_sha256}
        stores.audit.append(operator(), act, name, detail)
    return added


def _mapping(given: Iterable[str]) -> dict[str, str]:
    mapping = {}
    for pair in (pair for text in given for pair in text.split(",")):
        name, equals, column = (part.strip() for part in pair.partition("="))
        if not (name and equals and column):
            raise SettingsError(f"--map {pair}: write FIELD=COLUMN, such as value=hash,ref_id=id")
        mapping[name] = column
    return mapping


def _told(run: Run, added: ReferenceSet) -> int:
    from leaksweep.reference_text import left_out, set_line, set_row

    run.finish(set_row(added), "\n".join([set_line(added), *left_out(added)]))
    return 0
