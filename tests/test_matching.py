"""Matching against a loop over all pairs, and that nothing is compared with what it cannot be."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.matching.columns import KINDS, Described, Hashes, Probes
from reports.matching.comparable import comparable, highest_similarities
from reports.matching.dense import NONE, measure
from reports.matching.hashes import FAR, Codes
from reports.matching.measures import Limits, matches
from reports.references.index import ReferenceIndex, Vectors

ONNX, TORCH = "sscd@onnx", "sscd@torchscript"
LIMITS = Limits(phash=24, phash256=108, pdq=112, similarity={ONNX: 0.3, TORCH: 0.3})


def codes(rng, count, words, gaps):
    """Hashes of which a few are missing and many are near one another."""
    base = rng.integers(0, 2**64, (3, words), dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (count, words), dtype=np.uint64)
    return Codes(base[rng.integers(0, 3, count)] ^ flips, rng.random(count) > gaps)


def units(rng, count, sides=4):
    rows = rng.normal(size=(count, sides)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def hashes(rng, count, gaps):
    return Hashes(
        phash=codes(rng, count, 1, gaps),
        phash_mirror=codes(rng, count, 1, gaps),
        phash256=codes(rng, count, 4, gaps),
        phash256_mirror=codes(rng, count, 4, gaps),
        pdq=codes(rng, count, 4, gaps),
        pdq_mirror=codes(rng, count, 4, gaps),
    )


def world(seed, extractions, references, gaps=0.3):
    """Extractions of two makers, references of one to three views, descriptors of both makers or none."""
    rng = np.random.default_rng(seed)
    maker = rng.integers(0, 3, extractions)
    described = {}
    for number, name in enumerate((ONNX, TORCH)):
        at = np.flatnonzero(maker == number)
        if len(at):
            described[name] = Described(at=at, picture=units(rng, len(at)), control=units(rng, len(at)))
    probes = Probes(
        ids=[f"e{row}" for row in range(extractions)],
        checkpoint_ids=[f"c{row % 2}" for row in range(extractions)],
        picture=hashes(rng, extractions, gaps),
        control=hashes(rng, extractions, gaps),
        described=described,
    )
    owner = np.repeat(np.arange(references), rng.integers(1, 4, references))

    def vectors(share):
        of = np.flatnonzero(rng.random(references) < share).repeat(2)
        return Vectors(of, units(rng, len(of)))

    index = ReferenceIndex(
        set_name="set",
        ref_ids=pa.array([f"r{row:03}" for row in range(references)], pa.string()),
        owner=owner,
        phash=codes(rng, len(owner), 1, gaps),
        phash256=codes(rng, len(owner), 4, gaps),
        pdq=codes(rng, len(owner), 4, gaps),
        opinions=np.zeros(references, np.int8),
        vectors={ONNX: vectors(0.7), TORCH: vectors(0.5)},
        mirrored={ONNX: vectors(0.3)},
    )
    return probes, index


def distance(code, row, others, views):
    found = [
        sum(
            int(a ^ b).bit_count()
            for a, b in zip(code.words[row].tolist(), others.words[view].tolist(), strict=True)
        )
        for view in views
        if code.usable[row] and others.usable[view]
    ]
    return min(found, default=FAR)


def cosine(probes, row, makers, reference, *, control):
    for name, described in probes.described.items():
        where = np.flatnonzero(described.at == row)
        if len(where) and name in makers:
            vectors = makers[name]
            probe = (described.control if control else described.picture)[where[0]]
            return max(
                (float(probe @ vectors.rows[i]) for i in np.flatnonzero(vectors.owner == reference)),
                default=-2.0,
            )
    return -2.0


def measures(probes, index, row, reference, *, control):
    """{measure: (of the picture, of its mirror)} of one pair, by loops; the finest measure first."""
    of = probes.control if control else probes.picture
    views = np.flatnonzero(index.owner == reference)
    by_hash = {
        kind: tuple(distance(side, row, getattr(index, kind), views) for side in of.sides(kind))
        for kind in KINDS
    }
    cosines = tuple(
        cosine(probes, row, makers, reference, control=control) for makers in (index.vectors, index.mirrored)
    )
    return {**by_hash, "similarity": cosines}


def brute_force(probes, index):
    for row, reference in product(range(len(probes.ids)), range(len(index))):
        found = measures(probes, index, row, reference, control=False)
        near = [min(found[kind]) <= getattr(LIMITS, kind) for kind in KINDS]
        if any(near) or max(found["similarity"]) >= 0.3:
            base = measures(probes, index, row, reference, control=True)
            nearer = [plain - mirror for plain, mirror in (found[kind] for kind in KINDS)]
            nearer.append(found["similarity"][1] - found["similarity"][0])
            yield {
                "pair": (probes.ids[row], index.ref_ids[reference].as_py()),
                **{kind: min(found[kind]) for kind in KINDS},
                "similarity": max(found["similarity"]),
                "mirrored": next((one > 0 for one in nearer if one), False),
                "control": [*(min(base[kind]) for kind in KINDS), max(base["similarity"])],
            }


def plain(match):
    def bits(name):
        value = getattr(match, f"{name}_distance")
        return FAR if value is None else value

    def likeness(value):
        return -2.0 if value is None else value

    return {
        "pair": (match.extraction_id, match.ref_id),
        **{kind: bits(kind) for kind in KINDS},
        "similarity": pytest.approx(likeness(match.similarity), abs=1e-5),
        "mirrored": match.mirrored,
        "control": pytest.approx(
            [*(bits(f"control_{kind}") for kind in KINDS), likeness(match.control_similarity)], abs=1e-5
        ),
    }


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    extractions=st.integers(0, 9),
    references=st.integers(0, 9),
    gaps=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_matches_are_those_of_a_loop_over_all_pairs(seed, extractions, references, gaps):
    probes, index = world(seed, extractions, references, gaps)
    found = {(one.extraction_id, one.ref_id): one for one in matches(probes, index, LIMITS)}
    expected = {one["pair"]: one for one in brute_force(probes, index)}
    assert found.keys() == expected.keys()
    for pair, one in expected.items():
        assert plain(found[pair]) == one


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), extractions=st.integers(1, 60), references=st.integers(1, 40))
def test_matches_are_those_of_the_dense_measure(seed, extractions, references):
    probes, index = world(seed, extractions, references)
    found = list(matches(probes, index, LIMITS))
    dense = measure(probes, index, np.arange(extractions), range(references), control=False)
    likest = np.maximum(dense.similarity, dense.similarity_mirror)
    near = likest >= 0.3
    for kind in KINDS:
        near |= dense.distance(kind) <= getattr(LIMITS, kind)
    assert [(one.extraction_id, one.ref_id) for one in found] == [
        (probes.ids[row], index.ref_ids[column].as_py())
        for row, column in zip(*np.nonzero(near), strict=True)
    ]
    for one, row, column in zip(found, *np.nonzero(near), strict=True):
        for kind in KINDS:
            assert (getattr(one, f"{kind}_distance") or FAR) == (dense.distance(kind)[row, column] or FAR)
        assert one.similarity == pytest.approx(likest[row, column], abs=1e-5) or likest[row, column] == NONE


def test_memory_grows_with_what_is_near_not_with_what_is_compared():
    """One array of bytes over all pairs would take 60 MB."""
    probes, index = world(2, extractions=3000, references=20_000, gaps=0.0)
    far = np.random.default_rng(9)
    columns = {kind: codes(far, len(index.owner), getattr(index, kind).words.shape[1], 0.0) for kind in KINDS}
    index = replace(index, **columns, vectors={}, mirrored={})
    strict = Limits(phash=2, phash256=8, pdq=8, similarity=LIMITS.similarity)
    tracemalloc.start()
    try:
        found = list(matches(probes, index, strict))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) < 1000
    assert peak < 60e6


def test_a_pair_comes_once_and_in_order_of_extractions_and_references():
    probes, index = world(3, 9, 9)
    found = [(one.extraction_id, one.ref_id) for one in matches(probes, index, LIMITS)]
    assert found == sorted(set(found))
    assert len(found) > 10


def test_descriptors_of_two_makers_are_never_compared():
    row = units(np.random.default_rng(0), 1)
    none = Codes(np.zeros((1, 1), np.uint64), np.array([False]))
    no_hashes = Hashes(**{f"{kind}{side}": none for kind in KINDS for side in ("", "_mirror")})
    probes = Probes(
        ids=["e"],
        checkpoint_ids=["c"],
        picture=no_hashes,
        control=no_hashes,
        described={ONNX: Described(at=np.array([0]), picture=row, control=-row)},
    )

    def index(maker):
        vectors = {maker: Vectors(np.array([0]), row)}
        return ReferenceIndex(
            set_name="s",
            ref_ids=pa.array(["r"]),
            owner=np.array([0]),
            phash=none,
            phash256=none,
            pdq=none,
            opinions=np.zeros(1, np.int8),
            vectors=vectors,
            mirrored={},
        )

    (match,) = matches(probes, index(ONNX), LIMITS)
    assert (match.similarity, match.control_similarity) == (pytest.approx(1), pytest.approx(-1))
    assert (match.descriptor, match.pdq_distance, match.phash_distance) == (ONNX, None, None)
    assert list(matches(probes, index(TORCH), LIMITS)) == []
    assert comparable(probes, index(TORCH)).pairs == 0
    assert comparable(probes, index(ONNX)).extractions == {"phash": 0, "phash256": 0, "pdq": 0, ONNX: 1}
    assert highest_similarities(probes, index(TORCH)) == {}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), extractions=st.integers(0, 6), references=st.integers(0, 6))
def test_comparable_counts_pairs_that_have_a_measure(seed, extractions, references):
    probes, index = world(seed, extractions, references, gaps=0.6)
    # The mirror of a picture has a hash when the picture has one.
    index = ReferenceIndex(**{name: getattr(index, name) for name in index.__slots__} | {"mirrored": {}})
    picture = probes.picture
    same = Hashes(**{f"{kind}{side}": getattr(picture, kind) for kind in KINDS for side in ("", "_mirror")})
    probes = Probes(**{name: getattr(probes, name) for name in probes.__slots__} | {"picture": same})
    pairs = sum(
        min(min(found[kind]) for kind in KINDS) < FAR or max(found["similarity"]) > -2
        for found in (
            measures(probes, index, row, reference, control=False)
            for row, reference in product(range(extractions), range(references))
        )
    )
    assert comparable(probes, index).pairs == pairs


def test_highest_similarities_are_those_of_the_nearest_reference():
    probes, index = world(5, 6, 6)
    for name, highest in highest_similarities(probes, index).items():
        for at, value in zip(probes.described[name].at, highest, strict=True):
            sides = [
                cosine(probes, at, makers, reference, control=False)
                for makers in (index.vectors, index.mirrored)
                for reference in range(len(index))
            ]
            assert value == pytest.approx(max(sides), abs=1e-5)
