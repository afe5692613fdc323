"""Normalised similarities: less what the extraction reaches on the background set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from test_ladder import SSCD, match
from test_matching import LIMITS, ONNX, TORCH, units, world

from reports.finding import ReportError, Severity
from reports.findings.ladder import judge
from reports.matching.measures import matches
from reports.matching.normalise import Background
from reports.references.index import Vectors
from reports.settings import Ladder, ReportsSettings, Similarities


def background(rng, views=1, mirrored=False):
    """A set of ten pictures, each with so many views, described by both makers."""
    _, index = world(1, extractions=0, references=10)
    owner = np.repeat(np.arange(10), views)
    rows = {name: Vectors(owner, units(rng, len(owner))) for name in (ONNX, TORCH)}
    return replace(index, set_name="strangers", vectors=rows, mirrored=rows if mirrored else {})


@pytest.mark.parametrize(("views", "mirrored"), [(1, False), (4, False), (3, True)])
def test_a_level_is_the_mean_over_the_three_nearest_pictures(views, mirrored):
    probes, index = world(7, extractions=12, references=8)
    strangers = background(np.random.default_rng(2), views, mirrored)
    levels = Background.of(probes, strangers).levels
    assert levels
    for name, described in probes.described.items():
        cosines = described.picture @ strangers.vectors[name].rows.T
        nearest = np.sort(cosines.reshape(len(cosines), 10, views).max(axis=2), axis=1)[:, -3:]
        for at, expected in zip(described.at, nearest.mean(axis=1), strict=True):
            assert levels[probes.ids[at]] == pytest.approx(expected, abs=1e-5)
    found = list(matches(probes, index, LIMITS))
    for before, after in zip(found, Background(levels).normalised(found), strict=True):
        if before.similarity is None:
            assert after == before
        else:
            assert after.normalised_similarity == pytest.approx(
                before.similarity - levels[before.extraction_id]
            )
            assert replace(after, normalised_similarity=None) == before


def test_a_background_that_was_not_described_is_refused():
    probes, index = world(7, extractions=12, references=8)
    with pytest.raises(ReportError, match='background set "set": 0 of its pictures are described by "sscd'):
        Background.of(probes, replace(index, vectors={}, mirrored={}))


def test_a_background_of_two_pictures_is_too_small():
    probes, index = world(7, extractions=12, references=2)
    rows = Vectors(np.array([0, 1]), units(np.random.default_rng(0), 2))
    with pytest.raises(ReportError, match="3 are needed; add it again"):
        Background.of(probes, replace(index, vectors={ONNX: rows, TORCH: rows}))


CALIBRATED = ReportsSettings(
    background="strangers",
    ladder=Ladder(sscd=Similarities(critical=0.75, high=0.75, medium=0.6, low=0.5, normalised_high=0.4)),
)


@pytest.mark.parametrize(
    ("normalised", "severity", "rule"),
    [
        (0.4, Severity.HIGH, "sscd>=0.75 & normalised>=0.4"),
        (0.39, Severity.LOW, "sscd>=0.5"),
        (None, Severity.LOW, "sscd>=0.5"),
    ],
)
def test_a_calibrated_threshold_is_asked_for_beside_the_similarity(normalised, severity, rule):
    one = replace(match(similarity=0.8, descriptor=SSCD), normalised_similarity=normalised)
    verdict = judge(one, CALIBRATED)
    assert verdict is not None
    assert (verdict.severity, verdict.rule) == (severity, rule)
    uncalibrated = judge(one, ReportsSettings())
    assert uncalibrated is not None
    assert uncalibrated.rule == "sscd>=0.75"


def test_a_hash_needs_no_normalised_similarity():
    verdict = judge(match(similarity=0.8, pdq=30), CALIBRATED)
    assert verdict is not None
    assert verdict.rule == "pdq<=30 & sscd>=0.75"


def test_a_threshold_without_a_background_is_refused():
    with pytest.raises(ValidationError, match="normalised_high needs a set to normalise against"):
        ReportsSettings(ladder=CALIBRATED.ladder)
    with pytest.raises(ValidationError, match=r"sets\.partner: normalised_high needs"):
        ReportsSettings(sets={"partner": CALIBRATED.ladder})


def test_a_background_that_holds_what_leaked_takes_a_third_more_and_three_copies_take_it_all():
    probes, _ = world(7, extractions=12, references=8)
    strangers = background(np.random.default_rng(2))
    plain = Background.of(probes, strangers).levels
    name, described = next(iter(probes.described.items()))
    leaked, probe = described.picture[0], probes.ids[described.at[0]]
    for copies in (1, 3):
        rows = strangers.vectors[name].rows.copy()
        nearest = np.sort(rows @ leaked)[::-1][:3]
        rows[np.argsort(rows @ leaked)[:copies]] = leaked  # in place of the furthest
        both = replace(strangers, vectors=strangers.vectors | {name: Vectors(np.arange(10), rows)})
        level = Background.of(probes, both).levels[probe]
        assert level == pytest.approx((copies + nearest[: 3 - copies].sum()) / 3, abs=1e-5)
        assert level > plain[probe]
