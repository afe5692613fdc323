"""Findings: their ids, which match speaks for one, floods, and states from run to run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crawler.catalog.engine import open_engine
from reports.finding import Finding, FindingState, Match, Severity
from reports.findings.ladder import Verdict, counts
from reports.findings.states import Judged, against, calm, findings
from reports.findings.store import FindingStore

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def judged(
    extraction="e1",
    checkpoint="c1",
    ref="r1",
    severity=Severity.HIGH,
    explained=False,
    similarity=0.8,
    pdq=None,
):
    match = Match(
        extraction_id=extraction,
        checkpoint_id=checkpoint,
        set_name="artist",
        ref_id=ref,
        similarity=similarity,
        descriptor="sscd@x" if similarity is not None else None,
        pdq_distance=pdq,
        phash_distance=None,
        control_similarity=0.1,
        mirrored=False,
    )
    return Judged(match, Verdict(severity=severity, rule="rule", explained_by_base=explained))


def only(found):
    (one,) = found
    return one


def test_an_id_is_stable_and_tells_checkpoint_reference_and_signal_apart():
    ids = [
        only(findings([one], {})).id
        for one in (judged(), judged(checkpoint="c2"), judged(ref="r2"), judged(similarity=None))
    ]
    assert len(set(ids)) == 4
    assert all(len(one) == 16 and set(one) <= set("0123456789abcdef") for one in ids)
    assert only(findings([judged(extraction="other", severity=Severity.LOW)], {})).id == ids[0]


def test_an_id_follows_the_weights_where_their_digest_is_known():
    one, other = judged(), judged(checkpoint="renamed", extraction="e2")
    found = only(findings([one, other], {"c1": "ab" * 32, "renamed": "ab" * 32}))
    assert found.checkpoint_ids == ("c1", "renamed")
    assert found.occurrences == 2
    assert found.checkpoint_sha256 == "ab" * 32
    assert len(findings([one, other], {"c1": None, "renamed": None})) == 2


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (judged("b", severity=Severity.CRITICAL), judged("a")),
        (judged("b", severity=Severity.LOW), judged("a", severity=Severity.CRITICAL, explained=True)),
        (judged("b", pdq=10), judged("a", pdq=12, similarity=0.99)),
        (judged("b", similarity=0.9), judged("a")),
        (judged("a"), judged("b")),
    ],
)
def test_the_best_match_speaks_for_a_finding(better, worse):
    for order in ([better, worse], [worse, better]):
        found = only(findings(order, {}))
        assert found.match == better.match
        assert found.severity is better.verdict.severity
        assert found.explained_by_base is better.verdict.explained_by_base


def test_a_reference_that_matches_too_many_checkpoints_is_quarantined():
    flood = [judged(extraction=f"e{n}", checkpoint=f"c{n}") for n in range(4)]
    many_of_one = [judged(extraction=f"f{n}", ref="r2") for n in range(9)]
    calmed, floods = calm([*flood, *many_of_one], cap=3)
    assert [(one.ref_id, one.checkpoints) for one in floods] == [("r1", 4)]
    assert {one.verdict.severity for one in calmed[:4]} == {Severity.LOW}
    assert calmed[0].verdict.rule == "flood of more than 3: rule"
    found = findings(calmed, {})
    quarantined = [one for one in found if one.state is FindingState.SUPPRESSED]
    assert {one.match.ref_id for one in quarantined} == {"r1"}
    assert {one.settled_by for one in quarantined} == {"flood cap"}
    assert "4 checkpoints, more than reports.flood_cap = 3" in quarantined[0].settled_why
    assert not any(counts(one) for one in quarantined)
    assert calmed[4:] == many_of_one
    assert calm(flood, cap=4) == (flood, ())


def states(found):
    return {one.match.ref_id: (one.state, one.first_run, one.last_run) for one in found}


def test_states_against_the_run_before():
    a, b, c = (findings([judged(ref=ref)], {})[0] for ref in "abc")
    new, known, gone = FindingState.NEW, FindingState.KNOWN, FindingState.GONE
    changed = FindingState.CHANGED
    first = against([a, b], [], 1, NOW)
    assert states(first) == {"a": (new, 1, 1), "b": (new, 1, 1)}
    second = against([b, c], first, 2, NOW)
    assert states(second) == {"a": (gone, 1, 1), "b": (known, 1, 2), "c": (new, 2, 2)}
    third = against([a], second, 3, NOW)
    assert states(third) == {"a": (changed, 1, 3), "b": (gone, 1, 2), "c": (gone, 2, 2)}
    assert third[[one.match.ref_id for one in third].index("a")].changed == "seen again"
    fourth = against([a], third, 4, NOW)
    assert states(fourth)["a"] == (known, 1, 4)


def test_the_same_run_again_changes_nothing():
    a, b = (findings([judged(ref=ref)], {})[0] for ref in "ab")
    first = against([a], [], 1, NOW)
    second = against([b], first, 2, NOW)
    assert against([b], second, 2, NOW) == second
    # A cut-off attempt had found another one, which now is not found.
    cut_off = against([a, replace(b, checkpoint_sha256="cd" * 32)], first, 2, NOW)
    assert against([b], cut_off, 2, NOW) == second


def test_findings_and_matches_come_back_from_the_store(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/runs.db")
    store = FindingStore(tmp_path / "lance", engine)
    one, other = judged(pdq=12), judged(ref="r2", similarity=None, pdq=8, explained=True)
    found = against(findings([one, other], {"c1": "ab" * 32}), [], 1, NOW)
    store.replace_findings(found)
    store.replace_matches([one, other], frozenset())
    again = FindingStore(tmp_path / "lance", engine)
    assert again.findings() == found
    assert again.matches() == [one.match, other.match]
    again.replace_findings(found[:1])
    assert again.findings() == found[:1]
    again.replace_matches([], frozenset())
    assert again.matches() == []


def test_severities_have_an_order():
    assert Severity.LOW < Severity.MEDIUM < Severity.HIGH < Severity.CRITICAL
    assert Severity.HIGH.label == "high"
    assert isinstance(findings([judged()], {})[0], Finding)
