from __future__ import annotations

import csv
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from fakes_reports import HOSTILE, a_checkpoint, a_finding, a_hostile_report, a_report
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.export.columns import FINDINGS, TABLES, Column
from reports.export.tables import disarmed, write_csv, write_parquet
from reports.export.typed import frame, slices

NOTES = (Column("text", "string", "Any."), Column("number", "double", "Any."), Column("flag", "bool", "Any."))


def csv_bytes(table: pd.DataFrame, columns: tuple[Column, ...], at_once: int = 2) -> bytes:
    file = io.BytesIO()
    assert write_csv(file, slices(table, at_once), columns) == len(table)
    return file.getvalue()


def parquet_bytes(table: pd.DataFrame, columns: tuple[Column, ...], at_once: int = 2) -> bytes:
    file = io.BytesIO()
    assert write_parquet(file, slices(table, at_once), columns) == len(table)
    return file.getvalue()


def cells(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))


def notes(*texts: str | None) -> bytes:
    return csv_bytes(frame([{"text": text, "number": -1.5, "flag": False} for text in texts], NOTES), NOTES)


@pytest.mark.parametrize(
    "attack",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "＝1",
        "\u00a0=1",
        "\u200b=1",
        "\ufeff=1",
    ],
)
def test_a_formula_becomes_text(attack):
    assert cells(notes(attack))[1][0] == f"'{attack}"


@pytest.mark.parametrize("harmless", ["a=1", "owner/name", "3.5", "", "'", 'say "hello"', "a,b", "日本語"])
def test_other_text_stays_as_it_is(harmless):
    assert cells(notes(harmless))[1][0] == harmless
    assert disarmed(pa.chunked_array([[harmless, None]])).to_pylist() == [harmless, None]


def test_numbers_are_bare_and_null_is_nothing():
    assert notes(None, "") == b'"text","number","flag"\n,-1.5,false\n"",-1.5,false\n'


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_text_comes_back_and_none_is_a_formula(texts):
    rows = cells(notes(*texts))[1:]
    assert [
        row[0].removeprefix("'") if row[0] != text else text for row, text in zip(rows, texts, strict=True)
    ] == texts
    assert not any(row[0].lstrip().startswith(("=", "+", "-", "@")) for row in rows)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(categories=["Cs"]), min_size=1))
def test_lone_surrogates_become_replacement_characters(text):
    assert cells(notes(text))[1][0] == "\ufffd" * len(text)


@pytest.mark.parametrize("report", [a_report(), a_hostile_report()], ids=["empty", "hostile"])
@pytest.mark.parametrize("name", TABLES)
def test_csv_and_parquet_hold_the_same_rows(report, name):
    original = getattr(report, name)
    rows = cells(csv_bytes(original, TABLES[name]))
    table = pyarrow.parquet.read_table(io.BytesIO(parquet_bytes(original, TABLES[name])))
    assert rows[0] == table.column_names == list(original.columns)
    assert len(rows) - 1 == table.num_rows == len(original)
    assert all(len(row) == len(rows[0]) for row in rows)


def test_hostile_names_are_whole_in_parquet_and_harmless_in_csv():
    report = a_hostile_report()
    table = pyarrow.parquet.read_table(io.BytesIO(parquet_bytes(report.findings, FINDINGS)))
    assert set(table["repo"].to_pylist()) == set(HOSTILE)
    for row in cells(csv_bytes(report.findings, FINDINGS)):
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in row)


def test_parquet_says_what_each_column_means():
    checkpoint = a_checkpoint()
    data = parquet_bytes(a_report([checkpoint], findings=[a_finding(checkpoint)]).findings, FINDINGS)
    file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
    schema = file.schema_arrow
    assert {field.name: field.metadata[b"description"].decode() for field in schema} == {
        c.name: c.meaning for c in FINDINGS
    }
    assert schema.metadata[b"leaksweep.columns_version"] == b"2"
    assert str(schema.field("similarity").type) == "double"
    assert str(schema.field("mirrored").type) == "bool"
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_the_rows_are_the_same_however_many_are_written_at_once(at_once):
    findings = a_hostile_report().findings
    assert csv_bytes(findings, FINDINGS, at_once) == csv_bytes(findings, FINDINGS)
    parts, whole = (
        pyarrow.parquet.read_table(io.BytesIO(parquet_bytes(findings, FINDINGS, rows)))
        for rows in (at_once, 2)
    )
    assert parts.equals(whole)


def test_the_same_report_gives_the_same_bytes():
    for name, columns in TABLES.items():
        first, second = (getattr(a_hostile_report(), name) for _ in range(2))
        assert csv_bytes(first, columns) == csv_bytes(second, columns)
        assert parquet_bytes(first, columns) == parquet_bytes(second, columns)


def test_a_frame_fills_what_a_row_lacks_with_null():
    typed = frame([{}], NOTES)
    assert typed.isna().all(axis=None)
    assert isinstance(typed["text"].dtype, pd.StringDtype)
