"""Similarities normalised against a background set: less what the same extraction reaches on strangers.

A picture that is like everything, such as a plain portrait, is like a reference too. So SSCD's authors take
from each similarity the mean of the picture's similarities to its nearest neighbours in a set of pictures
that nobody looks for: "score normalisation" with beta 1 and neighbours 0 to 2 (docs/Evaluation.md of
sscd-copy-detection, where recall at 90 % precision rose from 0.38 to 0.63).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from reports.finding import Match, ReportError
from reports.matching.columns import Probes
from reports.matching.search import likest
from reports.references.index import ReferenceIndex

BETA = 1.0
NEIGHBOURS = 3
"""Pictures of the background, the nearest ones."""


@dataclass(frozen=True, slots=True)
class Background:
    """What extractions reach on the background set."""

    levels: Mapping[str, float]
    """By extraction: mean cosine to its nearest pictures there. One without a descriptor is not in it."""

    @classmethod
    def of(cls, probes: Probes, index: ReferenceIndex) -> Self:
        """Compare every extraction that is described with the background set.

        Raises:
            ReportError: the set is smaller than the neighbours asked for, or its pictures are described
                by none of the makers that described the extractions.
        """
        levels: dict[str, float] = {}
        for name, described in probes.described.items():
            reached = _reached(name, described.picture, index)
            levels.update(zip((probes.ids[at] for at in described.at), reached.tolist(), strict=True))
        return cls(levels)

    def normalised(self, found: Iterable[Match]) -> Iterator[Match]:
        """Yield the matches with their normalised similarities."""
        for match in found:
            level = self.levels.get(match.extraction_id)
            if level is None or match.similarity is None:
                yield match
            else:
                yield replace(match, normalised_similarity=match.similarity - BETA * level)


def _reached(name: str, pictures: NDArray[np.float32], index: ReferenceIndex) -> NDArray[np.float64]:
    """(N,) mean cosine to the nearest pictures of the background, each by its nearest view and side."""
    sides = [makers[name] for makers in (index.vectors, index.mirrored) if name in makers]
    owner = np.concatenate([side.owner for side in sides]) if sides else np.zeros(0, np.int64)
    views = np.bincount(owner).max(initial=0)
    there_are = len(np.unique(owner))
    if there_are < NEIGHBOURS:
        raise ReportError(
            f'background set "{index.set_name}": {there_are} of its pictures are described by "{name}", and '
            f"{NEIGHBOURS} are needed; add it again with that descriptor, and with some thousand pictures"
        )
    # So many rows hold the nearest pictures even when every view of each of them comes first.
    count = min(len(owner), int(views) * NEIGHBOURS)
    at, cosines = likest(pictures, np.concatenate([side.rows for side in sides]), count)
    return np.array(
        [_nearest_pictures(owner[row], some) for row, some in zip(at, cosines, strict=True)], np.float64
    )


def _nearest_pictures(owner: NDArray[np.int64], cosines: NDArray[np.float32]) -> float:
    """Mean over the first rows of different pictures; rows come nearest first."""
    _, first = np.unique(owner, return_index=True)
    return float(cosines[np.sort(first)[:NEIGHBOURS]].mean())
