"""Innocent look-alikes set matches aside, and unsure references hold them down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.finding import FindingState, Match, Opinion, Severity
from reports.findings.ladder import counts, judge
from reports.findings.negatives import hold_down, set_aside
from reports.findings.states import Judged, findings
from reports.settings import ReportsSettings

SSCD = "sscd_disc_mixup@onnx-int8"
SETTINGS = ReportsSettings()


def match(of="watchlist", ref="r1", extraction="e1", descriptor=SSCD, **measures):
    fields = dict.fromkeys(("similarity", "pdq_distance", "phash_distance", "control_similarity"))
    fields |= measures
    return Match(
        extraction_id=extraction,
        checkpoint_id="c1",
        set_name=of,
        ref_id=ref,
        descriptor=descriptor if fields["similarity"] is not None else None,
        mirrored=False,
        **fields,
    )


def judged(one):
    verdict = judge(one, SETTINGS)
    assert verdict is not None
    return Judged(one, verdict)


def aside(wanted, *others, negatives=("harmless",), opinions=None):
    """Whether the match looked for is set aside, given the innocent ones."""
    listed = [judged(one) for one in (wanted, *others)]
    (kept,), innocent = set_aside(listed, negatives, opinions or {})
    assert [one.match for one in innocent] == list(others)
    return bool(kept.verdict.aside_by)


@pytest.mark.parametrize(
    ("wanted", "innocent", "expected"),
    [
        ({"pdq_distance": 20}, {"pdq_distance": 20}, True),
        ({"pdq_distance": 20}, {"pdq_distance": 18}, True),
        ({"pdq_distance": 20}, {"pdq_distance": 22}, False),
        ({"phash_distance": 2}, {"phash_distance": 2}, True),
        ({"similarity": 0.8}, {"similarity": 0.8}, True),
        ({"similarity": 0.8}, {"similarity": 0.79}, False),
        # By the measure that the rule rests on: here PDQ, however alike the descriptors are.
        ({"pdq_distance": 10, "similarity": 0.6}, {"pdq_distance": 20, "similarity": 0.9}, False),
        ({"pdq_distance": 10, "similarity": 0.9}, {"pdq_distance": 10, "similarity": 0.5}, True),
        # By both where the rule rests on two.
        ({"pdq_distance": 30, "similarity": 0.8}, {"pdq_distance": 30, "similarity": 0.7}, False),
        ({"pdq_distance": 30, "similarity": 0.8}, {"pdq_distance": 28, "similarity": 0.8}, True),
        # Not comparable is not nearer.
        ({"pdq_distance": 20}, {"phash_distance": 0}, False),
        ({"similarity": 0.8}, {"similarity": 0.99, "descriptor": "thumbnail16@1"}, False),
    ],
)
def test_a_match_is_set_aside_when_an_innocent_one_is_at_least_as_near(wanted, innocent, expected):
    assert aside(match(**wanted), match("harmless", **innocent)) is expected


def test_only_the_same_extraction_is_compared():
    assert not aside(match(pdq_distance=20), match("harmless", extraction="e2", pdq_distance=0))


def test_a_reference_whose_giver_calls_it_innocent_does_the_same_in_any_set():
    innocent = match(ref="r9", pdq_distance=16)
    assert aside(match(pdq_distance=20), innocent, opinions={("watchlist", "r9"): Opinion.NEGATIVE})


def test_the_finding_is_suppressed_and_says_by_which_set_and_why():
    listed = [judged(match(pdq_distance=20)), judged(match("harmless", "cat.png", pdq_distance=12))]
    kept, _ = set_aside(listed, {"harmless"}, {})
    (found,) = findings(kept, {})
    assert (found.state, found.settled_by) == (FindingState.SUPPRESSED, "set harmless")
    assert found.settled_why == "at least as near to cat.png, which is known to be innocent (pdq 12, here 20)"
    assert not counts(found)


def test_a_finding_that_another_extraction_upholds_is_not_suppressed():
    listed = [
        judged(match(extraction="e1", pdq_distance=10)),
        judged(match("harmless", extraction="e1", pdq_distance=10)),
        judged(match(extraction="e2", pdq_distance=28)),
    ]
    kept, _ = set_aside(listed, {"harmless"}, {})
    (found,) = findings(kept, {})
    assert (found.state, found.match.extraction_id, found.occurrences) == (FindingState.NEW, "e2", 2)


def test_what_matches_innocent_references_only_makes_no_finding():
    kept, innocent = set_aside([judged(match("harmless", pdq_distance=0))], {"harmless"}, {})
    assert kept == []
    assert len(innocent) == 1


@pytest.mark.parametrize(
    ("opinion", "severity", "rule"),
    [
        (Opinion.POSITIVE, Severity.CRITICAL, "pdq<=20"),
        (Opinion.SEED, Severity.HIGH, "seed, so at most high: pdq<=20"),
        (Opinion.DISPUTED, Severity.HIGH, "disputed, so at most high: pdq<=20"),
    ],
)
def test_critical_is_for_references_that_their_giver_is_sure_of(opinion, severity, rule):
    critical = judged(match(pdq_distance=20))
    (held,) = hold_down([critical], {("watchlist", "r1"): opinion})
    assert (held.verdict.severity, held.verdict.rule) == (severity, rule)
    assert replace(held.verdict, severity=Severity.CRITICAL, rule="pdq<=20") == critical.verdict
    high = judged(match(pdq_distance=30))
    assert hold_down([high], {("watchlist", "r1"): opinion}) == [high]


MEASURED = st.fixed_dictionaries(
    {
        "pdq_distance": st.none() | st.integers(0, 26).map(lambda half: 2 * half),
        "phash_distance": st.none() | st.integers(0, 4).map(lambda half: 2 * half),
        "similarity": st.none() | st.floats(0.5, 1),
    }
).filter(lambda measures: any(value is not None for value in measures.values()))


@given(MEASURED, st.lists(MEASURED, max_size=4), MEASURED)
def test_more_innocent_references_never_free_a_match_and_order_does_not_matter(wanted, innocent, one_more):
    first = judged(match(**wanted))
    others = [judged(match("harmless", f"n{n}", **each)) for n, each in enumerate(innocent)]
    more = judged(match("harmless", "last", **one_more))
    (few,), _ = set_aside([first, *others], {"harmless"}, {})
    (many,), _ = set_aside([first, *others, more], {"harmless"}, {})
    assert set_aside([more, *reversed(others), first], {"harmless"}, {})[0] == [many]
    assert bool(many.verdict.aside_by) >= bool(few.verdict.aside_by)
    (itself,), _ = set_aside([first, judged(match("harmless", **wanted))], {"harmless"}, {})
    assert itself.verdict.aside_by == "set harmless"
