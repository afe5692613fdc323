"""The findings as the page's script reads them."""

from __future__ import annotations

import json
import re

import pytest
from fakes_reports import HOSTILE, a_checkpoint, a_finding, a_hostile_report, a_report
from hypothesis import given
from hypothesis import strategies as st

from reports.export.text import visible
from reports.finding import FindingState
from reports.page.page import page
from reports.page.rows import columns, findings_json, findings_rows, standing
from reports.settings import Ladder, ReportsSettings

ONE = a_checkpoint()
BREAKERS = "</script><!--<script>\u2028\u2029&amp;]]>\"'\\"


def data_of(report, settings=None):
    return json.loads(findings_json(findings_rows(report.findings), settings or report.settings, {}))


def unpacked(column, count):
    if isinstance(column, list):
        return column
    return [column["words"][at] for at in column.get("at", [0] * count)]


def test_nothing_in_the_data_can_end_its_element_or_begin_another():
    checkpoint = a_checkpoint(BREAKERS, path=BREAKERS, family=BREAKERS)
    report = a_report([checkpoint], findings=[a_finding(checkpoint, BREAKERS, set_name=BREAKERS)])
    text = findings_json(findings_rows(report.findings), report.settings, {})
    assert not set(text) & set("<>&\u2028\u2029")
    assert data_of(report)["findings"]["ref_id"]["words"] == [visible(BREAKERS)]


def test_the_page_has_one_data_element_that_is_json_whatever_the_names():
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page(a_hostile_report(), {})
    )
    data = json.loads(text)
    assert sorted(unpacked(data["findings"]["ref_id"], data["count"])) == sorted(map(visible, HOSTILE))


def test_what_turns_the_direction_of_reading_is_named():
    checkpoint = a_checkpoint("owner/\u202egnp.exe")
    data = data_of(a_report([checkpoint], findings=[a_finding(checkpoint)]))
    assert data["checkpoints"]["repo"]["words"] == ["owner/[U+202E]gnp.exe"]


@given(st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(0, 5)), min_size=1))
def test_columns_can_be_read_back(values):
    packed = columns([{"one": value} for value in values])
    assert (unpacked(packed["one"], len(values)) if packed else [None] * len(values)) == values


def test_a_number_has_few_digits_and_a_seed_all_of_them():
    checkpoint = a_checkpoint()
    finding = a_finding(checkpoint, similarity=0.87654321, control_similarity=1.0)
    data = data_of(a_report([checkpoint], findings=[finding]))["findings"]
    assert data["similarity"]["words"] == [0.877]
    assert data["control_similarity"]["words"] == [1]
    assert data["seed"]["words"] == ["100"]


def test_weights_at_two_places_are_one_finding_that_names_both():
    one, other = a_checkpoint("a/one"), a_checkpoint("a/other")
    found = a_finding(one, checkpoint_ids=(one.id, other.id), checkpoint_sha256="0" * 64)
    data = data_of(a_report([one, other], findings=[found]))
    assert data["count"] == 1
    assert data["checkpoints"]["repo"] == ["a/one", "a/other"]
    assert (data["findings"]["checkpoint"], data["findings"]["elsewhere"]) == (
        {"words": [0]},
        {"words": ["1"]},
    )


def test_neither_prompts_nor_extraction_ids_are_in_the_data():
    checkpoint = a_checkpoint()
    text = json.dumps(data_of(a_report([checkpoint], findings=[a_finding(checkpoint)])))
    assert checkpoint.prompts[0].text not in text
    assert "extraction_id" not in text


def test_each_set_has_the_rungs_of_its_ladder():
    checkpoint, settings = (
        a_checkpoint(),
        ReportsSettings(sets={"strict": Ladder(pdq_critical=4, pdq_high=8)}),
    )
    rungs = data_of(a_report([checkpoint], findings=[a_finding(checkpoint)]), settings)["rungs"]
    assert rungs[""]["pdq_distance"] == {"critical": 20, "high": 30, "low": 52}
    assert rungs["strict"]["pdq_distance"] == {"critical": 4, "high": 8, "low": 52}
    likeness = {"critical": 0.75, "high": 0.75, "medium": 0.6, "low": 0.5}
    assert rungs[""]["sscd_disc_mixup@onnx-int8"] == likeness


@pytest.mark.parametrize("state", FindingState)
def test_only_what_is_there_can_be_explained(state):
    row = {"state": str(state), "explained_by_base": True, "explained_by_others": False}
    there = state in {FindingState.NEW, FindingState.KNOWN, FindingState.CHANGED}
    assert standing(row) == ("explained" if there else state)
    assert standing(row | {"explained_by_base": False}) == state
