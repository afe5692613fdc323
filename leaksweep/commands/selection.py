"""`leaksweep sample` and `leaksweep checkpoints`: what is chosen for study, and the catalog as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from leaksweep.commands.help_text import examples
from leaksweep.commands.selection_options import selecting, selection
from leaksweep.run import Run, command

Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the members as .csv or .parquet.")
]


@command
@selecting
def sample(
    run: Run,
    filters: Mapping[str, Any],
    size: Annotated[int, typer.Option("--size", min=1, metavar="N", help="Distinct checkpoints to draw.")],
    by: Annotated[
        str,
        typer.Option("--by", metavar="NAMES", help="Strata: family,hub,kind,downloads,year,licence."),
    ] = "family,hub,kind",
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="N", help="Of the draw.")] = 0,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="To plan it by; default: sample-SEED.")
    ] = None,
    allocation: Annotated[
        Literal["proportional", "equal"],
        typer.Option("--allocation", help="What a stratum's share goes by: its size, or nothing."),
    ] = "proportional",
    minimum: Annotated[
        int,
        typer.Option("--minimum", min=1, metavar="N", help="Least to draw from a stratum that has so many."),
    ] = 2,
    replace: Annotated[bool, typer.Option("--replace", help="Forget the sample that has this name.")] = False,
    out: Out = None,
) -> int:
    """Draw a stratified sample of the catalog, the same for the same catalog, filters and seed.

    The weights of its members lead back to all of the catalog that the filters fit.
    """
    from crawler.catalog.allocation import Allocation
    from crawler.catalog.sample import Design
    from leaksweep.sampling import draw_sample, sample_json, sample_text

    strata = tuple(dict.fromkeys(part.strip() for part in by.split(",") if part.strip()))
    design = Design(size=size, by=strata, seed=seed, allocation=Allocation(allocation), minimum=minimum)
    called = name or f"sample-{seed}"
    drawn = draw_sample(run, called, design, selection(filters), replace=replace, out=out)
    run.finish(sample_json(called, drawn, out), sample_text(called, drawn, out))
    return 0


@command
@selecting
def checkpoints(
    run: Run,
    filters: Mapping[str, Any],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .csv or .parquet file.")] = Path(
        "checkpoints.csv"
    ),
) -> int:
    """Write the catalog's checkpoints, or those that the options select, as a table."""
    from leaksweep.checkpoint_table import write_checkpoints
    from leaksweep.stores import opened

    with opened(run) as stores:
        rows = write_checkpoints(stores.catalog.engine, selection(filters), out)
    run.finish({"file": out, "rows": rows}, f"{out}: {rows} checkpoints")
    return 0


def register(app: typer.Typer) -> None:
    """Add `sample` and `checkpoints`."""
    app.command(
        epilog=examples(
            "leaksweep sample --size 1000 --by family,hub,kind --seed 7",
            "leaksweep sample --size 200 --name popular --min-downloads 1000 --allocation equal",
            "leaksweep sample --size 50 --family sd1 --by year --out may.csv",
        )
    )(sample)
    app.command(
        epilog=examples(
            "leaksweep checkpoints",
            "leaksweep checkpoints --out loras.parquet --kind lora --created-since 2025-01-01",
            "leaksweep checkpoints --words anime --licence mit,apache-2.0",
        )
    )(checkpoints)
