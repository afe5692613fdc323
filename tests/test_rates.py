from __future__ import annotations

import pytest
from fakes_reports import a_checkpoint, a_finding, a_job, a_matching, a_report, a_set, a_skip
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.checkpoint import Kind
from reports.finding import FindingState, ReportError, Severity
from reports.rates.leakage import Proportion, false_positives, leakage, total_leakage
from scanner.job import State


def test_the_interval_is_wilsons():
    # Newcombe (1998), table I: 81 of 263 and 0 of 20, Wilson score without continuity correction.
    assert Proportion(count=81, of=263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Proportion(count=0, of=20).interval == pytest.approx((0.0, 0.1611), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_value_and_lies_in_0_to_1(pair):
    rate = Proportion(count=pair[0], of=pair[1])
    low, high = rate.interval
    assert 0 <= low <= rate.value + 1e-12
    assert rate.value - 1e-12 <= high <= 1


def test_nothing_tried_has_no_rate():
    assert Proportion(count=0, of=0).value is None
    assert Proportion(count=0, of=0).interval is None


@pytest.mark.parametrize(("count", "of"), [(-1, 3), (4, 3)])
def test_a_count_outside_its_total_is_an_error(count, of):
    with pytest.raises(ReportError, match="no proportion"):
        Proportion(count=count, of=of)


def test_false_positives_are_a_proportion():
    decoys = a_set("decoys", decoy=True, pairs=200, matches={"low": 9, "high": 1, "critical": 1})
    matching = a_matching(a_set("watchlist", pairs=500), decoys)
    measured = false_positives(matching, Severity.HIGH)
    assert (measured.rate, measured.pairs) == (Proportion(count=2, of=200), 500)
    assert measured.by_chance == pytest.approx(500 * measured.rate.interval[1])
    assert false_positives(a_matching(a_set("watchlist")), Severity.HIGH) is None


def a_run():
    """Two LoRAs (one leaks twice), two full ones (one skipped), a skip of unknown family, a failure."""
    leaky, quiet = a_checkpoint("a/leaky"), a_checkpoint("a/quiet")
    full, left_out = a_checkpoint("a/full", kind=Kind.FULL), a_checkpoint("a/left-out", kind=Kind.FULL)
    failed = a_checkpoint("a/failed")
    ledger = [
        a_job(leaky),
        a_job(quiet),
        a_job(full),
        a_job(left_out, State.SKIPPED),
        a_job(failed, State.FAILED),
    ]
    findings = [
        a_finding(leaky, "1.jpg", Severity.CRITICAL),
        a_finding(leaky, "2.jpg", Severity.HIGH),
        a_finding(quiet, "1.jpg", Severity.LOW),
        a_finding(quiet, "2.jpg", Severity.HIGH, state=FindingState.GONE),
        a_finding(full, "1.jpg", Severity.HIGH, explained_by_base=True),
    ]
    return a_report(
        [leaky, quiet, full, left_out, failed], skips=[a_skip("a/gated")], ledger=ledger, findings=findings
    )


def test_leakage_by_family_and_kind_has_honest_denominators():
    groups = {(g.family, g.kind): g for g in a_run().by_group}
    assert list(groups) == [("sd1", "full"), ("sd1", "lora"), ("unknown", "unknown")]
    full, lora, unknown = groups.values()
    assert (full.leaked, full.skipped, full.unfinished) == (Proportion(count=0, of=1), 1, 0)
    assert (lora.leaked, lora.skipped, lora.unfinished) == (Proportion(count=1, of=2), 0, 1)
    assert (unknown.leaked, unknown.skipped, unknown.unfinished) == (Proportion(count=0, of=0), 1, 0)


@pytest.mark.parametrize(("at", "leaked"), [(Severity.LOW, 2), (Severity.HIGH, 1), (Severity.CRITICAL, 1)])
def test_the_severity_decides_what_leaks(at, leaked):
    report = a_run()
    assert total_leakage(report.checkpoints, report.findings, at).leaked == Proportion(count=leaked, of=3)


def test_the_groups_add_up_to_the_total():
    report = a_run()
    groups = leakage(report.checkpoints, report.findings, Severity.HIGH)
    assert sum(group.leaked.count for group in groups) == report.total.leaked.count
    assert (
        sum(group.leaked.of + group.skipped + group.unfinished for group in groups)
        == report.coverage.total
        == 6
    )


def test_coverage_counts_every_row_once():
    covered = a_run().coverage
    assert (covered.scanned, covered.left_out, covered.failed, covered.pending, covered.unplanned) == (
        3,
        2,
        1,
        0,
        0,
    )
    assert not covered.complete
    assert covered.skipped == {"": 1, "pickle_only": 1}
