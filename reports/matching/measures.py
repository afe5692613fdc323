"""Extractions against a reference set: which pairs are near, and how near. No judgement.

Exact and in blocks: every extraction is compared with every reference, with numpy's bit counts and
matrix products. A million PDQ hashes take about 0.1 s an extraction, on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.finding import Match
from reports.matching.hashes import FAR, Codes, distances
from reports.references.index import ReferenceIndex, Vectors

Rows = NDArray[np.int64]

NONE = np.float32(-2)
"""Similarity of what cannot be compared: below every cosine."""
_EXTRACTIONS, _REFERENCES = 32, 1 << 16
"""Compared at once: two million pairs, each of which takes some 40 bytes for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashes:
    """Perceptual hashes of one picture an extraction, and of its mirror: (E,) each."""

    phash: Codes
    phash_mirror: Codes
    pdq: Codes
    pdq_mirror: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Descriptors of some extractions, all of one maker."""

    at: NDArray[np.int64]
    """(N,) which extractions, ascending."""
    picture: NDArray[np.float32]
    """(N, D) of unit norm."""
    control: NDArray[np.float32]
    """(N, D) of unit norm: the base alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """E extractions in columns."""

    ids: Sequence[str]
    checkpoint_ids: Sequence[str]
    picture: Hashes
    control: Hashes
    described: Mapping[str, Described]
    """By descriptor name and maker; every extraction is in one of them at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A pair is kept when one of its measures reaches its limit."""

    phash: int
    """Bits of 64, at most."""
    pdq: int
    """Bits of 256, at most."""
    similarity: Mapping[str, float]
    """By descriptor name and maker: cosine, at least."""


def matches(
    probes: Probes,
    index: ReferenceIndex,
    limits: Limits,
    *,
    block: tuple[int, int] = (_EXTRACTIONS, _REFERENCES),
) -> Iterator[Match]:
    """Yield the pairs within a limit, each with all its measures, in no order that means anything.

    A reference is as near as the nearest of its views, a picture as its nearer side. Descriptors are
    compared with those of the same maker only. `block` is what is compared at once, and changes nothing.
    """
    for row in range(0, len(probes.ids), block[0]):
        extractions = np.arange(row, min(row + block[0], len(probes.ids)))
        for column in range(0, len(index), block[1]):
            references = range(column, min(column + block[1], len(index)))
            yield from _matches(probes, index, limits, extractions, references)


def _matches(
    probes: Probes, index: ReferenceIndex, limits: Limits, extractions: Rows, references: range
) -> Iterator[Match]:
    found = measure(probes, index, extractions, references, control=False)
    near = found.near(limits, _similarity_limits(probes, limits, extractions))
    for row in np.flatnonzero(near.any(axis=1)):
        extraction = extractions[row : row + 1]
        control = measure(probes, index, extraction, references, control=True)
        descriptor = _descriptor(probes, int(extraction[0]))
        for column in np.flatnonzero(near[row]).tolist():
            picture, base = found.at(int(row), column), control.at(0, column)
            yield Match(
                extraction_id=probes.ids[extraction[0]],
                checkpoint_id=probes.checkpoint_ids[extraction[0]],
                set_name=index.set_name,
                ref_id=index.ref_ids[references.start + column].as_py(),
                similarity=picture.similarity,
                descriptor=descriptor if picture.similarity is not None else None,
                pdq_distance=picture.pdq,
                phash_distance=picture.phash,
                control_similarity=base.similarity,
                control_pdq_distance=base.pdq,
                control_phash_distance=base.phash,
                mirrored=picture.mirrored,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """The measures of one pair; None where it cannot be compared."""

    similarity: float | None
    pdq: int | None
    phash: int | None
    mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Of A extractions and R references, (A, R) each: `FAR` or `NONE` where a pair cannot be compared."""

    phash: NDArray[np.uint16]
    phash_mirror: NDArray[np.uint16]
    pdq: NDArray[np.uint16]
    pdq_mirror: NDArray[np.uint16]
    similarity: NDArray[np.float32]
    similarity_mirror: NDArray[np.float32]

    def near(self, limits: Limits, similarity: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(A, R): which pairs reach a limit; `similarity` is each extraction's own, (A, 1)."""
        near = np.minimum(self.pdq, self.pdq_mirror) <= limits.pdq
        near |= np.minimum(self.phash, self.phash_mirror) <= limits.phash
        near |= np.maximum(self.similarity, self.similarity_mirror) >= similarity
        return near

    def at(self, row: int, column: int) -> _Pair:
        pdq, pdq_mirror = int(self.pdq[row, column]), int(self.pdq_mirror[row, column])
        phash, phash_mirror = int(self.phash[row, column]), int(self.phash_mirror[row, column])
        similarity = float(self.similarity[row, column])
        similarity_mirror = float(self.similarity_mirror[row, column])
        # The finest measure decides on the side; on a tie the next one does.
        sides = ((pdq, pdq_mirror), (phash, phash_mirror), (-similarity, -similarity_mirror))
        likest = max(similarity, similarity_mirror)
        return _Pair(
            similarity=likest if likest > NONE else None,
            pdq=None if min(pdq, pdq_mirror) == FAR else min(pdq, pdq_mirror),
            phash=None if min(phash, phash_mirror) == FAR else min(phash, phash_mirror),
            mirrored=next((mirror < plain for plain, mirror in sides if plain != mirror), False),
        )


def measure(
    probes: Probes, index: ReferenceIndex, extractions: Rows, references: range, *, control: bool
) -> Measures:
    """Measure every pair of extractions, ascending, and references; `control` takes the base's pictures."""
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

    return Measures(
        phash=nearest(hashes.phash, index.phash),
        phash_mirror=nearest(hashes.phash_mirror, index.phash),
        pdq=nearest(hashes.pdq, index.pdq),
        pdq_mirror=nearest(hashes.pdq_mirror, index.pdq),
        similarity=likest(index.vectors),
        similarity_mirror=likest(index.mirrored),
    )


def _span(owner: Rows, references: range) -> slice:
    """Where the views of these references lie."""
    first, last = np.searchsorted(owner, (references.start, references.stop))
    return slice(int(first), int(last))


def _reduce(nearer: np.ufunc, found: NDArray[Any], owner: Rows, out: NDArray[Any]) -> None:
    """Write (A, V) over views into (A, R) over references, the nearest view of each."""
    if len(owner):
        first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        out[:, owner[first]] = nearer.reduceat(found, first, axis=1)


def _similarity_limits(probes: Probes, limits: Limits, extractions: Rows) -> NDArray[np.float32]:
    """(A, 1): each extraction's limit, that of its descriptor; out of reach where it has none."""
    out = np.full((len(extractions), 1), np.inf, np.float32)
    for name, described in probes.described.items():
        out[np.isin(extractions, described.at)] = limits.similarity[name]
    return out


def _descriptor(probes: Probes, extraction: int) -> str | None:
    return next((name for name, one in probes.described.items() if extraction in one.at), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparable:
    """How much could be compared at all: what a rate of matches is a rate of."""

    pairs: int
    """Extractions and references that have a measure in common."""
    extractions: Mapping[str, int]
    """By measure ("phash", "pdq", a descriptor's name): extractions that share it with a reference."""


def comparable(probes: Probes, index: ReferenceIndex) -> Comparable:
    """Count the pairs that `matches` can measure, without measuring them."""
    names = ("phash", "pdq", *sorted(probes.described))
    has = np.zeros((len(probes.ids), len(names)), np.bool_)
    wants = np.zeros((len(index), len(names)), np.bool_)
    has[:, 0], has[:, 1] = probes.picture.phash.usable, probes.picture.pdq.usable
    wants[index.owner[index.phash.usable], 0] = True
    wants[index.owner[index.pdq.usable], 1] = True
    for column, name in enumerate(names[2:], start=2):
        has[probes.described[name].at, column] = True
        if name in index.vectors:
            wants[index.vectors[name].owner, column] = True
    # Few kinds of extraction and of reference differ in what they have, so kinds are compared, not pairs.
    kinds, counts = np.unique(has, axis=0, return_counts=True)
    others, other_counts = np.unique(wants, axis=0, return_counts=True)
    shared = (kinds[:, None] & others[None]).any(axis=2)
    return Comparable(
        pairs=int((counts[:, None] * other_counts[None] * shared).sum()),
        extractions={
            name: int(has[:, column].sum()) if wants[:, column].any() else 0
            for column, name in enumerate(names)
        },
    )


def highest_similarities(probes: Probes, index: ReferenceIndex) -> dict[str, NDArray[np.float32]]:
    """Return each extraction's cosine with its nearest reference, by descriptor; empty where there is none.

    On decoys this is what strangers reach, and so where a threshold has to stand.
    """
    highest = {}
    for name, described in probes.described.items():
        sides = [makers[name].rows for makers in (index.vectors, index.mirrored) if name in makers]
        if sides:
            highest[name] = np.concatenate([described.picture @ rows.T for rows in sides], axis=1).max(axis=1)
    return highest
