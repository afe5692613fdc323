"""How often strangers and copies reach a threshold: curves, each point with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.calibration.pairs import SIGNALS, Measured
from reports.calibration.shares import Share, share_by_thing, share_of_strangers

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
    recall: Share
    """Copies that reach it, of all copies; one that cannot be compared reaches nothing."""
    false_pairs: Share
    """Pairs of strangers that reach it."""
    false_pictures: Share
    """Pictures with a copy that a stranger's reference reaches, of all pictures."""


Curves = Mapping[str, Sequence[Point]]
"""Points by signal, strictest first."""


def all_curves(measured: Measured) -> Curves:
    """Return the curve of each signal. A point costs as many passes over all pairs as there are things."""
    return {signal: curve(measured, signal) for signal in SIGNALS}


def curve(measured: Measured, signal: str) -> tuple[Point, ...]:
    """Return the points of a signal, strictest first.

    Where too few strangers reach a threshold to tell how alike pairs are, they are taken to be as alike as
    at the strictest one that enough of them reach.
    """
    found: list[Point] = []
    unseen: float | None = None
    for at in reversed(GRIDS[signal]):
        found.append(point(measured, reached(measured, signal, at), at, unseen=unseen))
        if found[-1].false_pairs.telling:
            unseen = found[-1].false_pairs.size
    return tuple(reversed(found))


def reached(measured: Measured, signal: str, threshold: float) -> NDArray[np.bool_]:
    """(N, R): which pairs reach a threshold; what cannot be compared does not."""
    values: NDArray[np.float64] = measured.values[signal]
    with np.errstate(invalid="ignore"):
        hit = values >= threshold if signal in HIGHER_IS_NEARER else values <= threshold
    return np.asarray(hit, np.bool_)


def point(
    measured: Measured, hit: NDArray[np.bool_], threshold: float, *, unseen: float | None = None
) -> Point:
    """Count what reaches something, (N, R).

    Args:
        unseen: independent pairs of strangers at most, where too few of them do; as `share_of_strangers`.
    """
    wrong = hit & measured.strangers
    pictures = np.zeros(len(measured.names), np.bool_)
    np.logical_or.at(pictures, measured.of, wrong.any(axis=1))
    copies = measured.thing[measured.of]
    return Point(
        threshold=float(threshold),
        recall=share_by_thing(_own(measured, hit), copies),
        false_pairs=share_of_strangers(copies, measured.thing, *np.nonzero(wrong), unseen=unseen),
        false_pictures=share_by_thing(pictures, measured.thing),
    )


def independent_strangers(curves: Curves) -> dict[str, float]:
    """Return how many pairs of strangers are independent by each signal, at its strictest threshold."""
    return {signal: points[0].false_pairs.size for signal, points in curves.items()}


def _own(measured: Measured, hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) whether each copy reaches it with its own picture."""
    return np.asarray(hit[np.arange(len(measured.of)), measured.of], np.bool_)


def recall_by_distortion(measured: Measured, hit: NDArray[np.bool_]) -> dict[str, Share]:
    """Return how many copies of each kind reach something, in the order of the kinds."""
    own, things = _own(measured, hit), measured.thing[measured.of]
    kinds: NDArray[np.object_] = np.array(measured.distortions, object)
    return {
        kind: share_by_thing(own[kinds == kind], things[kinds == kind])
        for kind in dict.fromkeys(measured.distortions)
    }


def look_alikes(measured: Measured, hit: NDArray[np.bool_]) -> Share:
    """Return how many pairs of different pictures of one thing reach something."""
    rows, columns = np.nonzero(measured.alike)
    return share_by_thing(hit[rows, columns], measured.thing[columns])


def loosest(points: Sequence[Point], rate: float) -> Point | None:
    """Return the loosest threshold up to which false pairs are below a rate, with the interval's upper end.

    None when even the strictest is not shown to be: with n independent pairs, nothing below 3.8 / n can be.
    """
    good = None
    for one in points:
        bounds = one.false_pairs.interval
        if bounds is None or bounds[1] > rate:
            break
        good = one
    return good
