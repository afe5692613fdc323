from __future__ import annotations

import hashlib
import io
import json

import pytest
from fakes_reports import HOSTILE, a_checkpoint, a_finding, a_hostile_report, a_report
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from reports.export.columns import FINDINGS, TABLES, Column
from reports.export.jsonl import SCHEMA_VERSION, json_schema, write_jsonl
from reports.export.typed import frame, slices
from reports.export.write import Format, write_report
from reports.finding import FindingState, Severity

NOTES = (
    Column("text", "string", "Any."),
    Column("number", "double", "Any."),
    Column("whole", "int64", "Any."),
)

SHAPES = {
    "2.0": "c1c8f25e6d3b6f7f",
}
"""Digest of all names and types by version: whoever adds a column raises COLUMNS_MINOR, and whoever changes
one raises COLUMNS_VERSION, and adds a line here."""


def lines(table, columns) -> list[dict]:
    file = io.BytesIO()
    assert write_jsonl(file, slices(table, 2), columns) == len(table)
    return [json.loads(line) for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("name", TABLES)
def test_a_schema_is_a_schema_and_names_its_version(name):
    schema = json_schema(name, TABLES[name])
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:leaksweep:schema:{name}:{SCHEMA_VERSION}"
    assert schema["additionalProperties"] is False


def test_a_version_stands_for_its_columns():
    shape = [[name, column.name, column.type] for name, columns in TABLES.items() for column in columns]
    assert SHAPES[SCHEMA_VERSION] == hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]


@pytest.mark.parametrize("report", [a_report(), a_hostile_report()], ids=["empty", "hostile"])
@pytest.mark.parametrize("name", TABLES)
def test_every_line_keeps_to_the_schema(report, name):
    validator = Draft202012Validator(json_schema(name, TABLES[name]))
    rows = lines(getattr(report, name), TABLES[name])
    assert len(rows) == len(getattr(report, name))
    for row in rows:
        validator.validate(row)


@pytest.mark.parametrize("state", FindingState)
@pytest.mark.parametrize("severity", Severity)
def test_every_state_and_severity_keeps_to_the_schema(state, severity):
    table = a_report(findings=[a_finding(a_checkpoint(), severity=severity, state=state)]).findings
    (row,) = lines(table, FINDINGS)
    Draft202012Validator(json_schema("findings", FINDINGS)).validate(row)
    assert (row["state"], row["severity"]) == (state, severity.label)


@pytest.mark.parametrize(
    "change", [{"more": 1}, {"state": "gone away"}, {"id": "0123"}, {"pdq_distance": 1.5}, {"set": None}]
)
def test_a_line_of_another_shape_is_refused(change):
    (row,) = lines(a_report(findings=[a_finding(a_checkpoint())]).findings, FINDINGS)
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema("findings", FINDINGS)).validate(row | change)


def test_a_line_that_lacks_a_column_is_refused():
    (row,) = lines(a_report(findings=[a_finding(a_checkpoint())]).findings, FINDINGS)
    del row["pdq_distance"]
    with pytest.raises(ValidationError, match="pdq_distance"):
        Draft202012Validator(json_schema("findings", FINDINGS)).validate(row)


def test_the_schema_lies_beside_the_lines(tmp_path):
    write_report(a_hostile_report(), tmp_path, formats=[Format.JSONL])
    for name in TABLES:
        validator = Draft202012Validator(json.loads((tmp_path / f"{name}.schema.json").read_bytes()))
        for line in (tmp_path / f"{name}.jsonl").read_bytes().splitlines():
            validator.validate(json.loads(line))


def test_hostile_names_come_back_as_they_were_and_the_lines_are_ascii():
    file = io.BytesIO()
    write_jsonl(file, slices(a_hostile_report().findings), FINDINGS)
    assert file.getvalue().isascii()
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    assert {row["repo"] for row in rows} == set(HOSTILE)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "text": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
                "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
            }
        ),
        max_size=5,
    )
)
def test_any_value_comes_back(rows):
    assert lines(frame(rows, NOTES), NOTES) == rows


def test_what_is_no_number_is_null():
    assert lines(frame([{"number": float("nan")}], NOTES), NOTES) == [
        {"text": None, "number": None, "whole": None}
    ]
