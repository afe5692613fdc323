"""Matching against a loop over all pairs, and that nothing is compared with what it cannot be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.matching.hashes import FAR, Codes
from reports.references.index import ReferenceIndex, Vectors
from reports.matching.measures import (
    Described,
    Hashes,
    Limits,
    Probes,
    comparable,
    highest_similarities,
    matches,
)

ONNX, TORCH = "sscd@onnx", "sscd@torchscript"
LIMITS = Limits(phash=24, pdq=112, similarity={ONNX: 0.3, TORCH: 0.3})


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
        pdq=codes(rng, len(owner), 4, gaps),
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
    """(PDQ, its mirror, pHash, its mirror, cosine, its mirror) of one pair, by loops."""
    of = probes.control if control else probes.picture
    views = np.flatnonzero(index.owner == reference)
    return (
        distance(of.pdq, row, index.pdq, views),
        distance(of.pdq_mirror, row, index.pdq, views),
        distance(of.phash, row, index.phash, views),
        distance(of.phash_mirror, row, index.phash, views),
        cosine(probes, row, index.vectors, reference, control=control),
        cosine(probes, row, index.mirrored, reference, control=control),
    )


def brute_force(probes, index):
    for row, reference in product(range(len(probes.ids)), range(len(index))):
        pdq, pdq_m, phash, phash_m, likeness, likeness_m = measures(
            probes, index, row, reference, control=False
        )
        if (
            min(pdq, pdq_m) <= LIMITS.pdq
            or min(phash, phash_m) <= LIMITS.phash
            or max(likeness, likeness_m) >= 0.3
        ):
            base = measures(probes, index, row, reference, control=True)
            yield {
                "pair": (probes.ids[row], index.ref_ids[reference].as_py()),
                "pdq": min(pdq, pdq_m),
                "phash": min(phash, phash_m),
                "likeness": max(likeness, likeness_m),
                "mirrored": pdq_m < pdq
                or (pdq_m == pdq and (phash_m < phash or (phash_m == phash and likeness_m > likeness))),
                "control": (min(base[:2]), min(base[2:4]), max(base[4:])),
            }


def plain(match):
    def bits(value):
        return FAR if value is None else value

    def likeness(value):
        return -2.0 if value is None else value

    return {
        "pair": (match.extraction_id, match.ref_id),
        "pdq": bits(match.pdq_distance),
        "phash": bits(match.phash_distance),
        "likeness": pytest.approx(likeness(match.similarity), abs=1e-5),
        "mirrored": match.mirrored,
        "control": pytest.approx(
            (
                bits(match.control_pdq_distance),
                bits(match.control_phash_distance),
                likeness(match.control_similarity),
            ),
            abs=1e-5,
        ),
    }


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    extractions=st.integers(0, 9),
    references=st.integers(0, 9),
    gaps=st.sampled_from([0.0, 0.3, 1.0]),
    block=st.tuples(st.integers(1, 10), st.integers(1, 10)),
)
def test_matches_are_those_of_a_loop_over_all_pairs(seed, extractions, references, gaps, block):
    probes, index = world(seed, extractions, references, gaps)
    found = {(one.extraction_id, one.ref_id): one for one in matches(probes, index, LIMITS, block=block)}
    expected = {one["pair"]: one for one in brute_force(probes, index)}
    assert found.keys() == expected.keys()
    for pair, one in expected.items():
        assert plain(found[pair]) == one


def test_a_pair_comes_once():
    probes, index = world(3, 9, 9)
    found = [(one.extraction_id, one.ref_id) for one in matches(probes, index, LIMITS, block=(2, 3))]
    assert len(found) == len(set(found)) > 10


def test_descriptors_of_two_makers_are_never_compared():
    row = units(np.random.default_rng(0), 1)
    none = Codes(np.zeros((1, 1), np.uint64), np.array([False]))
    no_hashes = Hashes(phash=none, phash_mirror=none, pdq=none, pdq_mirror=none)
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
            pdq=none,
            vectors=vectors,
            mirrored={},
        )

    (match,) = matches(probes, index(ONNX), LIMITS)
    assert (match.similarity, match.control_similarity) == (pytest.approx(1), pytest.approx(-1))
    assert (match.descriptor, match.pdq_distance, match.phash_distance) == (ONNX, None, None)
    assert list(matches(probes, index(TORCH), LIMITS)) == []
    assert comparable(probes, index(TORCH)).pairs == 0
    assert comparable(probes, index(ONNX)).extractions == {"phash": 0, "pdq": 0, ONNX: 1}
    assert highest_similarities(probes, index(TORCH)) == {}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), extractions=st.integers(0, 6), references=st.integers(0, 6))
def test_comparable_counts_pairs_that_have_a_measure(seed, extractions, references):
    probes, index = world(seed, extractions, references, gaps=0.6)
    # The mirror of a picture has a hash when the picture has one.
    index = ReferenceIndex(**{name: getattr(index, name) for name in index.__slots__} | {"mirrored": {}})
    picture = probes.picture
    same = Hashes(phash=picture.phash, phash_mirror=picture.phash, pdq=picture.pdq, pdq_mirror=picture.pdq)
    probes = Probes(**{name: getattr(probes, name) for name in probes.__slots__} | {"picture": same})
    pairs = sum(
        min(found[:4]) < FAR or max(found[4:]) > -2
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
