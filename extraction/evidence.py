"""Evidence that an extraction is its own checkpoint's: wrong checkpoints, neighbours, other recipes.

Pure functions of what scans have stored; no model is needed. The wrong-checkpoint control is the one of
PIAR (2026): a checkpoint that was not trained on a picture ought not to come near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS, _COLUMNS = 1024, 1 << 14
"""Extractions compared with others at once: 64 MB of cosines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCheckpoints:
    """How near other checkpoints come to the same thing."""

    others: int
    """n: how many there are."""
    as_near: int
    """Of these, as many come as near or nearer."""
    typical: float | None
    """The median of their best; None when there are too few to be calibrated."""
    p_value: float | None
    """See `p_value`; None when there are too few."""


def p_value(as_near: int, others: int) -> float:
    """(1 + as_near) / (others + 1): how often a wrong checkpoint comes as near, by a Monte-Carlo test.

    Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 4.2; Phipson and Smyth,
    *Permutation p-values should never be zero* (2010). It is valid when, without a leak, this
    checkpoint and the others are exchangeable, and it never falls below 1 / (others + 1).

    Raises:
        ValueError: the counts cannot be.
    """
    if not 0 <= as_near <= others:
        raise ValueError(f"{as_near} of {others} others cannot be as near")
    return (1 + as_near) / (others + 1)


def wrong_checkpoints(observed: float, others: NDArray[np.floating], *, least: int) -> WrongCheckpoints:
    """Hold one checkpoint against others.

    Args:
        observed: how near this checkpoint comes; higher is nearer.
        others: (n,) the best of each other checkpoint, by the same measure.
        least: with fewer others there is no p-value: it could not be low enough to say anything.
    """
    as_near = int((others >= observed).sum())
    calibrated = len(others) >= max(1, least)
    return WrongCheckpoints(
        others=len(others),
        as_near=as_near,
        typical=float(np.median(others)) if calibrated else None,
        p_value=p_value(as_near, len(others)) if calibrated else None,
    )


def nearest_elsewhere(
    descriptors: NDArray[np.float32], owner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each extraction the nearest one of any other checkpoint.

    Args:
        descriptors: (N, D) of unit norm, all of one maker and one base model.
        owner: (N,) which checkpoint each belongs to.

    Returns:
        (N,) its index, -1 where there is no other checkpoint, and (N,) the cosine, -2 there.
    """
    index = np.full(len(descriptors), -1, np.int64)
    similarity = np.full(len(descriptors), -2, np.float32)
    for start in range(0, len(descriptors), _ROWS):
        rows = slice(start, start + _ROWS)
        for first in range(0, len(descriptors), _COLUMNS):
            others = slice(first, first + _COLUMNS)
            cosines = np.clip(descriptors[rows] @ descriptors[others].T, -1, 1)
            cosines[owner[rows, None] == owner[None, others]] = -2
            best = cosines.argmax(axis=1)
            highest = cosines[np.arange(len(best)), best]
            # Of equals the first stays.
            nearer = highest > similarity[rows]
            index[rows] = np.where(nearer, best + first, index[rows])
            similarity[rows] = np.where(nearer, highest, similarity[rows])
    return index, similarity


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """Whether a checkpoint gives an extraction under other recipes too."""

    recipes: int
    """Other recipes that the checkpoint was scanned with."""
    agreeing: tuple[str, ...]
    """Ids of those that gave the same picture."""


def stability(
    descriptors: NDArray[np.float32], recipes: Sequence[str], thresholds: NDArray[np.float32]
) -> list[Stability]:
    """For each extraction of one checkpoint, which other recipes gave it too.

    Args:
        descriptors: (N, D) of unit norm, all of one maker.
        recipes: (N,) the id of each one's recipe.
        thresholds: (N,) cosine at which its recipe takes two generations for the same picture.
    """
    known = np.asarray(recipes)
    same = descriptors @ descriptors.T >= thresholds[:, None]
    distinct = sorted(set(recipes))
    return [
        Stability(
            recipes=len(distinct) - 1,
            agreeing=tuple(one for one in distinct if one != own and bool(same[row, known == one].any())),
        )
        for row, own in enumerate(recipes)
    ]
