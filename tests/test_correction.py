"""From what was found to what leaks: Rogan and Gladen, against closed forms and by simulation."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from fakes_reports import a_matching, a_set
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.finding import Match, ReportError, Severity
from reports.rates.accuracy import (
    FalseFindings,
    Sensitivity,
    decoy_hits,
    false_findings,
    read_sensitivity,
)
from reports.rates.correction import corrected, rogan_gladen
from reports.rates.estimate import Estimate, Z, simple, wilson
from reports.settings import ReportsSettings


def found(count: int, of: int) -> Estimate:
    estimate = simple(np.arange(of) < count)
    assert estimate is not None
    return estimate


def wrong(hit: int, of: int, times: float = 1) -> FalseFindings:
    return FalseFindings(hit=hit, of=of, decoys=1000, references=round(1000 * times))


def recall(count: int, of: int) -> Sensitivity:
    return read_sensitivity(f"{count}/{of}")


def lang_reiczigel(x: int, n: int, a: int, n_se: int, b: int, n_sp: int) -> tuple[float, float]:
    """Lang and Reiczigel, Preventive Veterinary Medicine 113 (2014) 13-22: found, sensitive, specific."""
    square = Z * Z
    size, size_se, size_sp = n + square, n_se + 2, n_sp + 2
    p, se, sp = (x + square / 2) / size, (a + 1) / size_se, (b + 1) / size_sp
    prevalence = (p + sp - 1) / (se + sp - 1)
    of_se, of_sp = se * (1 - se) / size_se, sp * (1 - sp) / size_sp
    shift = 2 * square * (prevalence * of_se - (1 - prevalence) * of_sp)
    variance = p * (1 - p) / size + prevalence**2 * of_se + (1 - prevalence) ** 2 * of_sp
    half = Z * sqrt(variance) / (se + sp - 1)
    return max(0.0, prevalence + shift - half), min(1.0, prevalence + shift + half)


def test_rogan_and_gladens_formula():
    # A herd test: 23 of 150 cows positive, sensitivity 96 %, specificity 89 %: 5.1 %.
    assert rogan_gladen(23 / 150, 0.96, 0.11) == pytest.approx(0.0510, abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_a_perfect_search_changes_nothing(pair):
    estimate = found(*pair)
    perfect = FalseFindings(hit=0, of=10**12, decoys=1, references=1)
    one = corrected(estimate, perfect, None)
    assert one.value == estimate.value
    assert (one.low, one.high) == pytest.approx((estimate.low, estimate.high), abs=2e-4)


@pytest.mark.parametrize(
    ("x", "n", "a", "n_se", "b", "n_sp"),
    [(60, 300, 80, 100, 196, 200), (31, 212, 60, 100, 210, 212), (150, 400, 70, 90, 290, 300)],
)
def test_the_interval_is_near_the_closed_form_of_lang_and_reiczigel(x, n, a, n_se, b, n_sp):
    one = corrected(found(x, n), wrong(n_sp - b, n_sp), recall(a, n_se))
    assert (one.low, one.high) == pytest.approx(lang_reiczigel(x, n, a, n_se, b, n_sp), abs=0.02)


def test_a_leak_that_is_missed_may_still_meet_a_stranger():
    # 1,000 checkpoints, 300 leak, 20 % of these are found, and 10 % of the others meet a stranger: of those
    # that leak 60 + 24 have a finding, of those that do not 70. Taking 20 % for their share would give 54 %.
    one = corrected(found(154, 1000), wrong(100, 1000), Sensitivity(value=0.2))
    assert one.value == pytest.approx(0.3)
    assert rogan_gladen(0.154, 0.2, 0.1) == pytest.approx(0.54)


def test_known_exactly_the_inputs_carry_wilsons_bounds_through_the_formula():
    # Reiczigel, Földi and Ózsvári (2010): exact inputs only stretch the interval.
    estimate = found(40, 200)
    exact = FalseFindings(hit=10**10, of=10**12, decoys=1, references=1)
    one = corrected(estimate, exact, Sensitivity(value=0.5))
    expected = [rogan_gladen(end, 0.5 + 0.5 * 0.01, 0.01) for end in (estimate.low, estimate.high)]
    assert (one.low, one.high) == pytest.approx(expected, abs=5e-4)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 100), st.integers(0, 40), st.integers(1, 60))
def test_the_share_lies_in_0_to_1_and_in_its_interval(count, hit, sensitive):
    one = corrected(found(count, 100), wrong(hit, 100), recall(sensitive, 60), draws=2001)
    if isinstance(one, str):
        assert (
            not 0 <= rogan_gladen(count / 100, sensitive / 60 * (1 - hit / 100) + hit / 100, hit / 100) <= 1
        )
        return
    assert 0 <= one.low <= one.value + 0.02
    assert one.value - 0.02 <= one.high <= 1
    assert one.clipped == (not 0 <= one.raw <= 1)


def test_what_falls_below_0_or_above_1_is_clipped_and_says_so():
    low = corrected(found(1, 200), wrong(4, 200), None)
    assert (low.value, low.low, low.clipped) == (0, 0, True)
    assert low.raw < 0 < low.high
    high = corrected(found(23, 100), wrong(0, 200), recall(4, 20))
    assert (high.value, high.high, high.clipped) == (1, 1, True)
    assert high.raw == pytest.approx(1.15)
    assert not corrected(found(10, 100), wrong(0, 200), None).clipped


def test_decoys_that_chance_cannot_make_worse_than_all_references_are_not_of_their_sort():
    reason = corrected(found(1, 200), wrong(20, 200), None)
    assert reason == (
        "decoys gave a finding to 10.0% of the checkpoints, more than the 0.5% that got one from all "
        "references, and chance does not explain it: the decoys are not of the references' sort"
    )


def test_a_sensitivity_that_leaves_no_room_for_what_was_found_is_not_of_these_checkpoints():
    reason = corrected(found(50, 100), wrong(0, 200), Sensitivity(value=0.2))
    assert reason == (
        "50.0% have a finding, more than a method gives that finds 20.0% of what leaks, if all leaked: the "
        "sensitivity is not that of these checkpoints and sets"
    )


def test_a_search_that_tells_nothing_is_not_corrected():
    always = FalseFindings(hit=100, of=100, decoys=1, references=1)
    reason = corrected(found(50, 100), always, Sensitivity(value=0.3))
    assert reason == "every clean checkpoint gets a finding from the match, so findings tell nothing"


def test_a_match_that_is_nearly_as_often_wrong_as_right_says_little_and_not_nothing():
    one = corrected(found(50, 100), wrong(40, 100), Sensitivity(value=0.3))
    assert one.value == pytest.approx(0.1 / (0.3 * 0.6))
    assert (one.low, one.high) == (0, 1)


def test_the_same_seed_gives_the_same_interval():
    arguments = (found(31, 212), wrong(2, 212), recall(21, 105))
    assert corrected(*arguments) == corrected(*arguments)


@pytest.mark.parametrize(
    ("leaks", "sensitive", "false", "of", "positives", "times"),
    [
        (0.30, 0.20, 0.010, 500, 105, 1),
        (0.50, 0.60, 0.020, 200, 100, 2),
        (0.10, 0.80, 0.000, 300, None, 1),
        (0.30, 0.20, 0.100, 500, 105, 1),
    ],
)
def test_the_interval_holds_the_truth_19_times_in_20(leaks, sensitive, false, of, positives, times):
    rng, simulations = np.random.default_rng(11), 1000
    chance = 1 - (1 - false) ** times
    counts = rng.binomial(of, leaks * sensitive + (1 - leaks * sensitive) * chance, simulations)
    hits = rng.binomial(of, false, simulations)
    recalls = np.maximum(1, rng.binomial(positives, sensitive, simulations)) if positives else None
    held = 0
    for number in range(simulations):
        given = recall(int(recalls[number]), positives) if positives else Sensitivity(value=sensitive)
        one = corrected(found(counts[number], of), wrong(int(hits[number]), of, times), given, draws=301)
        held += one.low <= leaks <= one.high
    assert 0.93 <= held / simulations <= 0.97


def test_as_many_decoys_as_references_need_no_scaling():
    assert wrong(3, 200).value == pytest.approx(3 / 200)
    assert wrong(3, 200).interval == pytest.approx(
        (float(wilson(0.015, 200, -Z)), float(wilson(0.015, 200, Z)))
    )


def test_twice_the_references_give_twice_the_chances():
    # 1 - (1 - q)^2: clean in both halves.
    assert wrong(20, 200, 2).value == pytest.approx(1 - 0.9**2)
    assert wrong(20, 200, 0.5).value == pytest.approx(1 - sqrt(0.9))
    assert wrong(0, 200, 50).interval[0] == 0


def test_the_scaling_is_that_of_independent_pairs():
    # With a rate by pair f and m pairs a checkpoint, decoys give 1 - (1 - f)^m and references the power.
    rate, pairs = 1e-4, 800
    hit = 1 - (1 - rate) ** pairs
    measured = FalseFindings(hit=round(hit * 10**9), of=10**9, decoys=pairs, references=3 * pairs)
    assert measured.value == pytest.approx(1 - (1 - rate) ** (3 * pairs), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("0.2", 0.2, None, None),
        ("1", 1.0, None, None),
        ("0.2:0.15-0.26", 0.2, 0.15, 0.26),
        (".5", 0.5, None, None),
    ],
)
def test_a_sensitivity_is_read(text, value, low, high):
    one = read_sensitivity(text, "docs/quality.md")
    assert (one.value, one.low, one.high, one.source) == (value, low, high, "docs/quality.md")


def test_a_sensitivity_in_counts_has_wilsons_interval():
    one = read_sensitivity("21/105")
    assert (one.value, one.source) == (0.2, "21 of 105")
    assert (one.low, one.high) == pytest.approx((0.1347, 0.2865), abs=5e-5)


@pytest.mark.parametrize(
    "text", ["", "20 %", "0", "1.2", "-0.2", "0.2:0.3-0.4", "0/5", "6/5", "nan", "0.2:0.15"]
)
def test_what_is_no_sensitivity_is_refused(text):
    with pytest.raises(ReportError, match="sensitivity"):
        read_sensitivity(text)


def test_the_quantiles_of_a_sensitivity_are_its_interval():
    one = Sensitivity(value=0.2, low=0.15, high=0.26)
    assert one.at(np.array([-Z, 0, Z])) == pytest.approx([0.15, 0.2, 0.26])
    assert Sensitivity(value=0.2).at(np.array([-Z, 0, Z])) == pytest.approx([0.2] * 3)


def test_without_decoys_there_is_no_correction_and_the_reason_says_what_to_do():
    assert false_findings(None, 0, 10) == "nothing was matched"
    assert "reports.decoys" in false_findings(a_matching(a_set("watchlist")), 0, 10)
    decoys = a_set("decoys", decoy=True, pairs=500)
    assert false_findings(a_matching(decoys), None, 10) == "the matches with decoys were not read"
    assert false_findings(a_matching(decoys), 0, 0) == "nothing was scanned"
    measured = false_findings(a_matching(a_set("watchlist", pairs=1500), decoys), 2, 10)
    assert measured == FalseFindings(hit=2, of=10, decoys=500, references=1500)
    assert (
        measured.source == "2 of 10 scanned checkpoints matched a decoy; 3 times as many references as decoys"
    )


def a_match(checkpoint: str, similarity: float, control: float | None = None) -> Match:
    return Match(
        extraction_id="e",
        checkpoint_id=checkpoint,
        set_name="decoys",
        ref_id="1",
        similarity=similarity,
        descriptor="sscd_disc_mixup@onnx-int8",
        pdq_distance=None,
        phash_distance=None,
        control_similarity=control,
        mirrored=False,
    )


def test_decoys_are_judged_as_references_are():
    matches = [a_match("a", 0.8), a_match("b", 0.55), a_match("c", 0.8, control=0.8), a_match("a", 0.9)]
    assert decoy_hits(matches, ReportsSettings(), Severity.HIGH) == {"a"}
    assert decoy_hits(matches, ReportsSettings(), Severity.LOW) == {"a", "b"}
