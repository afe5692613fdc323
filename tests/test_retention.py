"""Retention: whose pictures go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.custody.retention import to_erase

names = st.frozensets(st.sampled_from("abcdef"))


@pytest.mark.parametrize(
    ("keep", "gone"),
    [("matched", ["b", "c"]), ("none", ["a", "b", "c"]), ("all", [])],
)
def test_what_goes(keep, gone):
    assert to_erase({"a", "b", "c", "d"}, hashed={"a", "b", "c", "x"}, matched={"a", "x"}, keep=keep) == gone


@given(names, names, names)
def test_what_stays_was_matched_or_never_hashed(held, hashed, matched):
    kept = held - set(to_erase(held, hashed=hashed, matched=matched, keep="matched"))
    assert kept == held & (matched | (held - hashed))
