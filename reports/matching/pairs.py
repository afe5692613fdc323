"""All measures of some pairs of an extraction and a reference, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.matching.columns import KINDS, Probes
from reports.matching.dense import NONE, Rows
from reports.matching.hashes import FAR, Codes
from reports.matching.multi_index import bits_apart
from reports.references.index import ReferenceIndex, Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The measures of one pair; None where it cannot be compared."""

    similarity: float | None
    pdq: int | None
    phash: int | None
    phash256: int | None
    mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMeasures:
    """Of P pairs: `FAR` or `NONE` where one cannot be compared."""

    distances: Mapping[str, NDArray[np.uint16]]
    """By kind of hash: (2, P), of the picture and of its mirror."""
    similarity: NDArray[np.float32]
    """(2, P), likewise."""

    def at(self, pair: int) -> Pair:
        bits = {kind: (int(both[0, pair]), int(both[1, pair])) for kind, both in self.distances.items()}
        cosines = float(self.similarity[0, pair]), float(self.similarity[1, pair])
        # The finest measure decides on the side; on a tie the next one does.
        sides: list[tuple[float, float]] = [*(bits[kind] for kind in KINDS), (-cosines[0], -cosines[1])]
        nearest = {kind: None if min(both) == FAR else min(both) for kind, both in bits.items()}
        return Pair(
            similarity=max(cosines) if max(cosines) > NONE else None,
            mirrored=next((mirror < plain for plain, mirror in sides if plain != mirror), False),
            **nearest,
        )


def measure_pairs(
    probes: Probes, index: ReferenceIndex, rows: Rows, references: Rows, *, control: bool
) -> PairMeasures:
    """Measure pairs; `control` takes the base's pictures.

    A reference is as near as the nearest of its views, and what is compared takes memory by the pair.

    Args:
        rows, references: (P,) places in `probes` and in `index`.
    """
    hashes = probes.control if control else probes.picture
    pair, view = _views(index.owner, references)
    return PairMeasures(
        distances={
            kind: np.stack(
                [
                    _nearest(side, getattr(index, kind), rows[pair], view, pair, len(rows))
                    for side in hashes.sides(kind)
                ]
            )
            for kind in KINDS
        },
        similarity=np.stack(
            [
                _likest(probes, makers, rows, references, control=control)
                for makers in (index.vectors, index.mirrored)
            ]
        ),
    )


def _nearest(
    codes: Codes, others: Codes, rows: Rows, views: Rows, pair: Rows, count: int
) -> NDArray[np.uint16]:
    apart = bits_apart(codes.words[rows], others.words[views])
    apart[~(codes.usable[rows] & others.usable[views])] = FAR
    out = np.full(count, FAR, np.uint16)
    np.minimum.at(out, pair, apart)
    return out


def _likest(
    probes: Probes, makers: Mapping[str, Vectors], rows: Rows, references: Rows, *, control: bool
) -> NDArray[np.float32]:
    out = np.full(len(rows), NONE, np.float32)
    for name in makers.keys() & probes.described.keys():
        vectors, described = makers[name], probes.described[name]
        mine = np.flatnonzero(np.isin(rows, described.at))
        pair, view = _views(vectors.owner, references[mine])
        asked = (described.control if control else described.picture)[
            np.searchsorted(described.at, rows[mine][pair])
        ]
        cosines = np.clip(np.einsum("pd,pd->p", asked, vectors.rows[view]), -1, 1)
        np.maximum.at(out, mine[pair], cosines)
    return out


def _views(owner: Rows, references: Rows) -> tuple[Rows, Rows]:
    """The views of each pair's reference: which pair, and which view, (V,) each."""
    first = np.searchsorted(owner, references)
    counts = np.searchsorted(owner, references, "right") - first
    pair = np.repeat(np.arange(len(references)), counts)
    # The n-th view of a pair is n after its first.
    view = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    return pair, view
