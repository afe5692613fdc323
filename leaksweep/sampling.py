"""A sample from the catalog of a home, and how it is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crawler.catalog.sample import Design, Sample, draw
from crawler.catalog.samples import keep
from crawler.catalog.selection import Selection, places
from leaksweep.run import Run


def draw_sample(
    run: Run, name: str, design: Design, selection: Selection, *, replace: bool, out: Path | None
) -> Sample:
    """Draw a sample, keep it in the catalog, and write its members where `out` says.

    Raises:
        SelectionError: it cannot be drawn, or its name is taken.
        ReportError: `out` is neither .csv nor .parquet, or cannot be written; then the sample is kept.
    """
    from leaksweep.checkpoint_table import write_members
    from leaksweep.stores import opened
    from reports.export.tables import table_suffix

    if out is not None:
        table_suffix(out)
    with opened(run) as stores:
        catalog = stores.catalog
        drawn = draw(places(catalog.engine, selection), design, selection)
        keep(
            catalog.engine,
            name,
            drawn,
            drawn_at=datetime.now(UTC).isoformat(timespec="seconds"),
            replace=replace,
        )
        if out is not None:
            write_members(catalog.engine, drawn, out)
    return drawn


def sample_json(name: str, sample: Sample, out: Path | None) -> dict[str, Any]:
    """The sample without its members, for --json."""
    return {
        "name": name,
        "seed": sample.design.seed,
        "size": sample.design.size,
        "by": sample.design.by,
        "allocation": sample.design.allocation,
        "minimum": sample.design.minimum,
        "selection": sample.selection.given(),
        "contents": sample.contents,
        "places": sample.places,
        "strata": [
            {
                **dict(zip(sample.design.by, stratum.values, strict=True)),
                "population": stratum.population,
                "drawn": stratum.drawn,
                "probability": float(stratum.probability),
                "weight": float(stratum.weight),
            }
            for stratum in sample.strata
        ],
        "file": out,
    }


def sample_text(name: str, sample: Sample, out: Path | None) -> str:
    """The strata as a table, for a terminal."""
    head = [*sample.design.by, "population", "drawn", "probability", "weight"]
    rows = [
        [
            *map(_printable, stratum.values),
            str(stratum.population),
            str(stratum.drawn),
            f"{float(stratum.probability):.4g}",
            f"{float(stratum.weight):.4g}",
        ]
        for stratum in sample.strata
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    words = len(sample.design.by)
    lines = [
        "  ".join(
            cell.ljust(width) if number < words else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    lines.append(
        f"sample {name}: {sample.design.size} of {sample.contents} distinct checkpoints, which lie in "
        f"{sample.places} places; leaksweep plan --sample {name}"
    )
    if out is not None:
        lines.append(f"written to {out}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    """A hub's word without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:60]
