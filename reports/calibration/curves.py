"""How often strangers and copies reach a threshold: curves, each point with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.calibration.pairs import Measured
from reports.rates.leakage import Proportion

HIGHER_IS_NEARER = ("similarity",)

GRIDS: dict[str, NDArray[np.float64]] = {
    "pdq": np.arange(0, 130, 2.0),
    "phash256": np.arange(0, 130, 2.0),
    "phash": np.arange(0, 33, 2.0),
    "similarity": np.round(np.arange(1.0, 0.19, -0.01), 2),
}
"""Thresholds that are tried, strictest first. Distances of balanced hashes are always even."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One threshold of one signal."""

    threshold: float
    """Distance at most, or cosine at least."""
    recall: Proportion
    """Copies that reach it, of all copies; one that cannot be compared reaches nothing."""
    false_pairs: Proportion
    """Pairs of strangers that reach it. Pairs share pictures, so the interval is too narrow."""
    false_pictures: Proportion
    """Pictures with a copy that a stranger's reference reaches, of all pictures."""


def curve(measured: Measured, signal: str) -> tuple[Point, ...]:
    """Return the points of a signal, strictest first."""
    return tuple(point(measured, reached(measured, signal, at), at) for at in GRIDS[signal])


def reached(measured: Measured, signal: str, threshold: float) -> NDArray[np.bool_]:
    """(N, R): which pairs reach a threshold; what cannot be compared does not."""
    values: NDArray[np.float64] = measured.values[signal]
    with np.errstate(invalid="ignore"):
        hit = values >= threshold if signal in HIGHER_IS_NEARER else values <= threshold
    return np.asarray(hit, np.bool_)


def point(measured: Measured, hit: NDArray[np.bool_], threshold: float) -> Point:
    """Count what reaches something, (N, R)."""
    copies, strangers = measured.copies, measured.strangers
    wrong = hit & strangers
    pictures = np.zeros(len(measured.names), np.bool_)
    np.logical_or.at(pictures, measured.of, wrong.any(axis=1))
    return Point(
        threshold=float(threshold),
        recall=Proportion(count=int((hit & copies).sum()), of=int(copies.sum())),
        false_pairs=Proportion(count=int(wrong.sum()), of=int(strangers.sum())),
        false_pictures=Proportion(count=int(pictures.sum()), of=len(measured.names)),
    )


def recall_by_distortion(measured: Measured, hit: NDArray[np.bool_]) -> dict[str, Proportion]:
    """Return how many copies of each kind reach something, in the order of the kinds."""
    own = np.asarray((hit & measured.copies).any(axis=1), np.bool_)
    kinds: NDArray[np.object_] = np.array(measured.distortions, object)
    return {
        kind: Proportion(count=int(own[kinds == kind].sum()), of=int((kinds == kind).sum()))
        for kind in dict.fromkeys(measured.distortions)
    }


def look_alikes(measured: Measured, hit: NDArray[np.bool_]) -> Proportion:
    """Return how many pairs of different pictures of one thing reach something."""
    return Proportion(count=int((hit & measured.alike).sum()), of=int(measured.alike.sum()))


def loosest(points: Sequence[Point], rate: float) -> Point | None:
    """Return the loosest threshold up to which false pairs are below a rate, with the interval's upper end.

    None when even the strictest is not shown to be: with n pairs, nothing below 3.7 / n can be shown.
    """
    good = None
    for one in points:
        bounds = one.false_pairs.interval
        if bounds is None or bounds[1] > rate:
            break
        good = one
    return good
