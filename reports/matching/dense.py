"""Every extraction against every reference, all measures of all pairs: for a few references at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.matching.columns import KINDS, Probes
from reports.matching.hashes import FAR, Codes, distances
from reports.references.index import ReferenceIndex, Vectors

Rows = NDArray[np.int64]

NONE = np.float32(-2)
"""Similarity of what cannot be compared: below every cosine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Of A extractions and R references, (A, R) each: `FAR` or `NONE` where a pair cannot be compared."""

    phash: NDArray[np.uint16]
    phash_mirror: NDArray[np.uint16]
    phash256: NDArray[np.uint16]
    phash256_mirror: NDArray[np.uint16]
    pdq: NDArray[np.uint16]
    pdq_mirror: NDArray[np.uint16]
    similarity: NDArray[np.float32]
    similarity_mirror: NDArray[np.float32]

    def distance(self, kind: str) -> NDArray[np.uint16]:
        """The smaller of picture and mirror, of one kind of hash."""
        nearer: NDArray[np.uint16] = np.minimum(getattr(self, kind), getattr(self, f"{kind}_mirror"))
        return nearer


def measure(
    probes: Probes, index: ReferenceIndex, extractions: Rows, references: range, *, control: bool
) -> Measures:
    """Measure every pair of extractions, ascending, and references; `control` takes the base's pictures.

    A reference is as near as the nearest of its views.
    """
    hashes = probes.control if control else probes.picture
    views = _span(index.owner, references)
    owner = index.owner[views] - references.start

    def nearest(codes: Codes, others: Codes) -> NDArray[np.uint16]:
        found = distances(codes[extractions], others[views])
        out = np.full((len(extractions), len(references)), FAR, np.uint16)
        _reduce(np.minimum, found, owner, out)
        return out

    def likest(makers: Mapping[str, Vectors]) -> NDArray[np.float32]:
        out = np.full((len(extractions), len(references)), NONE, np.float32)
        for name in makers.keys() & probes.described.keys():
            vectors, described = makers[name], probes.described[name]
            mine = np.flatnonzero(np.isin(described.at, extractions))
            rows = (described.control if control else described.picture)[mine]
            part = _span(vectors.owner, references)
            cosines = np.clip(rows @ vectors.rows[part].T, -1, 1)
            some = np.full((len(mine), len(references)), NONE, np.float32)
            _reduce(np.maximum, cosines, vectors.owner[part] - references.start, some)
            out[np.searchsorted(extractions, described.at[mine])] = some
        return out

    by_hash = {
        name: nearest(codes, getattr(index, kind))
        for kind in KINDS
        for name, codes in zip((kind, f"{kind}_mirror"), hashes.sides(kind), strict=True)
    }
    return Measures(**by_hash, similarity=likest(index.vectors), similarity_mirror=likest(index.mirrored))


def _span(owner: Rows, references: range) -> slice:
    """Where the views of these references lie."""
    first, last = np.searchsorted(owner, (references.start, references.stop))
    return slice(int(first), int(last))


def _reduce(nearer: np.ufunc, found: NDArray[Any], owner: Rows, out: NDArray[Any]) -> None:
    """Write (A, V) over views into (A, R) over references, the nearest view of each."""
    if len(owner):
        first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        out[:, owner[first]] = nearer.reduceat(found, first, axis=1)
