"""Rates as figures for paper: dots on intervals that can be told apart without any colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reports.export.files import write_atomically
from reports.export.plots import LONGEST, svg
from reports.export.text import shortened, visible
from reports.rates.correction import Correction
from reports.rates.rate import Rate, RateTable
from reports.rates.words import at_least

INK, GREY = "#000000", "#767676"
WIDTH = 7.2
"""Inches: a page's text, with a margin."""
DPI = 300
"""Of the PNG, for print."""
MOST = 40
"""Groups in a figure; the table has the others."""

ENDS = (1, 2, 5, 10, 20, 50, 100)
"""Where the axis may end, in per cent."""

_OFFSET = 0.17
"""How far above and below its row's middle the found and the corrected rate are drawn."""


def rate_figure(rates: Sequence[Rate], table: RateTable) -> Figure | None:
    """Draw each group's rate as a filled dot on its interval, the corrected one as a hollow diamond on a
    dashed one, and the bounds, if all or none of those left out leaked, as a hatched bar.

    Returns None when no group has a rate.
    """
    drawn = [rate for rate in rates if rate.estimate is not None][:MOST]
    if not drawn:
        return None
    figure = Figure(figsize=(WIDTH, 1.25 + 0.42 * len(drawn)), layout="constrained")
    axes = figure.add_subplot()
    for row, rate in enumerate(drawn):
        _draw(axes, row, rate)
    _label(axes, drawn)
    handles = _legend(drawn)
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=8)
    axes.set_xlabel(f"checkpoints that leak {at_least(table.severity)}", fontsize=9)
    return figure


def write_rate_plots(table: RateTable, out: Path) -> list[Path]:
    """Write a figure of every grouping as rates-by-NAMES.svg and .png; return their paths.

    Raises:
        ReportError: a file cannot be written.
    """
    written = []
    for names in dict.fromkeys(tuple(rate.group) for rate in table.rates if rate.group):
        figure = rate_figure(table.by(*names), table)
        if figure is None:
            continue
        stem = out / f"rates-by-{'-'.join(names)}"
        for path, data in (
            (stem.with_suffix(".svg"), svg(figure, transparent=False).encode()),
            (stem.with_suffix(".png"), _png(figure)),
        ):
            write_atomically(path, data)
            written.append(path)
    return written


def _draw(axes: Axes, row: int, rate: Rate) -> None:
    estimate, correction = rate.estimate, rate.correction
    both = isinstance(correction, Correction)
    if rate.bounds is not None and rate.missing:
        low, high = rate.bounds
        axes.barh(
            row,
            100 * (high - low),
            left=100 * low,
            height=0.72,
            facecolor="none",
            edgecolor=GREY,
            hatch="////",
            linewidth=0.4,
            alpha=0.45,
            zorder=1,
        )
    if estimate is not None:
        at = row - _OFFSET if both else row
        _interval(axes, at, estimate.value, (estimate.low, estimate.high), "o", INK, "-")
    if isinstance(correction, Correction):
        ends = (correction.low, correction.high)
        _interval(axes, row + _OFFSET, correction.value, ends, "D", "white", (0, (3, 2)))


def _interval(
    axes: Axes,
    row: float,
    value: float,
    ends: tuple[float, float],
    marker: str,
    fill: str,
    line: str | tuple[int, tuple[int, int]],
) -> None:
    percents = [100 * end for end in ends]
    axes.plot(percents, [row, row], color=INK, linestyle=line, linewidth=1.3, clip_on=False, zorder=3)
    axes.plot(
        [100 * value],
        [row],
        marker,
        markerfacecolor=fill,
        markeredgecolor=INK,
        markersize=5.5,
        clip_on=False,
        zorder=4,
    )


def _label(axes: Axes, drawn: Sequence[Rate]) -> None:
    names = [visible(shortened(" · ".join(rate.group.values()).replace("_", " "), LONGEST)) for rate in drawn]
    axes.set_yticks(range(len(drawn)), names, fontsize=9, parse_math=False)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    end = _end(drawn)
    ticks = [end * tick / 5 for tick in range(6)]
    axes.set_xlim(0, end)
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks], fontsize=8)
    for row, rate in enumerate(drawn):
        left_out = f"\n{rate.missing:,} left out" if rate.missing else ""
        axes.text(
            1.03,
            row,
            f"{rate.leaked:,} of {rate.scanned:,}{left_out}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            linespacing=1.1,
        )
    axes.tick_params(length=0, pad=6)
    axes.grid(axis="x", color=GREY, linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _end(drawn: Sequence[Rate]) -> int:
    """Where the axis ends, in per cent: the first of `ENDS` that holds everything that is drawn."""
    highest = 0.0
    for rate in drawn:
        highest = max(
            highest, rate.estimate.high if rate.estimate else 0, rate.bounds[1] if rate.bounds else 0
        )
        highest = max(highest, rate.correction.high if isinstance(rate.correction, Correction) else 0)
    return next(end for end in ENDS if end >= 100 * highest - 1e-9)


def _legend(drawn: Sequence[Rate]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.3, label="found, 95 % interval")
    ]
    if any(isinstance(rate.correction, Correction) for rate in drawn):
        dashed = Line2D([], [], color=INK, marker="D", markersize=5, linewidth=1.3, label="corrected")
        dashed.set(markerfacecolor="white", linestyle=(0, (3, 2)))
        handles.append(dashed)
    if any(rate.missing for rate in drawn):
        label = "if none or all of those left out leaked"
        handles.append(Patch(facecolor="none", edgecolor=GREY, hatch="////", linewidth=0.4, label=label))
    return handles


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    with mpl.rc_context({"hatch.linewidth": 0.5}):
        figure.savefig(out, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return out.getvalue()
