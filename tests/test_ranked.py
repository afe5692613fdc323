"""Findings packed for a report: their order, and the parts that are shown of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest
from fakes_reports import a_checkpoint, a_finding, a_report, an_extraction
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.export import ranked
from reports.finding import Finding, FindingState, Severity
from reports.report import Report

PLACES = [a_checkpoint(f"mira/{number}") for number in range(4)]
SET_ASIDE = [FindingState.SUPPRESSED, FindingState.WITHDRAWN, FindingState.GONE]


def weakness(finding: Finding) -> tuple[object, ...]:
    """What findings are to be ordered by, in plain words."""
    match = finding.match
    return (
        SET_ASIDE.index(finding.state) + 1 if finding.state in SET_ASIDE else 0,
        finding.explained_by_base or finding.explained_by_others,
        -finding.severity,
        2.0 if match.similarity is None else -match.similarity,
        256 if match.pdq_distance is None else match.pdq_distance,
        64 if match.phash_distance is None else match.phash_distance,
        finding.id,
    )


def reported(findings: Sequence[Finding]) -> Report:
    return a_report(PLACES, findings=findings)


FINDINGS = st.lists(
    st.builds(
        a_finding,
        checkpoint=st.sampled_from(PLACES),
        ref_id=st.integers(0, 30).map(str),
        severity=st.sampled_from(Severity),
        state=st.sampled_from(FindingState),
        similarity=st.sampled_from([None, 0.5, 0.5000001, 0.9, -0.1]),
        pdq_distance=st.sampled_from([None, 0, 24, 256]),
        phash_distance=st.sampled_from([None, 0, 4, 64]),
        explained_by_base=st.booleans(),
        explained_by_others=st.booleans(),
        checkpoint_ids=st.lists(st.sampled_from(PLACES).map(lambda one: one.id), unique=True).map(tuple),
    ),
    unique_by=lambda one: one.id,
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(FINDINGS)
def test_findings_come_strongest_first_whatever_their_order_each_with_its_places(findings):
    expected = [
        (one.id, place)
        for one in sorted(findings, key=weakness)
        for place in one.checkpoint_ids or (one.match.checkpoint_id,)
    ]
    for order in (findings, findings[::-1]):
        rows = reported(order).findings
        assert list(zip(rows["id"], rows["checkpoint_id"], strict=True)) == expected


@settings(deadline=None, max_examples=40)
@given(FINDINGS, st.integers(0, 13))
def test_the_strongest_are_whole_findings_and_the_first_of_all(findings, many):
    report = reported(findings)
    ids = [one.id for one in sorted(findings, key=weakness)]
    assert report.ranked.each["id"].tolist() == ids
    shown = report.ranked.strongest(many)
    pd.testing.assert_frame_equal(shown, report.findings.head(len(shown)))
    assert shown["id"].drop_duplicates().tolist() == ids[:many]


def test_what_is_read_in_many_batches_is_the_same(monkeypatch):
    findings = [
        a_finding(PLACES[n % 4], f"{n}.jpg", similarity=n / 20, rule=f"rule {n % 3}") for n in range(11)
    ]
    whole = reported(findings)
    monkeypatch.setattr(ranked, "AT_ONCE", 2)
    again = reported(findings)
    pd.testing.assert_frame_equal(again.findings, whole.findings)
    pd.testing.assert_frame_equal(again.ranked.standing, whole.ranked.standing)


def test_some_rows_can_be_asked_for():
    findings = [a_finding(PLACES[0], f"{n}.jpg", similarity=n / 10) for n in range(5)]
    report = reported(findings)
    wanted = report.ranked.each.index[[3, 0]]
    assert report.ranked.at(wanted)["ref_id"].tolist() == ["1.jpg", "4.jpg"]


@pytest.mark.parametrize("extraction", [f"{PLACES[0].key}-0", "one that is gone"])
def test_the_id_of_its_extraction_stays_when_the_extraction_is_gone(extraction):
    row = reported([a_finding(PLACES[0], extraction_id=extraction)]).findings.iloc[0]
    assert row["extraction_id"] == extraction
    assert pd.isna(row["seed"]) == (extraction == "one that is gone")


def test_a_checkpoint_and_its_evidence_stand_beside_the_right_finding():
    rows = [an_extraction(one, seed=number) for number, one in enumerate(PLACES)]
    findings = [a_finding(one, similarity=number / 10) for number, one in enumerate(PLACES)]
    found = a_report(PLACES, extractions=rows, findings=findings, labels={findings[2].id: "unsure"}).findings
    assert found["repo"].tolist() == ["mira/3", "mira/2", "mira/1", "mira/0"]
    assert found["seed"].tolist() == [3, 2, 1, 0]
    assert found["label"].fillna("").tolist() == ["", "unsure", "", ""]
