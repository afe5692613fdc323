"""Shares with their intervals: closed forms, properties, and how often the interval holds the truth."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from reports.rates.clusters import cluster_spread, correlation
from reports.rates.estimate import Design, Z, bounds, clustered, simple, weighted, wilson
from reports.rates.leakage import Proportion


def flags(*counts: tuple[int, int]) -> np.ndarray:
    """So many that leak of so many, stratum after stratum."""
    return np.concatenate([np.arange(of) < count for count, of in counts])


def design(*strata: tuple[int, float]) -> Design:
    """(members, population) of each stratum."""
    return Design(
        weights=np.concatenate([np.full(drawn, held / drawn) for drawn, held in strata]),
        strata=np.repeat(np.arange(len(strata)), [drawn for drawn, _ in strata]),
        population={number: held for number, (_, held) in enumerate(strata)},
    )


def everyone(leaks: np.ndarray) -> np.ndarray:
    return np.ones(len(leaks), bool)


counts = st.integers(2, 300).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@settings(deadline=None)
@given(counts)
def test_without_weights_and_owners_it_is_wilsons_interval_to_the_digit(pair):
    found = simple(flags(pair))
    assert (found.low, found.high) == pytest.approx(Proportion(count=pair[0], of=pair[1]).interval, abs=1e-12)


@settings(deadline=None)
@given(counts)
def test_equal_weights_in_one_endless_stratum_change_nothing(pair):
    leaks = flags(pair)
    plain = simple(leaks)
    endless = Design(
        weights=np.full(len(leaks), 7.0), strata=np.zeros(len(leaks), np.int64), population={0: inf}
    )
    found = weighted(leaks, everyone(leaks), endless)
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))
    assert found.effective_size == pytest.approx(len(leaks)) == found.kish_size


@settings(deadline=None)
@given(counts)
def test_owners_with_one_checkpoint_each_change_nothing(pair):
    leaks = flags(pair)
    found, plain = clustered(leaks, np.arange(len(leaks))), simple(leaks)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


@settings(deadline=None)
@given(counts, st.integers(1, 5))
def test_copies_of_a_checkpoint_under_one_owner_narrow_nothing(pair, copies):
    leaks = flags(pair)
    found = clustered(np.repeat(leaks, copies), np.repeat(np.arange(len(leaks)), copies))
    plain = simple(leaks)
    assert found.value == pytest.approx(plain.value)
    assert found.high - found.low >= (plain.high - plain.low) * (1 - 1e-9)
    assert found.clusters == len(leaks)


def test_the_stratified_variance_is_cochrans():
    # Cochran (1977), formula 5.57 with 3.8: sum of W² (1 - f) p (1 - p) / (n - 1).
    leaks, drawn = flags((3, 20), (12, 30)), design((20, 200), (30, 100))
    found = weighted(leaks, everyone(leaks), drawn)
    assert found.value == pytest.approx(200 / 300 * 3 / 20 + 100 / 300 * 12 / 30)
    variance = (200 / 300) ** 2 * (1 - 0.1) * 0.15 * 0.85 / 19 + (100 / 300) ** 2 * (1 - 0.3) * 0.4 * 0.6 / 29
    value = found.value
    slack = student.ppf(0.975, 49) / student.ppf(0.975, 48)
    assert found.effective_size == pytest.approx(50 * value * (1 - value) / 49 / variance * slack**2)
    assert found.kish_size == pytest.approx(300**2 / (20 * 10**2 + 30 * (100 / 30) ** 2))
    assert found.population == pytest.approx(300)


def test_a_population_that_was_scanned_whole_has_no_interval_left():
    leaks = flags((3, 20))
    found = weighted(leaks, everyone(leaks), design((20, 20)))
    assert (found.low, found.value, found.high) == (0.15, 0.15, 0.15)
    assert (found.method, found.effective_size) == ("whole population", inf)


def test_a_stratum_of_one_gives_no_false_certainty():
    leaks = flags((1, 1), (0, 30))
    found = weighted(leaks, everyone(leaks), design((1, 50), (30, 300)))
    assert found.value == pytest.approx(50 / 350)
    assert found.effective_size < 15
    assert found.low < 0.05 < 0.35 < found.high


def test_where_none_leaks_the_weights_alone_set_the_size():
    leaks = flags((0, 10), (0, 40))
    found = weighted(leaks, everyone(leaks), design((10, 1000), (40, 40)))
    assert (found.value, found.low) == (0, 0)
    assert found.effective_size == pytest.approx(found.kish_size)
    assert found.high == pytest.approx(float(wilson(0.0, found.kish_size, Z)))


@pytest.mark.parametrize("leaks", [0, 30])
def test_where_none_or_all_leak_each_owner_counts_once(leaks):
    found = clustered(flags((leaks, 30)), np.arange(30) // 10)
    assert found.effective_size == found.clusters == 3


@pytest.mark.parametrize("size", [7.3, 14.77, 17, 1e9])
def test_no_interval_begins_above_none_or_ends_below_all(size):
    assert wilson(0.0, size, -Z) == 0
    assert wilson(1.0, size, Z) == 1


def test_where_none_leaks_one_large_owner_leaves_little_to_go_by():
    # 90 of 100 belong to one: were they one picture of one script, the other ten would be a tenth of it all.
    found = clustered(flags((0, 100)), np.repeat(np.arange(11), [90, *[1] * 10]))
    assert found.effective_size == pytest.approx(100**2 / (90**2 + 10))
    assert found.high > 0.7


def test_one_owner_is_one_observation():
    found = clustered(flags((5, 10)), np.zeros(10, np.int64))
    assert (found.effective_size, found.clusters) == (1, 1)


def test_nothing_has_no_estimate():
    nothing = np.zeros(0, bool)
    assert simple(nothing) is None
    assert clustered(nothing, np.zeros(0, np.int64)) is None
    assert weighted(flags((1, 4)), np.zeros(4, bool), design((4, 40))) is None


def test_a_group_within_a_sample_keeps_the_chance_of_its_size():
    leaks, drawn = flags((10, 40)), design((40, 4000))
    half = np.arange(40) % 2 == 0
    found = weighted(leaks, half, drawn)
    assert found.value == pytest.approx(leaks[half].mean())
    assert found.effective_size == pytest.approx(20 / (1 - 40 / 4000))


@settings(deadline=None)
@given(counts, st.floats(0.5, 400))
def test_the_bounds_rise_with_the_quantile_and_stay_in_0_to_1(pair, size):
    z = np.linspace(-4, 4, 33)
    found = wilson(pair[0] / pair[1], size, z)
    assert (np.diff(found) >= -1e-12).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_manskis_bounds_hold_whatever_the_missing_do():
    low, high = bounds(31, 212, 96)
    assert (low, high) == (31 / 308, 127 / 308)
    assert all(low <= (31 + leak) / 308 <= high for leak in range(97))
    assert bounds(0, 0, 0) is None


SIMULATIONS = 2000


@pytest.mark.parametrize(("share", "size"), [(0.15, 212), (0.03, 400), (0.5, 60)])
def test_the_interval_of_independent_checkpoints_holds_the_truth_19_times_in_20(share, size):
    draws = np.random.default_rng(7).binomial(size, share, SIMULATIONS)
    held = [simple(flags((int(one), size))) for one in draws]
    assert 0.93 <= np.mean([one.low <= share <= one.high for one in held]) <= 0.97


def test_the_interval_of_a_stratified_sample_holds_the_population_19_times_in_20():
    rng, populations, drawn = np.random.default_rng(8), (3000, 900, 200), (80, 60, 40)
    hits = [rng.random(size) < share for size, share in zip(populations, (0.08, 0.25, 0.6), strict=True)]
    truth = sum(map(np.sum, hits)) / sum(populations)
    held = []
    for _ in range(SIMULATIONS):
        picked = [rng.choice(stratum, n, replace=False) for stratum, n in zip(hits, drawn, strict=True)]
        leaks = np.concatenate(picked)
        one = weighted(leaks, everyone(leaks), design(*zip(drawn, populations, strict=True)))
        held.append(one.low <= truth <= one.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_the_interval_of_owners_holds_the_truth_where_wilsons_alone_does_not():
    rng, share, owners = np.random.default_rng(9), 0.2, np.repeat(np.arange(60), 8)
    held, naive = [], []
    for _ in range(SIMULATIONS):
        inclined = rng.beta(share * 3, (1 - share) * 3, 60)  # correlation within an owner: 1 / (3 + 1)
        leaks = rng.random(len(owners)) < inclined[owners]
        one, plain = clustered(leaks, owners), simple(leaks)
        held.append(one.low <= share <= one.high)
        naive.append(plain.low <= share <= plain.high)
    assert 0.93 <= np.mean(held) <= 0.97
    assert np.mean(naive) < 0.85


@pytest.mark.parametrize("sizes", [[50, 10, 3, 3, 1, 1, 1], [4] * 6])
def test_the_freedom_of_owners_is_satterthwaites(sizes):
    sizes, leaking = np.array(sizes, float), np.array(sizes, float) // 2
    weights, alike = sizes / sizes.sum(), correlation(leaking, sizes)
    # Written out with matrices: scaled differences of the owners' shares from the weighted share.
    apart = np.diag(weights / np.sqrt(1 - weights)) @ (np.eye(len(sizes)) - weights)
    spread = apart @ np.diag(alike + (1 - alike) / sizes) @ apart.T
    found = cluster_spread(leaking, sizes)
    assert found.freedom == pytest.approx(max(1, np.trace(spread) ** 2 / np.trace(spread @ spread)))
    assert found.variance == pytest.approx(((apart @ (leaking / sizes)) ** 2).sum())


def test_the_interval_holds_the_truth_where_few_owners_have_most_of_the_checkpoints():
    # The linearised variance with owners less one as its freedom holds it in 60 to 85 % of these.
    rng, share = np.random.default_rng(12), 0.1
    for sizes in ([50, 10, 10, *[1] * 57], np.maximum(1, 200 / np.arange(1, 101) ** 1.2).astype(int)):
        owners = np.repeat(np.arange(len(sizes)), sizes)
        for inclined in (share * 7 / 3, share / 4):  # correlations of 0.3 and 0.8
            draws = rng.beta(inclined, inclined * (1 - share) / share, (800, len(sizes)))
            leaks = rng.random((800, len(owners))) < draws[:, owners]
            held = [clustered(one, owners) for one in leaks]
            assert np.mean([one.low <= share <= one.high for one in held]) >= 0.94


def test_the_design_effect_of_equal_clusters_is_kishs():
    rng, owners = np.random.default_rng(10), np.repeat(np.arange(400), 5)
    leaks = rng.random(2000) < rng.beta(1, 3, 400)[owners]  # correlation 1 / (1 + 3 + 1)
    found = clustered(leaks, owners)
    assert 2000 / found.effective_size == pytest.approx(1 + (5 - 1) * 0.2, rel=0.15)
