"""Leakage rates of a home: read, written as tables and figures, and told on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaksweep.run import Run

if TYPE_CHECKING:
    from reports.rates.accuracy import Sensitivity
    from reports.rates.rate import Rate, RateTable
    from reports.rates.table import Cluster

_HEAD = ("", "leak", "scanned", "left out", "failed or open", "rate", "95 % interval", "corrected")


def read(
    run: Run,
    *,
    by: Sequence[Sequence[str]] | None,
    sample: str | None,
    sensitivity: Sensitivity | None,
    cluster: Cluster,
    fail_on: str | None,
    now: datetime,
) -> RateTable:
    """Read the rates of the stores.

    Args:
        by: groupings; None: each group by itself.

    Raises:
        SelectionError: there is no such sample.
        ScanError, ReportError: a store cannot be used, or there is no such group.
    """
    from leaksweep.reporting import read_report
    from leaksweep.stores import opened
    from reports.rates.read import read_rates
    from reports.rates.table import EACH

    with opened(run) as stores:
        report = read_report(stores, fail_on=fail_on, now=now)
        return read_rates(
            report,
            stores.engine,
            stores.findings,
            by=EACH if by is None else by,
            sample=sample,
            sensitivity=sensitivity,
            cluster=cluster,
        )


def write(table: RateTable, out: Path) -> list[Path]:
    """Write rates.csv, rates.parquet and the figures into a folder; return their paths.

    Raises:
        ReportError: a file cannot be written.
    """
    from reports.export.rate_plots import write_rate_plots
    from reports.export.tables import write_table
    from reports.rates.columns import RATES
    from reports.rates.frame import rates_frame

    frame = rates_frame(table)
    tables = [out / "rates.csv", out / "rates.parquet"]
    for path in tables:
        write_table(path, [frame], RATES)
    return [*tables, *write_rate_plots(table, out)]


def as_json(table: RateTable) -> list[dict[str, Any]]:
    """The rows of rates.csv without what is null."""
    from reports.rates.frame import rates_frame

    rows = rates_frame(table).astype(object).to_dict("records")
    return [{str(name): value for name, value in row.items() if _is_there(value)} for row in rows]


def text(table: RateTable) -> str:
    """The table, its sentence and what holds for all rows, for a terminal."""
    from reports.rates.about import notes
    from reports.rates.sentence import sentence

    blocks: list[list[tuple[str, ...]]] = [[_HEAD, _line("all", table.total)]]
    for names in dict.fromkeys(tuple(rate.group) for rate in table.rates if rate.group):
        rows = [_line(" · ".join(rate.group.values()), rate) for rate in table.by(*names)]
        blocks.append([(", ".join(names), *[""] * (len(_HEAD) - 1)), *rows])
    widths = [max(len(row[column]) for block in blocks for row in block) for column in range(len(_HEAD))]
    lines = ["\n".join(_aligned(row, widths) for row in block) for block in blocks]
    return "\n\n".join([*lines, sentence(table.total, table), *notes(table)])


def _line(name: str, rate: Rate) -> tuple[str, ...]:
    from reports.export.text import shortened, visible
    from reports.rates.correction import Correction
    from reports.rates.units import Fate
    from reports.rates.words import per_cent, span

    estimate, correction = rate.estimate, rate.correction
    return (
        f"  {visible(shortened(name, 40))}",
        f"{rate.leaked:,}",
        f"{rate.scanned:,}",
        f"{rate.fates[Fate.SKIPPED]:,}",
        f"{rate.fates[Fate.FAILED] + rate.fates[Fate.OPEN]:,}",
        f"{per_cent(estimate.value)} %" if estimate else "-",
        span(estimate.low, estimate.high) if estimate else "-",
        f"{per_cent(correction.value)} % ({span(correction.low, correction.high)})"
        if isinstance(correction, Correction)
        else "-",
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _is_there(value: object) -> bool:
    import pandas as pd

    return value is not None and value is not pd.NA
