"""Canaries: found by every search that is alive, missed by every one that is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes_pictures import scene
from test_matching import LIMITS, ONNX, TORCH, world

from reports.matching import measures, search
from reports.matching.canaries import CanaryCheck, canary, distorted, draw_canaries
from reports.matching.columns import KINDS
from reports.matching.hashes import Hasher, PictureHashes, open_hasher
from reports.matching.measures import Limits, matches, measured, near_pairs

HASHER = open_hasher()
CANARIES = draw_canaries(3, HASHER)
USUAL = Limits(phash=8, phash256=50, pdq=52, similarity={ONNX: 0.5, TORCH: 0.5})
needs_pdq = pytest.mark.skipif(not HASHER.has_pdq, reason="pdqhash is not installed")


@pytest.fixture(scope="module")
def compared():
    return world(11, extractions=9, references=12)


def searches(index):
    """By each kind of hash, and by each descriptor of each side."""
    return len(KINDS) + len(index.vectors) + len(index.mirrored)


@needs_pdq
@pytest.mark.parametrize(
    "limits", [USUAL, LIMITS, Limits(phash=0, phash256=0, pdq=0, similarity={ONNX: 0.9, TORCH: 0.9})]
)
def test_a_living_matcher_finds_every_canary(compared, limits):
    check = near_pairs(*compared, limits, CANARIES).canaries
    assert check == CanaryCheck(planted=3 * searches(compared[1]), found=3 * searches(compared[1]))


def test_they_change_no_match(compared):
    with_them = near_pairs(*compared, LIMITS, CANARIES)
    assert list(measured(*compared, with_them)) == list(matches(*compared, LIMITS))


@needs_pdq
def test_a_search_that_returns_nothing_is_noticed(compared, monkeypatch):
    nothing = (np.zeros(0, np.int64),) * 3
    monkeypatch.setattr(measures, "within", lambda *_: nothing)
    monkeypatch.setattr(measures, "alike", lambda *_: nothing)
    check = near_pairs(*compared, USUAL, CANARIES).canaries
    assert (check.found, len(check.missed)) == (0, check.planted)
    assert {"pdq canary 0", "phash canary 2", "phash256 canary 1", f"{ONNX} canary 0"} <= set(check.missed)


@needs_pdq
def test_an_index_of_which_a_part_is_corrupt_is_noticed(compared, monkeypatch):
    """The tables that are searched, with places in them that are not those of the references."""
    whole = search.tables

    def corrupt(words, cut):
        for table in whole(words, cut):
            yield replace(table, order=np.zeros_like(table.order))

    monkeypatch.setattr(search, "tables", corrupt)
    monkeypatch.setattr(search, "_SCAN", 1.0)
    check = near_pairs(*compared, USUAL, CANARIES).canaries
    assert check.found < check.planted
    assert {name.split(" canary")[0] for name in check.missed} == set(KINDS)


@needs_pdq
def test_a_scan_that_drops_the_last_block_is_noticed(compared, monkeypatch):
    whole = search.scan
    monkeypatch.setattr(search, "scan", lambda queries, words, radius: whole(queries, words[:-3], radius))
    check = near_pairs(*compared, USUAL, CANARIES).canaries
    assert [name for name in check.missed if name.startswith("pdq")] == [f"pdq canary {n}" for n in range(3)]


@needs_pdq
def test_a_hasher_that_hashes_at_random_is_noticed(compared):
    rng = np.random.default_rng(0)

    class Random(Hasher):
        def __call__(self, image) -> PictureHashes:
            return replace(super().__call__(image), pdq=rng.bytes(32))

    import pdqhash

    check = near_pairs(*compared, USUAL, draw_canaries(3, Random(pdqhash.compute))).canaries
    assert check.missed == tuple(f"pdq canary {n}" for n in range(3))


def test_what_a_set_does_not_hold_is_not_asked_of_it(compared):
    probes, index = compared
    bare = replace(
        index, phash=index.phash.where(np.zeros(len(index.owner), np.bool_)), vectors={}, mirrored={}
    )
    check = near_pairs(probes, bare, USUAL, CANARIES).canaries
    assert check.missed == ()
    assert check.planted == 3 * (1 + HASHER.has_pdq)


def test_without_pdqhash_there_are_no_canaries_of_pdq(compared):
    check = near_pairs(*compared, USUAL, draw_canaries(2, Hasher(None))).canaries
    assert check.planted == check.found == 2 * (searches(compared[1]) - 1)


def test_a_run_without_extractions_has_canaries_too():
    probes, index = world(3, extractions=0, references=5)
    check = near_pairs(probes, index, USUAL, CANARIES).canaries
    assert check.planted == check.found > 0


def test_the_same_seed_draws_the_same_pictures_and_another_one_others():
    assert np.array_equal(np.asarray(canary(4)), np.asarray(canary(4)))
    assert not np.array_equal(np.asarray(canary(4)), np.asarray(canary(5)))
    assert distorted(canary(4)).size == (128, 128)


def test_a_canary_is_like_no_picture():
    """A limit that takes canaries for real pictures would be no limit."""
    from reports.matching.hashes import canonical

    codes = [HASHER(canonical(canary(seed))).phash256 for seed in range(4)]
    codes += [HASHER(canonical(scene(seed))).phash256 for seed in range(4)]
    apart = [
        (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()
        for at, a in enumerate(codes)
        for b in codes[:at]
    ]
    assert min(apart) > 60


def test_checks_are_added_up():
    found = CanaryCheck.together(
        [
            CanaryCheck.of(["a canary 0", "a canary 1"], np.array([1, 1])),
            CanaryCheck.of(["b canary 0"], np.array([0])),
            CanaryCheck(),
        ]
    )
    assert found == CanaryCheck(planted=3, found=2, missed=("a canary 0",))
