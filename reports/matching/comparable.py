"""How much of a set could be compared at all, and how near strangers come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.matching.columns import KINDS, Probes
from reports.matching.search import likest
from reports.references.index import ReferenceIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparable:
    """How much could be compared at all: what a rate of matches is a rate of."""

    pairs: int
    """Extractions and references that have a measure in common."""
    extractions: Mapping[str, int]
    """By measure ("phash", "phash256", "pdq", a descriptor's name): extractions that share it with a
    reference."""


def comparable(probes: Probes, index: ReferenceIndex) -> Comparable:
    """Count the pairs that `reports.matching.measures.matches` can measure, without measuring them."""
    names = (*sorted(KINDS), *sorted(probes.described))
    # One bit a measure: few kinds of extraction and of reference differ in what they have, so kinds are
    # compared, not pairs.
    has = np.zeros(len(probes.ids), np.int64)
    wants = np.zeros(len(index), np.int64)
    for bit, name in enumerate(names):
        if name in KINDS:
            has[getattr(probes.picture, name).usable] |= 1 << bit
            wants[index.owner[getattr(index, name).usable]] |= 1 << bit
        else:
            has[probes.described[name].at] |= 1 << bit
            if name in index.vectors:
                wants[index.vectors[name].owner] |= 1 << bit
    kinds, counts = np.unique(has, return_counts=True)
    others, other_counts = np.unique(wants, return_counts=True)
    shared = (kinds[:, None] & others[None]) != 0
    wanted = int(np.bitwise_or.reduce(others)) if len(others) else 0
    return Comparable(
        pairs=int((counts[:, None] * other_counts[None] * shared).sum()),
        extractions={
            name: int((has >> bit & 1).sum()) if wanted >> bit & 1 else 0 for bit, name in enumerate(names)
        },
    )


def highest_similarities(probes: Probes, index: ReferenceIndex) -> dict[str, NDArray[np.float32]]:
    """Return each extraction's cosine with its nearest reference, by descriptor; empty where there is none.

    On decoys this is what strangers reach, and so where a threshold has to stand.
    """
    highest = {}
    for name, described in probes.described.items():
        sides = [makers[name].rows for makers in (index.vectors, index.mirrored) if name in makers]
        nearest = [likest(described.picture, rows, 1)[1][:, 0] for rows in sides if len(rows)]
        if nearest:
            highest[name] = np.max(nearest, axis=0)
    return highest
