"""From measured rows to means with intervals: numbers, a table and a plot."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from extraction.metrics import bootstrap_interval

FIXED = (0.7, 0.6)


def summarise(rows: Sequence[dict[str, Any]], forwards: int) -> dict[str, Any]:
    """The content of quality.json: for each descriptor that judged, each way's measures.

    Only fine-tunes that every way was measured on count, so that a run broken off compares like with like;
    ways told the true captions are held against the others on their own fine-tunes (`guessed`).
    """
    frame = pd.DataFrame(rows)
    names = [name for name in dict.fromkeys(frame["way"]) if not name.endswith("true_captions")]
    shared = set.intersection(*(set(frame.loc[frame["way"] == name, "checkpoint"]) for name in names))
    frame = frame[frame["checkpoint"].isin(shared)]
    guessed = set(frame.loc[frame["way"].str.endswith("true_captions"), "checkpoint"])
    judged = {judge: _judged(part, guessed) for judge, part in frame.groupby("descriptor", sort=False)}
    first = next(iter(judged))
    return {
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "command": "python -m benchmarks.quality " + " ".join(sys.argv[1:]),
        "date": date.today().isoformat(),
        "checkpoints": len(shared),
        "pictures": int(frame.drop_duplicates("checkpoint")["pictures"].sum()),
        "seeds": sorted({int(seed) for seed in frame["seed"]}),
        "forwards_per_picture": forwards,
        "descriptor": first,
        **judged[first],
        "beside": {name: value for name, value in judged.items() if name != first},
    }


def _judged(frame: pd.DataFrame, guessed: set[str]) -> dict[str, Any]:
    decoys = np.concatenate([np.asarray(row) for row in frame["decoys"]])
    calibrated = float(np.quantile(decoys, 0.99))
    plain = frame[~frame["way"].str.endswith("true_captions")]
    default = frame[frame["way"] == "default"]
    return {
        "calibrated_threshold": calibrated,
        "recipes": {name: _measures(part, calibrated) for name, part in plain.groupby("way", sort=False)},
        "guessed_captions": {
            name: _measures(part, calibrated)
            for name, part in frame[frame["checkpoint"].isin(guessed)].groupby("way", sort=False)
        },
        "by_strength": {
            strength: {name: _mean(_rates(own, 0.7)) for name, own in part.groupby("way", sort=False)}
            for strength, part in plain.groupby("strength", sort=False)
        },
        "default_over_reference_70": _ratio(frame, 0.7),
        "false_on_decoys": _share(default["decoys"], 0.7),
    }


def _measures(part: pd.DataFrame, calibrated: float) -> dict[str, Any]:
    return {
        "a_esr_70": _mean(_rates(part, FIXED[0])),
        "a_esr_60": _mean(_rates(part, FIXED[1])),
        "a_esr_calibrated": _mean(_rates(part, calibrated)),
        "as": _mean([float(np.mean(row)) for row in part["planted"]]),
        "precision": _mean([float((np.asarray(row) > FIXED[0]).mean()) for row in part["extracted"]]),
        "false_on_decoys": _share(part["decoys"], FIXED[0]),
        "forwards": int(part["forwards"].sum()),
        "generations": int(part["generations"].sum()),
    }


def _rates(part: pd.DataFrame, threshold: float) -> list[float]:
    return [float((np.asarray(row) > threshold).mean()) for row in part["planted"]]


def _share(rows: pd.Series[Any], threshold: float) -> float:
    if not len(rows):
        return float("nan")
    return float((np.concatenate([np.asarray(row) for row in rows]) > threshold).mean())


def _mean(values: Sequence[float]) -> dict[str, float]:
    low, high = bootstrap_interval(values)
    return {"mean": round(float(np.mean(values)), 4), "low": round(low, 4), "high": round(high, 4)}


def _ratio(frame: pd.DataFrame, threshold: float) -> dict[str, float] | None:
    """A-ESR of "default" over "reference", fine-tunes resampled together."""
    both = [frame[frame["way"] == name].sort_values("checkpoint") for name in ("default", "reference")]
    if not len(both[0]) or len(both[0]) != len(both[1]):
        return None
    ours, theirs = (np.asarray(_rates(part, threshold)) for part in both)
    picks = np.random.default_rng(0).integers(len(ours), size=(2000, len(ours)))
    ratios = ours[picks].mean(1) / np.maximum(theirs[picks].mean(1), 1e-9)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return {"mean": float(ours.mean() / max(theirs.mean(), 1e-9)), "low": float(low), "high": float(high)}


def write_table(summary: dict[str, Any]) -> str:
    """The summary as a Markdown table for a terminal and docs/."""
    lines = []
    for judge, part in {summary["descriptor"]: summary, **summary["beside"]}.items():
        title = f"judged by {judge}, threshold of 1 % false on decoys {part['calibrated_threshold']:.2f}"
        for heading, measures in (("", part["recipes"]), (", captions guessed", part["guessed_captions"])):
            if measures:
                lines += ["", f"{title}{heading}", "", *_markdown(measures)]
    ratio = summary["default_over_reference_70"]
    if ratio:
        low, high = ratio["low"], ratio["high"]
        lines.append(f"\ndefault over reference at 0.7: {ratio['mean']:.2f} ({low:.2f} to {high:.2f})")
    lines.append(
        f"{summary['checkpoints']} fine-tunes, {summary['pictures']} pictures, {summary['hardware']}"
    )
    return "\n".join(lines)


def _markdown(measures: dict[str, dict[str, Any]]) -> list[str]:
    heads = ("a_esr_70", "a_esr_60", "a_esr_calibrated", "as", "precision")
    rows = [f"| way | {' | '.join(heads)} | false on decoys | images | forwards |", "| --- |" + " ---: |" * 8]
    for name, values in measures.items():
        cells = [
            f"{values[head]['mean']:.2f} ({values[head]['low']:.2f}-{values[head]['high']:.2f})"
            for head in heads
        ]
        rest = f"{values['false_on_decoys']:.3f} | {values['generations']} | {values['forwards']}"
        rows.append(f"| {name} | {' | '.join(cells)} | {rest} |")
    return rows


def write_plot(summary: dict[str, Any], path: Path) -> None:
    """A-ESR at 0.7 of each way with its interval."""
    from matplotlib.figure import Figure

    recipes = summary["recipes"]
    means = [recipes[name]["a_esr_70"] for name in recipes]
    figure = Figure(figsize=(7, 0.5 * len(recipes) + 1), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(
        [one["mean"] for one in means],
        range(len(means)),
        xerr=[
            [one["mean"] - one["low"] for one in means],
            [one["high"] - one["mean"] for one in means],
        ],
        fmt="o",
        color="black",
        capsize=3,
    )
    axes.set_yticks(range(len(means)), list(recipes))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"A-ESR at 0.7 ({summary['descriptor']}), 95 % interval over fine-tunes")
    figure.savefig(path)
