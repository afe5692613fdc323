"""Lists of references: every format gives the same signals, faults are named by place, never by digits."""

from __future__ import annotations

import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes_lists import LIST_NAMES, hma_content, malformed, some_codes, stopncii_record, write_list
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.finding import ReportError
from reports.references.formats import FORMS, ListedSignal, Tombstone, Unmatchable, read_list
from reports.references.formats.sniffing import sniff
from reports.references.pictures import Rejected

CODES = some_codes(5)
VALUE = CODES[0].hex()
MAPPING = {"value": "hash", "ref_id": "id", "fetched_at": "seen"}


@pytest.fixture
def listed(tmp_path):
    def write(content: str | bytes, name: str = "list.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def no_digits_in(message: str, *values: str) -> bool:
    return not any(
        value[at : at + 6].lower() in message.lower() for value in values for at in range(len(value) - 5)
    )


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_every_format_tells_the_same_signals(tmp_path, form, count, seed):
    codes = some_codes(count, seed)
    entries = list(read_list(write_list(tmp_path, form, codes)))
    assert [(one.signal, one.code) for one in entries] == [("pdq", code) for code in codes]
    assert len({one.ref_id for one in entries}) == count


@pytest.mark.parametrize("form", FORMS)
def test_a_format_is_told_by_its_content_whatever_the_file_is_called(tmp_path, form):
    path = write_list(tmp_path, form, CODES)
    assert sniff(path) == form
    renamed = path.rename(tmp_path / "list.dat")
    assert sniff(renamed) == form
    assert list(read_list(renamed, form=form)) == list(read_list(renamed))


@pytest.mark.parametrize("name", malformed(VALUE))
def test_a_fault_is_named_by_its_place_and_reason_and_never_by_digits(listed, name):
    form, text, place, reason = malformed(VALUE)[name]
    path = listed(text, "given.list")
    with pytest.raises(ReportError) as caught:
        list(read_list(path, form=form, mapping=MAPPING if form == "csv" else None))
    message = str(caught.value)
    assert message.startswith("given.list, ")
    assert place in message
    assert reason in message
    assert "; " in message
    assert no_digits_in(message, VALUE)
    # Nor by an error that was its cause, whose words a traceback would print.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("form", [form for form in FORMS if form != "parquet"])
def test_entries_before_a_fault_are_read_before_it_is_found(tmp_path, form):
    path = write_list(tmp_path, form, CODES)
    text = path.read_text(encoding="utf-8").replace(CODES[4].hex(), CODES[4].hex()[:-1])
    path.write_text(text, encoding="utf-8")
    entries = read_list(path)
    assert [one.code for one in itertools.islice(entries, 4)] == CODES[:4]
    with pytest.raises(ReportError, match="63 digits"):
        next(entries)


@pytest.mark.parametrize("form", FORMS)
def test_zeros_and_ones_are_rejected_with_a_reason(tmp_path, form):
    plain = [bytes(32), CODES[0], b"\xff" * 32, bytes(31) + b"\x01"]
    entries = list(read_list(write_list(tmp_path, form, plain)))
    assert [type(one) for one in entries] == [Rejected, ListedSignal, Rejected, Rejected]
    assert "nearly all of its bits" in entries[0].reason
    assert len({one.ref_id for one in entries}) == 4


@pytest.mark.parametrize("form", FORMS)
def test_no_repr_gives_a_hash_away(tmp_path, form):
    for one in read_list(write_list(tmp_path, form, CODES)):
        assert no_digits_in(repr(one), one.code.hex())
        assert repr(one.code) not in repr(one)


def test_a_tombstone_shows_no_hash():
    assert "code" not in repr(Tombstone(place="element 1", ref_id="1", signal="pdq", code=CODES[0]))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "parquet"])
@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(listed, form, content):
    with pytest.raises(ReportError, match=r"list\.txt"):
        list(read_list(listed(content), form=form))
    with pytest.raises(ReportError, match="holds no hash"):
        list(read_list(listed(content)))


@pytest.mark.parametrize("form", FORMS)
def test_a_list_without_entries_is_an_error(tmp_path, form):
    path = write_list(tmp_path, form, [])
    with pytest.raises(ReportError, match=r"holds no entry|no bank content|no hash record|holds no hash"):
        list(read_list(path, form=form))


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("parquet", "ncmec")])
def test_a_file_that_is_no_utf_8_text(tmp_path, form):
    path = write_list(tmp_path, form, CODES)
    # An e acute in Latin-1, where each format lets words stand.
    path.write_bytes(path.read_bytes().replace(b"\n", b" \xe9\n", 1) if form == "plain" else b"\xe9" * 100)
    with pytest.raises(ReportError, match=r"UTF-8|no bank content|no hash record"):
        list(read_list(path, form=form))


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_file(tmp_path, form):
    for asked in (form, None):
        with pytest.raises(ReportError, match="cannot be read"):
            list(read_list(tmp_path / "none", form=asked))


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_is_no_list(tmp_path, form):
    with pytest.raises(ReportError, match="cannot be read"):
        list(read_list(tmp_path, form=form))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "parquet"])
def test_a_byte_order_mark_is_passed_over(tmp_path, form):
    path = write_list(tmp_path, form, CODES)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [one.code for one in read_list(path)] == CODES


@pytest.mark.parametrize(
    "content",
    [
        f"{VALUE},csam\n",
        f"pdq,{VALUE}\n",
        f"{VALUE};1;2;2020-07-01;x\n",
        f"{VALUE},1,2,3,4,5\n",
        '{"hashes": []}',
        "[]",
        "{",
        '[{"hashValue": "1", "signals": {}}]',
    ],
)
def test_what_could_be_several_formats_asks_for_one(listed, content):
    with pytest.raises(ReportError, match="--format") as caught:
        list(read_list(listed(content)))
    assert no_digits_in(str(caught.value), VALUE)


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x1f\x8b\x08", "gzip"), (b"PK\x03\x04", "zip"), (b"\x28\xb5\x2f\xfd", "zstd")]
)
def test_a_packed_list_has_to_be_unpacked(listed, magic, name):
    with pytest.raises(ReportError, match=f"{name}; unpack it"):
        list(read_list(listed(magic + b"\x00" * 20)))


def test_an_unknown_format_names_those_that_there_are(listed):
    with pytest.raises(ReportError, match=r'no "xlsx"; there are plain, .*parquet'):
        list(read_list(listed(VALUE), form="xlsx"))


def test_a_mapping_is_for_tables_only(listed):
    with pytest.raises(ReportError, match="--map is for csv and parquet"):
        list(read_list(listed(VALUE), form="plain", mapping={"value": "hash"}))


@pytest.mark.parametrize("form", ["hma", "stopncii"])
def test_json_documents_one_after_the_other(listed, form):
    make = {
        "hma": lambda at: hma_content(at, CODES[at].hex()),
        "stopncii": lambda at: stopncii_record(CODES[at].hex()),
    }[form]
    text = "\n".join(json.dumps(make(at)) for at in range(5))
    assert [one.code for one in read_list(listed(text))] == CODES


def test_64_digits_are_pdq_unless_they_say_otherwise(listed):
    found = list(read_list(listed(f"{VALUE}\nphash256 {VALUE}\nsha256 {VALUE}\npdq {VALUE.upper()}\n")))
    assert [one.signal for one in found if isinstance(one, ListedSignal)] == ["pdq", "phash256", "pdq"]
    assert [one.kind for one in found if isinstance(one, Unmatchable)] == ["sha256"]
    assert [one.ref_id for one in found] == ["1", "2", "3", "4"]


def test_names_of_the_fakes_are_all_formats():
    assert set(LIST_NAMES) == set(FORMS)


def test_parquet_that_is_cut_off(tmp_path):
    path = write_list(tmp_path, "parquet", CODES)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ReportError, match="cut off"):
        list(read_list(path))


def test_parquet_faults_name_the_row(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"value": [VALUE, VALUE[:-3]]}), path)
    with pytest.raises(ReportError, match="row 2: 61 digits") as caught:
        list(read_list(path))
    assert no_digits_in(str(caught.value), VALUE)
