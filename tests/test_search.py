"""Range search over hashes and descriptors: exact, whichever way it takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.matching.hashes import Codes, distances
from reports.matching.multi_index import Cut, best_cut, bits_apart, near, tables
from reports.matching.search import alike, likest, scan, within


def words(rng, count, width, flips):
    """Hashes around a few centres, up to so many bits away from them."""
    centres = rng.integers(0, 2**64, (3, width), dtype=np.uint64)
    out = centres[rng.integers(0, 3, count)]
    for row in out:
        for bit in rng.integers(0, 64 * width, rng.integers(0, flips + 1)).tolist():
            row[bit // 64] ^= np.uint64(1 << bit % 64)
    return out


def pairs(found):
    return [tuple(one) for one in np.stack(found, axis=1).tolist()]


def by_loop(queries, index, radius):
    apart = distances(queries, index)
    return [
        (row, column, int(apart[row, column]))
        for row, column in zip(*np.nonzero(apart <= radius), strict=True)
    ]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    queries=st.integers(0, 12),
    references=st.integers(0, 150),
    width=st.sampled_from([1, 4]),
    radius=st.integers(0, 256),
    gaps=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_within_finds_what_a_loop_over_all_pairs_finds(seed, queries, references, width, radius, gaps):
    rng = np.random.default_rng(seed)
    asked = Codes(words(rng, queries, width, 40), rng.random(queries) >= gaps)
    index = Codes(words(rng, references, width, 40), rng.random(references) >= gaps)
    assert pairs(within(asked, index, radius)) == by_loop(asked, index, min(radius, 64 * width))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    width=st.sampled_from([1, 4]),
    radius=st.integers(0, 60),
    pieces=st.integers(1, 32),
    block=st.sampled_from([40, 1 << 20]),
)
def test_every_cut_finds_the_same(seed, width, radius, pieces, block):
    cut = Cut.into(pieces, bits=64 * width, radius=radius)
    if cut.width > 16 or max(cut.flips) > 4:
        cut = Cut.into(16 * width, bits=64 * width, radius=min(radius, 16 * width))
        radius = min(radius, 16 * width)
    rng = np.random.default_rng(seed)
    every = words(rng, 90, width, 30)
    asked, index = every[:9], every[9:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.matching.multi_index._LOOKUPS", block)
        patch.setattr("reports.matching.multi_index._COMPARED", block)
        found = near(tables(index, cut), index, asked, radius)
    assert pairs(found) == pairs(scan(asked, index, radius))


@given(bits=st.sampled_from([64, 256]), radius=st.integers(0, 255), pieces=st.integers(1, 64))
def test_a_cut_loses_no_pair(bits, radius, pieces):
    """However a pair within the radius spreads its bits, one piece has no more than its flips."""
    cut = Cut.into(pieces, bits=bits, radius=radius)
    assert sum(flips + 1 for flips in cut.flips) == radius + 1
    assert cut.width * len(cut.flips) <= bits
    assert min(cut.flips) >= 0


@pytest.mark.parametrize(("bits", "radius"), [(256, 31), (256, 52), (256, 0), (64, 8)])
def test_ten_million_references_are_cut_so_that_few_are_compared(bits, radius):
    cut = best_cut(bits, radius, 256, 10**7)
    assert cut.seconds(256, 10**7) - cut.seconds(0, 10**7) < 0.5 * 256 * 10**7 * 3e-9


def test_both_ways_are_taken():
    rng = np.random.default_rng(0)
    many, few = words(rng, 4000, 4, 200), words(rng, 3, 4, 20)
    for asked in (few, many[:1500]):
        found = within(codes(asked), codes(many), 31)
        assert pairs(found) == pairs(scan(asked, many, 31))
    cut = best_cut(256, 31, 10**6, 4000)
    assert cut.seconds(10**6, 4000) < 10**6 * 4000 * 3e-9


def codes(some):
    return Codes(some, np.ones(len(some), np.bool_))


def test_a_bucket_that_holds_everything_is_compared_in_parts(monkeypatch):
    """A list may hold one hash a million times."""
    monkeypatch.setattr("reports.matching.multi_index._COMPARED", 64)
    index = np.zeros((1000, 4), np.uint64)
    cut = Cut.into(16, bits=256, radius=31)
    rows, columns, apart = near(tables(index, cut), index, index[:2], 31)
    assert len(rows) == 2000
    assert not apart.any()
    assert columns.tolist() == [*range(1000), *range(1000)]


def test_a_negative_radius_finds_nothing():
    index = codes(np.zeros((2, 4), np.uint64))
    assert pairs(within(index, index, -1)) == []


@given(st.integers(0, 10**6))
def test_bits_apart_are_those_of_python_s_integers(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 2**64, (5, 4), dtype=np.uint64) for _ in range(2))
    expected = [
        (int.from_bytes(x.tobytes(), "big") ^ int.from_bytes(y.tobytes(), "big")).bit_count()
        for x, y in zip(a, b, strict=True)
    ]
    assert bits_apart(a, b).tolist() == expected


def units(rng, count, sides=8):
    rows = rng.normal(size=(count, sides)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 9), st.integers(0, 40), st.sampled_from([3, 1024]))
def test_alike_is_one_matrix_product(seed, queries, rows, block):
    rng = np.random.default_rng(seed)
    a, b = units(rng, queries), units(rng, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.matching.search._QUERIES", block)
        patch.setattr("reports.matching.search._ROWS", block)
        first, second, cosines = alike(a, b, 0.2)
    # A cosine that lies on the limit may fall to either side in a product of another shape.
    product = a @ b.T
    found = np.zeros(product.shape, np.bool_)
    found[first, second] = True
    assert ((product >= 0.2) == found)[np.abs(product - 0.2) > 1e-6].all()
    np.testing.assert_allclose(cosines, product[first, second], atol=1e-6)


def test_likest_are_the_nearest_in_order():
    rng = np.random.default_rng(1)
    a, b = units(rng, 6), units(rng, 30)
    at, cosines = likest(a, b, 4)
    np.testing.assert_allclose(cosines, -np.sort(-(a @ b.T), axis=1)[:, :4], atol=1e-6)
    np.testing.assert_allclose((a @ b.T)[np.arange(6)[:, None], at], cosines, atol=1e-6)
