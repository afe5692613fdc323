"""Extractions against a reference set: which pairs are near, and how near. No judgement.

First every kind of hash and descriptor is searched for pairs within its limit, exactly; then those pairs,
and only those, are measured in every way. What it takes grows with the pairs that are near.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.finding import Match
from reports.matching.canaries import NO_CANARIES, Canaries, CanaryCheck
from reports.matching.columns import KINDS, Probes
from reports.matching.dense import Rows
from reports.matching.hashes import Codes
from reports.matching.pairs import measure_pairs
from reports.matching.search import alike, within
from reports.references.index import ReferenceIndex, Vectors

_PAIRS = 8192
"""Measured at once: with descriptors of 512 numbers they take 32 MB for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A pair is kept when one of its measures reaches its limit."""

    phash: int
    """Bits of 64, at most."""
    phash256: int
    """Bits of 256, at most."""
    pdq: int
    """Bits of 256, at most."""
    similarity: Mapping[str, float]
    """By descriptor name and maker: cosine, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPairs:
    """Pairs that reach a limit, by extraction and reference, each once; and what became of the canaries."""

    rows: Rows
    """(P,) places in `Probes`."""
    references: Rows
    """(P,) places in `ReferenceIndex`."""
    canaries: CanaryCheck


def matches(probes: Probes, index: ReferenceIndex, limits: Limits) -> Iterator[Match]:
    """Yield the pairs within a limit, each with all its measures, by extraction and reference.

    A reference is as near as the nearest of its views, a picture as its nearer side. Descriptors are
    compared with those of the same maker only.
    """
    return measured(probes, index, near_pairs(probes, index, limits))


def near_pairs(
    probes: Probes, index: ReferenceIndex, limits: Limits, canaries: Canaries = NO_CANARIES
) -> NearPairs:
    """Search for the pairs within a limit, with canaries among the extractions and the references."""
    searches = [
        *(_by_hash(probes, index, kind, getattr(limits, kind), canaries) for kind in KINDS),
        *(_by_descriptor(probes, index, name, limits, canaries) for name in sorted(probes.described)),
    ]
    pairs = np.unique(np.concatenate([found for found, _ in searches]))
    rows, references = np.divmod(pairs, max(1, len(index)))
    return NearPairs(
        rows=rows, references=references, canaries=CanaryCheck.together(check for _, check in searches)
    )


def measured(probes: Probes, index: ReferenceIndex, pairs: NearPairs) -> Iterator[Match]:
    """Yield the pairs with all their measures."""
    descriptor = _descriptors(probes)
    for start in range(0, len(pairs.rows), _PAIRS):
        rows, references = (one[start : start + _PAIRS] for one in (pairs.rows, pairs.references))
        pictures = measure_pairs(probes, index, rows, references, control=False)
        controls = measure_pairs(probes, index, rows, references, control=True)
        for at, (row, ref_id) in enumerate(zip(rows.tolist(), index.ref_ids.take(references), strict=True)):
            picture, base = pictures.at(at), controls.at(at)
            yield Match(
                extraction_id=probes.ids[row],
                checkpoint_id=probes.checkpoint_ids[row],
                set_name=index.set_name,
                ref_id=ref_id.as_py(),
                similarity=picture.similarity,
                descriptor=descriptor.get(row) if picture.similarity is not None else None,
                pdq_distance=picture.pdq,
                phash_distance=picture.phash,
                phash256_distance=picture.phash256,
                control_similarity=base.similarity,
                control_pdq_distance=base.pdq,
                control_phash_distance=base.phash,
                control_phash256_distance=base.phash256,
                mirrored=picture.mirrored,
            )


def _by_hash(
    probes: Probes, index: ReferenceIndex, kind: str, limit: int, canaries: Canaries
) -> tuple[Rows, CanaryCheck]:
    """Pairs as row * R + reference, and the canaries of this kind."""
    codes: Codes = getattr(index, kind)
    if not codes.usable.any():
        return np.zeros(0, np.int64), CanaryCheck()
    planted = canaries.hashed(kind, limit)
    plain, mirror = probes.picture.sides(kind)
    rows, columns, _ = within(plain.then(mirror, planted.probes), codes.then(planted.references), limit)
    found, check = _parted(rows, columns, 2 * len(probes.ids), len(codes.usable), planted.names)
    return found[0] % max(1, len(probes.ids)) * len(index) + index.owner[found[1]], check


def _by_descriptor(
    probes: Probes, index: ReferenceIndex, name: str, limits: Limits, canaries: Canaries
) -> tuple[Rows, CanaryCheck]:
    described, found, checks = probes.described[name], [np.zeros(0, np.int64)], []
    for side, makers in (("", index.vectors), (" mirror", index.mirrored)):
        vectors = makers.get(name, _NOTHING)
        if not len(vectors.owner):
            continue
        least = limits.similarity[name]
        planted = canaries.described(f"{name}{side}", vectors.rows.shape[1], least)
        asked = np.concatenate([described.picture, planted.probes])
        rows, columns, _ = alike(asked, vectors.rows, least)
        # Descriptors may be gigabytes, so the canaries' follow in a search of their own, the same one.
        own_rows, own_columns, _ = alike(asked, planted.references, least)
        mine, check = _parted(
            np.concatenate([rows, own_rows]),
            np.concatenate([columns, own_columns + len(vectors.owner)]),
            len(described.at),
            len(vectors.owner),
            planted.names,
        )
        found.append(described.at[mine[0]] * len(index) + vectors.owner[mine[1]])
        checks.append(check)
    return np.concatenate(found), CanaryCheck.together(checks)


_NOTHING = Vectors(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))


def _parted(
    rows: Rows, columns: Rows, probes: int, references: int, planted: Sequence[str]
) -> tuple[tuple[Rows, Rows], CanaryCheck]:
    """Part real pairs from those of canaries, which come after them."""
    real = (rows < probes) & (columns < references)
    own = (rows >= probes) & (rows - probes == columns - references)
    return (rows[real], columns[real]), CanaryCheck.of(planted, rows[own] - probes)


def _descriptors(probes: Probes) -> dict[int, str]:
    return {row: name for name, one in probes.described.items() for row in one.at.tolist()}
