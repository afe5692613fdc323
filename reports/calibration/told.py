"""A calibration in words, as JSON, and as a plot."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reports.calibration.choose import Chosen, Rule
from reports.calibration.curves import HIGHER_IS_NEARER, Curves, Point, look_alikes, reached
from reports.calibration.pairs import Measured
from reports.calibration.shares import Share
from reports.export.text import percent
from reports.finding import Severity

_TITLES = {
    "pdq": "PDQ, bits of 256",
    "phash256": "pHash, bits of 256",
    "phash": "pHash, bits of 64",
    "similarity": "cosine of the descriptor",
}


def content(measured: Measured, chosen: Chosen) -> dict[str, Any]:
    """Everything, as plain values: curves, rules, the ladder. No picture and no hash is in it."""
    return {
        "pictures": len(measured.names),
        "things": len(np.unique(measured.thing)),
        "copies": int(measured.copies.sum()),
        "strangers": int(measured.strangers.sum()),
        "look_alikes": int(measured.alike.sum()),
        "descriptor": measured.descriptor,
        "hasher": measured.hasher,
        "curves": {name: [_point(one) for one in points] for name, points in chosen.curves.items()},
        "ladder": chosen.ladder.model_dump(mode="json"),
        "limited": list(chosen.limited),
        "rules": [_rule(one) for one in chosen.rules],
        "severities": {severity.label: _rule(one) for severity, one in chosen.by_severity.items()},
    }


def text(measured: Measured, chosen: Chosen) -> str:
    """What a person reads in the terminal."""
    lines = [
        f"{len(measured.names)} pictures, {int(measured.copies.sum())} distorted copies, "
        f"{int(measured.strangers.sum()):,} pairs of strangers, {int(measured.alike.sum()):,} of look-alikes",
        f"{measured.descriptor}; {measured.hasher}",
        "",
        f"{'rule':<34}{'copies found':>26}{'strangers taken for copies':>36}",
    ]
    for rule in (*chosen.rules, *chosen.by_severity.values()):
        recall, wrong = rule.point.recall, rule.point.false_pairs
        lines.append(f"{rule.name:<34}{_share(recall):>26}{_share(wrong):>36}")
    severe = chosen.by_severity[Severity.HIGH]
    lines += ["", "copies found at high or above, by what was done to them:"]
    lines += [f"  {kind:<28}{_share(share):>26}" for kind, share in severe.by_distortion.items()]
    if measured.alike.any():
        hit = reached(measured, "similarity", chosen.ladder.similarities(measured.descriptor).high)
        lines += ["", f"look-alikes that reach high by the descriptor: {_share(look_alikes(measured, hit))}"]
    lines += ["", *(f"note: {one}" for one in chosen.limited)]
    lines.append(
        f"Intervals are as wide as {len(np.unique(measured.thing)):,} things allow: pairs share pictures, "
        f"and copies of one thing are alike. {severe.point.false_pictures.count:,} of "
        f"{len(measured.names):,} pictures had a copy that a stranger's reference matched at high or above."
    )
    return "\n".join(lines).rstrip()


def plot(curves: Curves) -> Figure:
    """Recall and the rate of false pairs by threshold, one panel a signal; reads in black and white."""
    figure = Figure(figsize=(8.4, 6.4), layout="constrained")
    for number, (name, points) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(2, 2, number)
        at = [one.threshold for one in points]
        axes.plot(at, [one.recall.value or 0 for one in points], color="black", label="copies found")
        wrong = [one.false_pairs.value or 0 for one in points]
        axes.plot(at, wrong, color="black", linestyle="--", label="strangers taken for copies")
        bounds = [one.false_pairs.interval or (0, 0) for one in points]
        axes.fill_between(at, [low for low, _ in bounds], [high for _, high in bounds], color="0.8")
        if name in HIGHER_IS_NEARER:
            axes.invert_xaxis()
        axes.set_yscale("symlog", linthresh=1e-4)
        axes.set_ylim(0, 1.1)
        axes.set_xlabel(_TITLES[name])
        axes.grid(color="0.9", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def _share(share: Share) -> str:
    if share.interval is None or share.value is None:
        return "not tried"
    low, high = share.interval
    return f"{percent(share.value)} ({percent(low)} to {percent(high)})".replace("\u00a0", " ")


def _point(one: Point) -> dict[str, Any]:
    return {"threshold": one.threshold, **_counts(one)}


def _rule(one: Rule) -> dict[str, Any]:
    return {
        "rule": one.name,
        "severity": one.severity.label,
        **_counts(one.point),
        "by_distortion": {kind: _plain(share) for kind, share in one.by_distortion.items()},
    }


def _counts(one: Point) -> dict[str, Any]:
    return {
        "recall": _plain(one.recall),
        "false_pairs": _plain(one.false_pairs),
        "false_pictures": _plain(one.false_pictures),
    }


def _plain(share: Share) -> dict[str, Any]:
    return {
        "count": share.count,
        "of": share.of,
        "independent": share.size,
        "interval": list(share.interval) if share.interval else None,
    }
