"""Leakage by family and kind as an SVG that takes its colours and its type from the page around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from reports.export.text import shortened, visible
from reports.rates.leakage import Leakage

INK, QUIET = "#111111", "#999999"
"""Stand-ins: in the finished SVG they are `currentColor`, the second at less opacity."""

AXIS_ENDS = (20, 40, 60, 80, 100)
"""Where the axis may end, in per cent: the first that holds every interval."""

LONGEST = 40
"""Characters of a label."""

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"


def leakage_plot(groups: Sequence[Leakage]) -> str:
    """Draw each group's rate as a dot on its 95 % interval; groups without a scan are left out.

    Returns an <svg> element, or "" when no group was scanned.
    """
    drawn = [(group, interval) for group in groups if (interval := group.leaked.interval)]
    if not drawn:
        return ""
    end = next(end for end in AXIS_ENDS if end >= max(100 * high for _, (_, high) in drawn))
    figure = Figure(figsize=(7.6, 0.55 + 0.3 * len(drawn)), layout="constrained")
    axes = figure.add_subplot()
    for row, (group, interval) in enumerate(drawn):
        bounds = [100 * bound for bound in interval]
        rate = 100 * group.leaked.count / group.leaked.of
        axes.plot(bounds, [row, row], color=INK, linewidth=1.4, solid_capstyle="butt", clip_on=False)
        axes.plot([rate], [row], "o", color=INK, markersize=6, clip_on=False)
        axes.text(
            1.03 * end, row, f"{group.leaked.count} of {group.leaked.of}", va="center", color=INK, fontsize=9
        )
    names = [f"{group.family} · {group.kind}".replace("_", " ") for group, _ in drawn]
    ticks = [end * tick // 4 for tick in range(5)]
    labels = [shortened(visible(name), LONGEST) for name in names]
    axes.set_yticks(range(len(drawn)), labels, fontsize=9, color=INK, parse_math=False)
    axes.set_xticks(ticks, [f"{tick} %" for tick in ticks], fontsize=8, color=INK)
    axes.set_xlim(0, end)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.tick_params(length=0, pad=8)
    axes.grid(axis="x", color=QUIET, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return _inline(svg(figure))


def svg(figure: Figure, *, transparent: bool = True) -> str:
    """Return the figure as SVG: text as text, and the same bytes for the same figure."""
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "leaksweep"}), warnings.catch_warnings():
        # Text stays text: whoever reads it has another font, and a stranger's name may be in any script.
        warnings.filterwarnings("ignore", "Glyph .* missing from font|constrained_layout not", UserWarning)
        figure.savefig(out, format="svg", transparent=transparent, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _inline(svg: str) -> str:
    """Return matplotlib's SVG fit for a page whose policy forbids style attributes.

    Declarations become presentation attributes, colours follow the page, and metadata and style blocks go.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}:
                parent.remove(child)
    for element in root.iter():
        if marker := element.attrib.pop(f"{{{_XLINK}}}href", None):
            element.set("href", marker)
        for name, value in _declarations(element.attrib.pop("style", "")):
            if name in {"stroke", "fill"} and value == QUIET:
                element.set(f"{name}-opacity", "0.3")
            element.set(name, "currentColor" if value in {INK, QUIET} else value)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set(
        "aria-label", "Leakage rate with interval for each family and kind; the table below has the numbers."
    )
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _declarations(style: str) -> list[tuple[str, str]]:
    """Return a style attribute's declarations; the font family is left to the page."""
    pairs = [part.split(":", 1) for part in style.split(";") if ":" in part]
    kept = []
    for name, value in ((name.strip(), value.strip()) for name, value in pairs):
        if name == "font":
            size = re.match(r"([\d.]+)px", value)
            kept.append(("font-size", size[1] if size else "9"))
        elif name != "font-family":
            kept.append((name, value))
    return kept
