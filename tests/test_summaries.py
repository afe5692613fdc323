"""What stages say together."""

from __future__ import annotations

import pytest

from leaksweep.summaries import CLEAN, FINDINGS, INCOMPLETE, NOTHING_SCANNABLE, Summary, counted, worst


def summary(code: int) -> Summary:
    return Summary(stage="x", exit_code=code, content={}, lines=("a", "b"))


@pytest.mark.parametrize(
    ("codes", "together"),
    [
        ([CLEAN, CLEAN], CLEAN),
        ([CLEAN, NOTHING_SCANNABLE], NOTHING_SCANNABLE),
        ([NOTHING_SCANNABLE, FINDINGS], FINDINGS),
        ([FINDINGS, INCOMPLETE, CLEAN], INCOMPLETE),
    ],
)
def test_a_failure_never_looks_like_a_clean_bill(codes: list[int], together: int) -> None:
    assert worst(*map(summary, codes)) == together


def test_a_summary_names_its_stage_on_every_line() -> None:
    assert summary(0).text() == "x: a\nx: b"


def test_counts_in_words() -> None:
    assert counted({"gated": 1, "pickle_only": 3, "budget": 0}) == "3 pickle_only, 1 gated"
    assert counted({}) == "none"
