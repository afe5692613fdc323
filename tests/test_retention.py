"""Retention: whose pictures go, and what is old enough to go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_holds import finding

from reports.custody.retention import outdated, outlived, to_drop
from reports.finding import FindingState

NOW = datetime(2026, 11, 29, tzinfo=UTC)
names = st.frozensets(st.sampled_from("abcdef"))


@pytest.mark.parametrize(
    ("keep", "gone"),
    [("matched", ["b", "c"]), ("never", ["a", "b", "c"]), ("all", [])],
)
def test_what_goes(keep, gone):
    assert to_drop({"a", "b", "c", "d"}, hashed={"a", "b", "c", "x"}, matched={"a", "x"}, keep=keep) == gone


@given(names, names, names, names)
def test_what_stays_was_matched_held_or_never_hashed(held, hashed, matched, exempt):
    kept = held - set(to_drop(held, hashed=hashed, matched=matched, exempt=exempt, keep="matched"))
    assert kept == held & (matched | exempt | (held - hashed))


def test_a_legal_hold_wins_over_never():
    assert to_drop({"a", "b"}, hashed={"a", "b"}, matched=(), exempt={"a"}, keep="never") == ["b"]


def days_ago(days: int) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def test_what_is_older_than_the_rule_is_outdated_and_a_hold_exempts():
    made = [("a", days_ago(10)), ("b", days_ago(11)), ("c", days_ago(12)), ("d", days_ago(1))]
    assert outdated(made, 10, NOW) == ["b", "c"]
    assert outdated(made, 10, NOW, exempt={"c"}) == ["b"]
    assert outdated(made, None, NOW) == []


@pytest.mark.parametrize("state", list(FindingState))
def test_only_settled_findings_are_outlived(state):
    one = replace(finding("x-000"), state=state, last_seen=days_ago(400))
    settled = state in {FindingState.GONE, FindingState.SUPPRESSED, FindingState.WITHDRAWN}
    assert outlived([one], 365, NOW) == ([one.id] if settled else [])
    assert outlived([one], 365, NOW, exempt={one.id}) == []
    assert outlived([replace(one, last_seen="")], 365, NOW) == []
