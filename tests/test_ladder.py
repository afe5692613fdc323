"""The ladder: each rule at its edge, its name, and what the base explains."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import BaseModel, ValidationError

from reports.finding import Finding, FindingState, Match, ReportError, Severity
from reports.findings.ladder import counts, judge, rungs
from reports.settings import Ladder, ReportsSettings, Similarities

SSCD, THUMBNAIL = "sscd_disc_mixup@onnx-int8", "thumbnail16@1"


def match(
    similarity=None,
    pdq=None,
    phash=None,
    descriptor=SSCD,
    control=None,
    control_pdq=None,
    control_phash=None,
    of="set",
):
    return Match(
        extraction_id="e",
        checkpoint_id="c",
        set_name=of,
        ref_id="r",
        similarity=similarity,
        descriptor=descriptor if similarity is not None else None,
        pdq_distance=pdq,
        phash_distance=phash,
        control_similarity=control,
        control_pdq_distance=control_pdq,
        control_phash_distance=control_phash,
        mirrored=False,
    )


@pytest.mark.parametrize(
    ("measures", "severity", "rule"),
    [
        ({"pdq": 20}, Severity.CRITICAL, "pdq<=20"),
        ({"pdq": 22}, Severity.HIGH, "pdq<=30"),
        ({"pdq": 30, "similarity": 0.75}, Severity.CRITICAL, "pdq<=30 & sscd>=0.75"),
        ({"pdq": 30, "similarity": 0.74}, Severity.HIGH, "pdq<=30"),
        ({"pdq": 32, "similarity": 0.75}, Severity.HIGH, "sscd>=0.75"),
        ({"similarity": 0.75}, Severity.HIGH, "sscd>=0.75"),
        ({"similarity": 0.6, "pdq": 52}, Severity.MEDIUM, "pdq<=52 & sscd>=0.6"),
        ({"similarity": 0.6, "pdq": 54}, Severity.LOW, "sscd>=0.5"),
        ({"similarity": 0.74}, Severity.LOW, "sscd>=0.5"),
        ({"similarity": 0.5}, Severity.LOW, "sscd>=0.5"),
        ({"pdq": 52}, Severity.LOW, "pdq<=52"),
        ({"phash": 4}, Severity.HIGH, "phash<=4"),
        ({"phash": 4, "similarity": 0.75}, Severity.CRITICAL, "phash<=4 & sscd>=0.75"),
        ({"phash": 8}, Severity.LOW, "phash<=8"),
        ({"phash": 8, "similarity": 0.6}, Severity.MEDIUM, "phash<=8 & sscd>=0.6"),
        ({"similarity": 0.9, "descriptor": THUMBNAIL}, Severity.HIGH, "thumbnail>=0.9"),
        ({"similarity": 0.8, "descriptor": THUMBNAIL}, Severity.LOW, "thumbnail>=0.8"),
    ],
)
def test_a_rule_at_its_edge(measures, severity, rule):
    verdict = judge(match(**measures), ReportsSettings())
    assert verdict is not None
    assert (verdict.severity, verdict.rule, verdict.explained_by_base) == (severity, rule, False)


@pytest.mark.parametrize(
    "measures",
    [{}, {"similarity": 0.49}, {"pdq": 54}, {"phash": 10}, {"similarity": 0.79, "descriptor": THUMBNAIL}],
)
def test_what_reaches_no_rule_has_no_verdict(measures):
    assert judge(match(**measures), ReportsSettings()) is None


@pytest.mark.parametrize(
    ("measures", "explained"),
    [
        ({"similarity": 0.8, "control": 0.75}, True),
        ({"similarity": 0.8, "control": 0.74}, False),
        ({"similarity": 0.8, "control": 0.9}, True),
        ({"similarity": 0.8}, False),
        ({"pdq": 20, "control_pdq": 30}, True),
        ({"pdq": 20, "control_pdq": 32}, False),
        ({"phash": 4, "control_phash": 6}, True),
        ({"phash": 4, "control_phash": 8}, False),
        # Both measures of the rule have to be explained, and those that it does not rest on do not count.
        ({"pdq": 30, "similarity": 0.8, "control_pdq": 30, "control": 0.1}, False),
        ({"pdq": 30, "similarity": 0.8, "control_pdq": 30, "control": 0.8}, True),
        ({"pdq": 20, "similarity": 0.8, "control_pdq": 20, "control": 0.1}, True),
    ],
)
def test_the_base_and_the_middle_of_the_others_explain_what_they_give_as_well(measures, explained):
    one = match(**measures)
    verdict = judge(one, ReportsSettings())
    assert verdict is not None
    assert (verdict.explained_by_base, verdict.explained_by_others) == (explained, False)
    others = replace(
        one,
        others_similarity=one.control_similarity,
        others_pdq_distance=one.control_pdq_distance,
        others_phash_distance=one.control_phash_distance,
        control_similarity=None,
        control_pdq_distance=None,
        control_phash_distance=None,
    )
    verdict = judge(others, ReportsSettings())
    assert verdict is not None
    assert (verdict.explained_by_base, verdict.explained_by_others) == (False, explained)
    assert verdict.explained is explained


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"state": FindingState.KNOWN}, True),
        ({"state": FindingState.GONE}, False),
        ({"explained_by_base": True}, False),
        ({"explained_by_others": True}, False),
    ],
)
def test_what_counts(fields, expected):
    given = {"state": FindingState.NEW, "rule": "r", "checkpoint_sha256": None, **fields}
    assert counts(Finding(match=match(), severity=Severity.HIGH, **given)) is expected


def test_rules_fall_in_severity_and_have_names_of_their_own():
    rules = rungs(Ladder(), SSCD)
    assert [rule.severity for rule in rules] == sorted((rule.severity for rule in rules), reverse=True)
    assert len({rule.name for rule in rules}) == len(rules)


def test_a_calibrated_ladder_for_small_pictures():
    at_64_px = Ladder(sscd=Similarities(critical=0.45, high=0.33, medium=0.3, low=0.28))
    verdict = judge(match(similarity=0.34), ReportsSettings(ladder=at_64_px))
    assert verdict is not None
    assert (verdict.severity, verdict.rule) == (Severity.HIGH, "sscd>=0.33")


def test_a_set_may_have_a_ladder_of_its_own():
    settings = ReportsSettings(sets={"strict": Ladder(pdq_critical=0, pdq_high=0, pdq_low=10)})
    assert judge(match(pdq=20, of="strict"), settings) is None
    assert judge(match(pdq=20), settings) is not None


def test_a_descriptor_without_similarities_is_an_error():
    with pytest.raises(ReportError, match=r'"dino@1".*\[recipe\]'):
        rungs(Ladder(), "dino@1")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"ladder": {"pdq_critical": 31}}, "must not fall"),
        ({"ladder": {"phash_high": 9}}, "phash_high"),
        ({"ladder": {"sscd": {"critical": 0.7, "high": 0.8, "medium": 0.6, "low": 0.5}}}, "must not rise"),
        ({"ladder": {"pdq_low": 300}}, "256"),
        (
            {"ladder": {"sscd": {"critical": 1.1, "high": 0.8, "medium": 0.6, "low": 0.5}}},
            "less than or equal to 1",
        ),
        ({"pixels": "some"}, "matched"),
        ({"fail_on": "none"}, "high"),
        ({"flood": 3}, "Extra inputs"),
        ({"min_pdq_quality": 101}, "100"),
    ],
)
def test_settings_out_of_range_are_errors(content, reason):
    with pytest.raises(ValidationError, match=reason):
        ReportsSettings.model_validate(content)


def test_every_setting_says_what_it_is():
    for settings in (ReportsSettings, Ladder, Similarities):
        for name, field in settings.model_fields.items():
            section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            assert section or field.description, name
    assert ReportsSettings(fail_on="medium").fail_severity is Severity.MEDIUM
