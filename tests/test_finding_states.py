"""States of findings from run to run, with what people do in between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_finding import judged

from reports.finding import FindingState, Severity
from reports.findings.ladder import counts
from reports.findings.restating import restate
from reports.findings.states import Judged, against, findings
from reports.findings.suppressions import Suppression

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
NEW, KNOWN, CHANGED = FindingState.NEW, FindingState.KNOWN, FindingState.CHANGED
GONE, SUPPRESSED, WITHDRAWN = FindingState.GONE, FindingState.SUPPRESSED, FindingState.WITHDRAWN
REFS = "abc"


@dataclass(frozen=True)
class Withdrawal:
    """As `reports.references.withdrawals` gives them."""

    at: datetime
    who: str = "ben"
    why: str = "sent by mistake"


def found(ref="a", severity=Severity.HIGH, places=("c1",), rule="rule", aside_by="", explained=False):
    """Today's finding of a reference, seen at these places, which published the same weights."""
    group = []
    for place in places:
        one = judged(f"e-{place}", place, ref, severity, explained)
        verdict = replace(one.verdict, rule=rule, aside_by=aside_by, aside_why="why" if aside_by else "")
        group.append(Judged(one.match, verdict))
    (only,) = findings(group, dict.fromkeys(places, "ab" * 32))
    return only


def suppression(of, until=None, why="licensed"):
    return {of.id: Suppression(finding_id=of.id, who="ann", why=why, at=NOW.isoformat(), until=until)}


def withdrawal(of):
    return {(of.match.set_name, of.match.ref_id): Withdrawal(NOW)}


def only(listed):
    (one,) = listed
    return one


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({}, {"severity": Severity.CRITICAL}, "severity critical, was high"),
        ({"places": ("c1", "c2")}, {"places": ("c1", "c3", "c4")}, "2 places more; 1 place fewer"),
        ({"severity": Severity.LOW}, {"places": ("c1", "c2")}, "severity high, was low; 1 place more"),
        ({"explained": True}, {}, "not explained any more"),
        ({}, {"explained": True}, "explained now"),
        (
            {"rule": "disputed, so at most high: pdq<=20"},
            {"rule": "pdq<=30"},
            "held down by nothing, was disputed",
        ),
    ],
)
def test_what_differs_from_the_run_before_makes_a_finding_changed_and_is_said(then, now, said):
    first = against([found(**then)], [], 1, NOW)
    second = only(against([found(**now)], first, 2, NOW))
    assert (second.state, second.changed) == (CHANGED, said)
    assert counts(second) is not second.explained_by_base
    third = only(against([found(**now)], [second], 3, NOW))
    assert (third.state, third.changed) == (KNOWN, "")


def test_distances_and_the_rule_within_a_severity_move_without_a_word():
    first = against([found(rule="pdq<=30")], [], 1, NOW)
    moved = found(rule="sscd>=0.75")
    moved = replace(moved, match=replace(moved.match, pdq_distance=2), occurrences=9)
    assert only(against([moved], first, 2, NOW)).state is KNOWN


def test_a_suppressed_finding_does_not_count_and_says_who_why_and_until():
    one = found()
    first = against([one], [], 1, NOW)
    acts = suppression(one, date(2026, 11, 30))
    shown = only(restate(first, acts, {}, NOW))
    assert (shown.state, shown.settled_by, shown.settled_why) == (SUPPRESSED, "ann", "licensed")
    assert (shown.settled_at, shown.settled_until) == (NOW.isoformat(), "2026-11-30")
    assert not counts(shown)
    assert only(against([one], first, 2, NOW, suppressions=acts)).state is SUPPRESSED


def test_a_suppression_ends_by_itself_and_the_finding_says_so_once():
    one = found()
    acts = suppression(one, date(2026, 11, 24))
    first = against([one], [], 1, NOW)
    second = against([one], first, 2, NOW, suppressions=acts)
    assert only(second).state is SUPPRESSED
    last_minute = NOW.replace(hour=23, minute=59)
    assert only(restate(second, acts, {}, last_minute)).state is SUPPRESSED
    tomorrow = NOW + timedelta(days=1)
    in_the_report = only(restate(second, acts, {}, tomorrow))
    third = only(against([one], second, 3, tomorrow, suppressions=acts))
    for back in (in_the_report, third):
        assert (back.state, back.changed, back.settled_by) == (CHANGED, "suppression ended", "")
        assert counts(back)
    assert only(against([one], [third], 4, tomorrow, suppressions=acts)).state is KNOWN


def test_a_finding_of_a_withdrawn_reference_is_restated_and_kept():
    one = found()
    first = against([one], [], 1, NOW)
    shown = only(restate(first, {}, withdrawal(one), NOW))
    # The reference is not matched any more, so that the next run does not find it.
    second = only(against([], first, 2, NOW, withdrawals=withdrawal(one)))
    for stated in (shown, second):
        assert (stated.state, stated.settled_by, stated.settled_why) == (WITHDRAWN, "ben", "sent by mistake")
        assert stated.settled_at == NOW.isoformat()
        assert not counts(stated)
    assert second.last_run == 1
    assert only(restate([second], {}, {}, NOW, run=2)).state is GONE
    restored = only(against([one], [second], 3, NOW))
    assert (restored.state, restored.changed, restored.first_run) == (CHANGED, "reference restored", 1)
    assert only(against([one], [restored], 4, NOW)).state is KNOWN


def test_what_was_gone_before_its_reference_was_withdrawn_is_withdrawn_too():
    one = found()
    second = against([], against([one], [], 1, NOW), 2, NOW)
    assert only(second).state is GONE
    assert only(against([], second, 3, NOW, withdrawals=withdrawal(one))).state is WITHDRAWN


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("by_set", [True, False])
@pytest.mark.parametrize("suppressed", [True, False])
@pytest.mark.parametrize("withdrawn", [True, False])
def test_the_order_in_which_states_win(seen, by_set, suppressed, withdrawn):
    one = found()
    first = against([one], [], 1, NOW)
    today = [found(aside_by="set harmless" if by_set else "")] if seen else []
    stated = only(
        against(
            today,
            first,
            2,
            NOW,
            suppressions=suppression(one) if suppressed else {},
            withdrawals=withdrawal(one) if withdrawn else {},
        )
    )
    expected = (
        (WITHDRAWN, "ben")
        if withdrawn
        else (SUPPRESSED, "set harmless")
        if seen and by_set
        else (SUPPRESSED, "ann")
        if suppressed
        else (KNOWN, "")
        if seen
        else (GONE, "")
    )
    assert (stated.state, stated.settled_by) == expected


def test_a_finding_that_a_set_aside_holds_back_comes_back_when_the_set_goes():
    first = against([found(aside_by="set harmless")], [], 1, NOW)
    later = NOW + timedelta(days=1)
    second = against([found(aside_by="set harmless")], first, 2, later)
    assert only(second).settled_at == NOW.isoformat()
    assert only(restate(second, {}, {}, later)) == only(second)
    third = only(against([found()], second, 3, later))
    assert (third.state, third.changed) == (CHANGED, "suppression ended")


def test_a_new_finding_that_is_suppressed_and_freed_before_the_next_run_is_new_still():
    one = found()
    acts = suppression(one)
    first = against([one], [], 1, NOW, suppressions=acts)
    assert only(first).state is SUPPRESSED
    assert only(restate(first, {}, {}, NOW, run=1)).state is NEW
    assert only(against([one], first, 1, NOW)).state is NEW


def test_dates_are_those_of_the_first_attempt_at_a_run():
    first = against([found()], [], 1, NOW)
    assert against([found()], first, 1, NOW + timedelta(hours=3)) == first


FINDING = st.builds(
    found,
    ref=st.sampled_from(REFS),
    severity=st.sampled_from(Severity),
    places=st.sets(st.sampled_from(["c1", "c2", "c3"]), min_size=1).map(sorted).map(tuple),
    rule=st.sampled_from(["rule", "seed, so at most high: rule"]),
    aside_by=st.sampled_from(["", "", "set harmless", "flood cap"]),
    explained=st.booleans(),
)
UNTIL = st.sampled_from([None, date(2026, 11, 24), date(2026, 11, 26)])
ACTS = st.fixed_dictionaries({}, optional=dict.fromkeys(REFS, UNTIL)).map(
    lambda chosen: {k: v for ref, until in chosen.items() for k, v in suppression(found(ref), until).items()}
)
WITHDRAWALS = st.sets(st.sampled_from(REFS)).map(
    lambda refs: {k: v for ref in refs for k, v in withdrawal(found(ref)).items()}
)
RUN = st.tuples(st.lists(FINDING, unique_by=lambda one: one.id), ACTS, WITHDRAWALS)


@settings(max_examples=60, deadline=None)
@given(st.lists(RUN, max_size=5), st.lists(FINDING, unique_by=lambda one: one.id))
def test_a_run_done_again_changes_nothing_whatever_came_before(runs, cut_off):
    stored = []
    for number, (today, suppressions, withdrawals) in enumerate(runs, start=1):
        now = NOW + timedelta(days=number)
        acts = {"suppressions": suppressions, "withdrawals": withdrawals}
        once = against(today, stored, number, now, **acts)
        assert against(today, once, number, now + timedelta(hours=1), **acts) == once
        # What was read with the acts, and what is restated by them, are one.
        assert restate(once, suppressions, withdrawals, now, run=number) == once
        plain = against(today, stored, number, now)
        assert restate(plain, suppressions, withdrawals, now, run=number) == once
        # An attempt that was cut off, and saw something else, leaves no finding that never was.
        ids = {one.id for one in once}
        attempt = against(cut_off, stored, number, now)
        assert {one.id for one in against(today, attempt, number, now, **acts)} == ids
        for one in once:
            assert one.first_run <= one.last_run <= number
            assert (one.state is CHANGED) == bool(one.changed)
            assert (one.state in (SUPPRESSED, WITHDRAWN)) == bool(one.settled_by)
            assert not (counts(one) and one.state in (GONE, SUPPRESSED, WITHDRAWN))
        stored = once


@settings(max_examples=60, deadline=None)
@given(RUN, RUN)
def test_lifting_what_was_put_gives_the_findings_back(one, other):
    """Only the words of what had changed are lost: that they were set aside is what changed."""
    first = against(one[0], [], 1, NOW)
    plain = against(other[0], first, 2, NOW)
    acts = {"suppressions": other[1], "withdrawals": other[2]}
    back = restate(against(other[0], first, 2, NOW, **acts), {}, {}, NOW, run=2)
    for freed, never in zip(back, plain, strict=True):
        assert freed.id == never.id
        if never.state is SUPPRESSED:
            continue
        assert counts(freed) == counts(never)
        assert (freed.state is NEW) == (never.state is NEW)
