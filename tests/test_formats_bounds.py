"""Lists that are huge or made to harm: memory does not grow with them, and XML reaches for nothing."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from fakes_lists import ncmec_image, ncmec_text, some_codes, write_list

from reports.finding import ReportError
from reports.references.formats import FORMS, read_list
from reports.references.formats.files import LONGEST_ENTRY, LONGEST_LINE

VALUE = some_codes(1)[0].hex()


def peak_of(path, **how) -> tuple[int, float]:
    """How many entries a list has, and the MB that reading them took at most."""
    tracemalloc.start()
    try:
        return sum(1 for _ in read_list(path, **how)), tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_100_000_lines_are_read_in_little_memory(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(f"pdq {VALUE}\n" * 100_000, encoding="utf-8")
    count, megabytes = peak_of(path)
    assert count == 100_000
    assert megabytes < 5


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow_with_the_list(tmp_path, form):
    code = bytes.fromhex(VALUE)
    _, small = peak_of(write_list(tmp_path, form, [code] * 500))
    count, large = peak_of(write_list(tmp_path, form, [code] * 2_500))
    assert count == 2_500
    # 2,000 entries kept would be 1 MB and more; parquet decodes 8,192 rows at once.
    assert large - small < (4 if form == "parquet" else 0.5)


@pytest.mark.parametrize("form", ["plain", "dataset", "te", "csv"])
def test_a_line_that_never_ends_is_refused(tmp_path, form):
    path = write_list(tmp_path, form, [bytes.fromhex(VALUE)])
    with path.open("a", encoding="utf-8") as file:
        file.write("a" * 5 * LONGEST_LINE)
    with pytest.raises(ReportError, match=r"line \d: is longer than"):
        peak_of(path)


def test_quotes_that_never_close_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("ref_id,value\n" + '"' + f"{VALUE}\n" * 5_000, encoding="utf-8")
    with pytest.raises(ReportError, match=r"line \d+: is no CSV"):
        peak_of(path)


@pytest.mark.parametrize("form", ["hma", "stopncii"])
def test_a_json_entry_that_never_ends_is_refused(tmp_path, form):
    path = write_list(tmp_path, form, [bytes.fromhex(VALUE)])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("}]", '}, {"id": "' + "a" * 2 * LONGEST_ENTRY, 1), encoding="utf-8")
    with pytest.raises(ReportError, match="no entry ends within 2 MiB"):
        list(read_list(path))


def test_an_xml_entry_that_never_ends_is_refused(tmp_path):
    path = tmp_path / "list.xml"
    path.write_text(ncmec_text([ncmec_image("a" * 2 * LONGEST_ENTRY, {"pdq": VALUE})]), encoding="utf-8")
    with pytest.raises(ReportError, match="no entry ends within 2 MiB"):
        list(read_list(path))


def test_json_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('[{"id": 1, "signals": ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(ReportError, match="element 1: is nested more than 64 levels deep"):
        peak_of(path, form="hma")
    path.write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(ReportError, match="no bank content"):
        peak_of(path, form="hma")
    path.write_text('[{"id": 1, "signals": 1}, ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(ReportError, match="signals is no object"):
        peak_of(path, form="hma")


def test_json_brackets_after_the_entries_are_refused(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(f'[{{"id": 1, "signals": {{"pdq": "{VALUE}"}}}}, ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(ReportError, match="element 2: is nested more than 64 levels deep"):
        peak_of(path)


def test_xml_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "list.xml"
    path.write_text(ncmec_text(["<a>" * 100_000]), encoding="utf-8")
    with pytest.raises(ReportError, match="nested more than 32 levels deep"):
        peak_of(path)


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "-0", "1e5"])
def test_json_numbers_without_end_are_refused(tmp_path, number):
    path = tmp_path / "list.json"
    text = f'[{{"id": 1, "signals": {{"pdq": "{VALUE}"}}, "disable_until_ts": {number}}}]'
    path.write_text(text, encoding="utf-8")
    if number == "-0":
        assert len(list(read_list(path))) == 1
        return
    with pytest.raises(ReportError, match=r"element 1|neither HMA"):
        list(read_list(path))


def test_half_a_character_does_not_get_further(tmp_path):
    """JSON can carry a lone surrogate, and no store can."""
    path = tmp_path / "list.json"
    text = f'[{{"id": 1, "signals": {{"pdq": "{VALUE}"}}, "note": "\\ud800"}}]'
    path.write_text(text, encoding="utf-8")
    (found,) = read_list(path)
    assert found.tags[0].encode()


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE queryResult SYSTEM "http://127.0.0.1:9/x.dtd">',
        '<!DOCTYPE queryResult [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE queryResult [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE queryResult [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]>',
        "<!DOCTYPE queryResult>",
    ],
)
def test_xml_with_a_dtd_or_entities_is_not_read(tmp_path, prologue):
    path = tmp_path / "list.xml"
    good = ncmec_text([ncmec_image("a", {"pdq": VALUE})])
    path.write_text(good.replace("\n<queryResult", f"\n{prologue}<queryResult"), encoding="utf-8")
    with pytest.raises(ReportError, match="DTD or entities"):
        list(read_list(path))


def test_xml_with_an_entity_that_nobody_declared(tmp_path):
    path = tmp_path / "list.xml"
    path.write_text(ncmec_text([ncmec_image("&boom;", {"pdq": VALUE})]), encoding="utf-8")
    with pytest.raises(ReportError, match="line 4: is no XML"):
        list(read_list(path))


def test_other_xml_is_no_list(tmp_path):
    path = tmp_path / "list.xml"
    path.write_text(f"<html><body><image>{VALUE}</image></body></html>", encoding="utf-8")
    with pytest.raises(ReportError, match="not NCMEC's"):
        list(read_list(path))


def test_a_kind_that_is_no_word_is_refused(tmp_path):
    path = tmp_path / "bank.json"
    path.write_text(json.dumps([{"id": 1, "signals": {"<b>\x1b[31m": VALUE}}]), encoding="utf-8")
    with pytest.raises(ReportError, match="kind of its hash is no word") as caught:
        list(read_list(path))
    assert "\x1b" not in str(caught.value)
