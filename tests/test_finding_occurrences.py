"""Occurrences under findings: where and how often a reference was given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from test_finding import judged

from reports.findings.occurrences import Occurrence, occurrences
from reports.findings.states import findings

DIGESTS = {"c1": "ab" * 32, "copy": "ab" * 32, "c2": None}


def places(found: list[Occurrence]) -> dict[str, tuple[str, ...]]:
    """The checkpoints at which each finding was seen."""
    seen: dict[str, set[str]] = {}
    for one in found:
        seen.setdefault(one.finding_id, set()).add(one.checkpoint_id)
    return {name: tuple(sorted(each)) for name, each in seen.items()}


def test_a_finding_has_an_occurrence_for_each_extraction_with_its_distances():
    listed = [judged("e2", "copy", pdq=12), judged("e1", "c1", similarity=0.9), judged("e3", "c2")]
    found = occurrences(listed, DIGESTS)
    (shared, other) = findings(listed, DIGESTS)
    if shared.checkpoint_sha256 is None:
        shared, other = other, shared
    mine = [one for one in found if one.finding_id == shared.id]
    assert {(one.extraction_id, one.checkpoint_id, one.similarity, one.pdq_distance) for one in mine} == {
        ("e1", "c1", 0.9, None),
        ("e2", "copy", 0.8, 12),
    }
    assert shared.occurrences == len(mine)
    assert places(found) == {shared.id: ("c1", "copy"), other.id: ("c2",)}


def test_ids_are_stable_and_a_pair_that_two_views_match_is_one_occurrence():
    nearer, farther = judged(pdq=10), judged(pdq=40)
    (one,) = occurrences([farther, nearer], {})
    assert one.pdq_distance == 10
    assert one == occurrences([nearer, farther], {})[0]
    assert len(one.id) == 16
    assert one.id != occurrences([judged("e9")], {})[0].id


@given(
    st.lists(
        st.builds(
            judged,
            extraction=st.sampled_from(["e1", "e2", "e3"]),
            checkpoint=st.sampled_from(list(DIGESTS)),
            ref=st.sampled_from(["r1", "r2"]),
            similarity=st.sampled_from([0.8, 0.9, None]),
        ),
        unique_by=lambda one: (one.match.extraction_id, one.match.ref_id),
    )
)
def test_occurrences_and_findings_tell_the_same_whatever_the_order(listed):
    found, about = occurrences(listed, DIGESTS), findings(listed, DIGESTS)
    assert len({one.id for one in found}) == len(found) == len(listed)
    assert occurrences(reversed(listed), DIGESTS) == found
    assert places(found) == {one.id: one.checkpoint_ids for one in about}
    counted = {one.id: one.occurrences for one in about}
    assert counted == {name: sum(one.finding_id == name for one in found) for name in counted}
