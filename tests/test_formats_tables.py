"""Tables of references, CSV and parquet: which column holds what."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes_lists import csv_text, some_codes

from reports.finding import Opinion, ReportError
from reports.references.formats import ListedSignal, Unmatchable, read_list

CODES = some_codes(3)
VALUE = CODES[0].hex()
MD5, SHA1 = VALUE[:32], VALUE[:40]


@pytest.fixture
def read(tmp_path):
    def write_and_read(content: str, name: str = "list", **how):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return list(read_list(path, **how))

    return write_and_read


def kinds(entries) -> Counter:
    return Counter(one.kind for one in entries if isinstance(one, Unmatchable))


def test_csv_with_a_mapping_reads_every_column_that_is_named(read):
    entries = read(
        csv_text(
            [
                ("uuid", "PDQ hash", "q", "view", "cat", "labels", "from", "on", "off till", "m", "other"),
                ("u1", VALUE, "88", "negative", "A", "x y", "hotline", "2026-01-02", "1800000000", MD5, "z"),
                ("u2", "", "", "", "", "", "", "", "", MD5, ""),
            ]
        ).replace(",", ";"),
        mapping={
            "ref_id": "uuid",
            "value": "PDQ hash",
            "quality": "q",
            "opinion": "view",
            "classification": "cat",
            "tags": "labels",
            "source": "from",
            "fetched_at": "on",
            "disable_until": "off till",
            "md5": "m",
        },
    )
    assert entries[0] == ListedSignal(
        place="line 2",
        ref_id="u1",
        signal="pdq",
        code=CODES[0],
        quality=88,
        opinion=Opinion.NEGATIVE,
        classification="A",
        tags=("x", "y"),
        source="hotline",
        fetched_at=datetime(2026, 1, 2, tzinfo=UTC),
        disable_until=datetime.fromtimestamp(1_800_000_000, UTC),
    )
    assert [(one.ref_id, one.kind) for one in entries[1:]] == [("u1", "md5"), ("u2", "md5")]


def test_csv_without_a_mapping_knows_our_own_names(read):
    entries = read(csv_text([("value", "signal"), (VALUE, "phash256"), (MD5, ""), (VALUE, "SHA256")]))
    assert entries[0].signal == "phash256"
    assert (entries[0].ref_id, entries[0].numbered) == ("2", True)
    assert kinds(entries) == {"md5": 1, "sha256": 1}
    assert len(read(f"value\n{VALUE}\n")) == 1


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"value": "nothing"}, 'has no column "nothing"'),
        ({"value": "twice"}, 'has more than one column "twice"'),
        ({"hash": "h"}, 'there is no "hash"; there are value'),
        ({"ref_id": "h"}, "which column holds the hash"),
        (None, "which column holds the hash"),
    ],
)
def test_a_mapping_that_does_not_fit_is_explained(read, mapping, reason):
    with pytest.raises(ReportError, match=reason):
        read(csv_text([("h", "twice", "twice"), (VALUE, "", "")]), mapping=mapping)


def test_quality_is_a_number_up_to_100(read):
    for wrong in ("101", "-1", "high", "9" * 5000):
        with pytest.raises(ReportError, match="line 2: its quality"):
            read(csv_text([("value", "quality"), (VALUE, wrong)]))


def test_parquet_reads_text_bytes_lists_and_dates(tmp_path):
    path = tmp_path / "table.parquet"
    day = datetime(2026, 5, 1, tzinfo=UTC)
    pq.write_table(
        pa.table(
            {
                "ignored": [{"a": 1}] * 2,
                "code": pa.array(CODES[:2], pa.binary(32)),
                "id": [5, 6],
                "words": [["a", "b c"], []],
                "day": pa.array([day, None], pa.timestamp("us", "UTC")),
                "m": [None, MD5],
            }
        ),
        path,
    )
    mapping = {"value": "code", "ref_id": "id", "tags": "words", "disable_until": "day", "md5": "m"}
    entries = list(read_list(path, mapping=mapping))
    assert [one.code for one in entries[:2]] == CODES[:2]
    assert [one.ref_id for one in entries] == ["5", "6", "6"]
    assert (entries[0].tags, entries[0].disable_until) == (("a", "b c"), day)
    assert kinds(entries) == {"md5": 1}
