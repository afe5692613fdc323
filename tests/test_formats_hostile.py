"""Lists that were damaged, or written to harm: every entry is read or counted, or the error says why."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes_lists import (
    LIST_NAMES,
    ncmec_image,
    ncmec_text,
    some_codes,
    stopncii_page,
    stopncii_record,
    write_list,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.finding import ReportError
from reports.references.formats import FORMS, ListedSignal, Unmatchable, read_list
from reports.references.pictures import Rejected

ROOT = Path(__file__).resolve().parents[1]
CODES = some_codes(3)
VALUE, OTHER = CODES[0].hex(), CODES[1].hex()
PAGE, RECORD = stopncii_page, stopncii_record


@pytest.fixture
def refused(tmp_path):
    """Write a list and return why it is not read."""

    def read(content: str | bytes, name: str = "list", **how) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ReportError) as caught:
            list(read_list(path, **how))
        message = str(caught.value)
        assert name in message
        assert VALUE[:8] not in message
        return message

    return read


@pytest.fixture
def read(tmp_path):
    def write_and_read(content: str, **how):
        path = tmp_path / "list"
        path.write_text(content, encoding="utf-8")
        return list(read_list(path, **how))

    return write_and_read


def why_not(path: Path, form: str | None) -> str | None:
    """Why a list is not read; None: it is."""
    try:
        for _ in read_list(path, form=form):
            pass
    except ReportError as error:
        return str(error)
    return None


def samples() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return {form: write_list(Path(folder), form, CODES).read_bytes() for form in FORMS}


SAMPLES = samples()
JUNK = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [b"\x00", b"\xff\xfe", codecs.BOM_UTF8, b'"', b"\r", b"<", b"&", b"{", b"]", b"9" * 50, b","]
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    form=st.sampled_from(FORMS),
    told=st.booleans(),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), JUNK), min_size=1, max_size=4),
)
def test_a_damaged_list_is_read_or_refused_by_name(form, told, changes):
    content = SAMPLES[form]
    for place, removed, junk in changes:
        at = int(place * len(content))
        content = content[:at] + junk + content[at + removed :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LIST_NAMES[form]
        path.write_bytes(content)
        said = why_not(path, form if told else None)
        assert said is None or (path.name in said and "; " in said)


@pytest.mark.parametrize("form", FORMS)
def test_a_list_that_is_cut_off_anywhere_loses_no_entry_in_silence(tmp_path, form):
    whole = SAMPLES[form]
    path = tmp_path / LIST_NAMES[form]
    for end in range(1, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:end])
        if why_not(path, form) is None:
            # What is left of lines may be a whole list, and what is left of a hash a shorter kind.
            assert form in ("plain", "dataset", "te", "csv")
            found = list(read_list(path, form=form))
            codes = [one.code for one in found if isinstance(one, ListedSignal)]
            assert codes == [code for code in CODES if code.hex().encode() in whole[:end]]
            assert len(found) - len(codes) <= 1


@pytest.mark.parametrize("form", [None, *FORMS])
def test_a_pipe_is_not_waited_for(tmp_path, form):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ReportError, match="is a pipe or a device; write the list to a file"):
            list(read_list(path, form=form))


def test_a_link_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ReportError, match="cannot be read"):
        list(read_list(tmp_path / "loop"))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "parquet"])
def test_utf_16_and_packed_lists_are_told_as_such(refused, form):
    text = SAMPLES[form].decode()
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        assert "save the list as UTF-8" in refused(text.encode(encoding))
    packed = gzip.compress(SAMPLES[form])
    for told in (None, form):
        assert "is packed with gzip; unpack it first" in refused(packed, form=told)


@pytest.mark.parametrize("digits", [20, 5_000, 65_529, 1_000_000])
@pytest.mark.parametrize("form", ["hma", None])
def test_a_number_of_many_digits_does_not_end_the_interpreter(tmp_path, digits, form):
    """With ijson's default arithmetic it was a segmentation fault, so this asks another process."""
    path = tmp_path / "list.json"
    path.write_text(f'[{{"id": {"9" * digits}, "signals": {{"pdq": "{VALUE}"}}}}]', encoding="utf-8")
    code = (
        "import sys\nfrom pathlib import Path\nfrom reports.finding import ReportError\n"
        "from reports.references.formats import read_list\n"
        "try:\n    list(read_list(Path(sys.argv[1]), form=sys.argv[2] or None))\n"
        "except ReportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), form or ""],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "list.json" in done.stdout


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ('[{"id":1,"id":2,"signals":{"pdq":"V"}}]', "element 1", "the same key twice"),
        ('[{"id":1,"signals":{"pdq":"V","pdq":"W"}}]', "element 1", "the same key twice"),
        (
            '{"a":[{"id":1,"signals":{"pdq":"V"}}],"b":[{"id":2,"signals":{"pdq":"W"}}]}',
            "element 2",
            "another place",
        ),
        (
            '{"1":{"id":1,"signals":{"pdq":"V"}},"2":{"id":2,"signals":{"pdq":"W"}}}',
            "element 2",
            "another place",
        ),
        ('[{"id":1,"signals":{"pdq":"V"}},[{"id":2,"signals":{"pdq":"W"}}]]', "element 2", "another place"),
        ('[{"id":1,"signals":{"pdq":"V"}}] {"message":"denied"}', "element 2", "document without entries"),
        ('{"message":"denied"} [{"id":1,"signals":{"pdq":"V"}}]', "element 1", "document without entries"),
        ('[{"id":1,"signals":{"pdq":"V"}},{"id":2,"signals":{}},]', "element 2", "include_signals"),
        (
            '[{"id":1,"signals":{"pdq":"V"},"bank":{"matching_enabled_ratio":"0"}}]',
            "element 1",
            "is no number",
        ),
        ('[{"id":"' + "x" * 600 + '","signals":{"pdq":"V"}}]', "element 1", "its id is longer than 512"),
        ('[{"id":1,"note":"' + "x" * 5_000 + '","signals":{"pdq":"V"}}]', "element 1", "longer than 4,096"),
    ],
)
def test_no_entry_of_json_is_passed_over(refused, text, place, reason):
    message = refused(text.replace("V", VALUE).replace("W", OTHER))
    assert place in message
    assert reason in message


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"hashStatus": "Expired"}, "hashStatus is none of withdrawn"),
        ({"lastModtimestamp": True}, "lastModtimestamp is no date"),
        ({"CSPFeedbacks": [{"feedbackValue": "Blocked", "tags": 5}]}, "tags are no array"),
        ({"CSPFeedbacks": [{"feedbackValue": "Blocked", "tags": "Nude"}]}, "tags are no array"),
        ({"CSPFeedbacks": [{"feedbackValue": "Blocked", "tags": {"a": 1}}]}, "tags are no array"),
    ],
)
def test_a_record_of_stopncii_that_is_odd(refused, fields, reason):
    message = refused(json.dumps(PAGE([RECORD(VALUE, **fields)])))
    assert "element 1" in message
    assert reason in message


def test_stopncii_is_read_whatever_its_capitals_and_newest_fields(read):
    odd = {"signalType": "imagepdq", "hashRegions": ["UK"], "caseNumbers": []}
    feedback = [{"feedbackValue": "Undefined", "source": "x", "tags": None}]
    records = [RECORD(VALUE, **odd, CSPFeedbacks=feedback), RECORD(OTHER, hashStatus="withdrawn")]
    found = read(json.dumps(PAGE(records)))
    assert [type(one).__name__ for one in found] == ["ListedSignal", "Tombstone"]


def test_pages_that_are_missing_are_named(read):
    first, last = PAGE([RECORD(VALUE)]) | {"hasMoreRecords": True}, PAGE([RECORD(OTHER)])
    whole = f"{json.dumps(first)}\n{json.dumps(last)}"
    assert [type(one) for one in read(whole)] == [ListedSignal, ListedSignal]
    xml = ncmec_text([ncmec_image("a", {"pdq": VALUE})], following="/v2/entries?start=2001")
    for partial in (json.dumps(first), xml):
        entry, more = read(partial)
        assert isinstance(entry, ListedSignal)
        assert isinstance(more, Rejected)
        assert "more entries follow" in more.reason


def test_a_fingerprint_may_tell_its_kind_in_an_attribute(read):
    image = ncmec_image("a", {"pdq": VALUE, "md5": VALUE[:32]})
    for name in ("pdq", "md5"):
        image = image.replace(f"<{name}>", f'<fingerprint type="{name.upper()}">').replace(
            f"</{name}>", "</fingerprint>"
        )
    signal, other = read(ncmec_text([image]))
    assert isinstance(signal, ListedSignal)
    assert isinstance(other, Unmatchable)
    assert other.kind == "md5"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("<id>a</id>", "<id>a</id><id>b</id>"), "image[1]: has more than one <id>"),
        (
            ("</image>", f"<fingerprints><pdq>{OTHER}</pdq></fingerprints></image>"),
            "more than one <fingerprints>",
        ),
        (("</queryResult>", "</queryResult><queryResult/>"), "a second document begins"),
        (("UTF-8", "shift_jis"), "in an encoding that is not read; save the list as UTF-8"),
        (("UTF-8", "utf-7"), "in an encoding that is not read"),
        (("UTF-8", "zlib"), "in an encoding that is not read"),
        (("UTF-8", "no-such"), "in an encoding that is not read"),
    ],
)
def test_xml_that_could_lose_an_entry_is_refused(refused, change, reason):
    text = ncmec_text([ncmec_image("a", {"pdq": VALUE})])
    assert change[0] in text
    assert reason in refused(text.replace(*change))


def test_a_table_of_one_column_is_a_table(read, refused):
    assert [one.kind for one in read(f"MD5\n{VALUE[:32]}\n")] == ["md5"]
    assert [one.signal for one in read(f"Value,Signal\n{VALUE},pdq\n")] == ["pdq"]
    assert "--map value=COLUMN" in refused(f"hash\n{VALUE}\n")
    assert 'more than one column "value"' in refused(f"Value,VALUE\n{VALUE},{VALUE}\n")


@pytest.mark.parametrize("columns", [200, 100_000])
def test_many_columns_are_no_harm(read, columns):
    assert len(read(f"value{',' * columns}\n{VALUE}{',' * columns}\n")) == 1


def parquet(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62], pa.timestamp("us")),
        pa.array([2**40], pa.timestamp("s")),
        pa.array([5], pa.timestamp("s", "Mars/Phobos")),
        pa.array([5], pa.duration("s")),
        pa.array([float("nan")]),
    ],
)
def test_parquet_names_the_row_of_a_date_that_is_none(tmp_path, column):
    path = parquet(tmp_path / "t.parquet", value=[VALUE], fetched_at=column)
    with pytest.raises(ReportError, match=r"row 1: .*date"):
        list(read_list(path))


def test_parquet_reads_days_and_digits_in_binary(tmp_path):
    day = pa.array([20_000], pa.date32())
    (one,) = read_list(parquet(tmp_path / "t.parquet", value=[VALUE.encode()], fetched_at=day))
    assert one.code == CODES[0]
    assert one.fetched_at == datetime(2024, 10, 4, tzinfo=UTC)


@pytest.mark.parametrize("damage", [b"", b"\n", b"\x00" * 4_096])
def test_parquet_that_does_not_begin_or_end_as_one(tmp_path, damage):
    path = tmp_path / "t.parquet"
    path.write_bytes(SAMPLES["parquet"][:4] + damage + SAMPLES["parquet"][60:])
    with pytest.raises(ReportError, match="is cut off or no parquet file"):
        list(read_list(path))
    path.write_bytes(damage * 100 + b"x" * 100)
    with pytest.raises(ReportError, match="is cut off or no parquet file"):
        list(read_list(path, form="parquet"))


_MEMORY = """
import resource, sys
from pathlib import Path
from reports.finding import ReportError
from reports.references.formats import read_list

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
try:
    print(sum(1 for _ in read_list(Path(sys.argv[1]))))
except ReportError as error:
    print(error)
print(peak() - before)
"""


@pytest.mark.parametrize("repeated", [True, False])
def test_parquet_with_long_cells_takes_little_memory(tmp_path, repeated):
    path = tmp_path / "t.parquet"
    # As text that is 8 GiB in one batch, from a file of some KiB.
    cells = pa.array(["a" * (1 << 20)] if repeated else ["a" * (1 << 20)] * 400)
    if repeated:
        cells = pa.DictionaryArray.from_arrays(pa.array([0] * 8_192, pa.int32()), cells)
    table = pa.table({"value": [VALUE] * len(cells), "tags": cells})
    pq.write_table(table, path, compression="zstd", use_dictionary=["tags"] if repeated else False)
    assert path.stat().st_size < 1 << 20
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    said, megabytes = done.stdout.splitlines()
    assert "row 1: its classification, tags and source are longer" in said
    assert int(megabytes) < 200
