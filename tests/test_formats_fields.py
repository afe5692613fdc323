"""What each format says of a hash besides its value, and what is counted as not matchable."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from fakes_lists import (
    csv_text,
    hma_content,
    ncmec_deleted,
    ncmec_image,
    ncmec_text,
    some_codes,
    stopncii_page,
    stopncii_record,
)

from reports.finding import Opinion
from reports.references.formats import ListedSignal, Tombstone, Unmatchable, read_list
from reports.references.formats.said import FOREVER

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


def test_a_plain_list_of_everything_counts_what_cannot_be_matched(read):
    entries = read(
        f"# partner, version 7\n{VALUE}\n\nphash {VALUE[:16]}\n{VALUE[:16]}\n{MD5}\n{SHA1}\nmd5 {MD5}\n"
        f"HASH_SHA256 {VALUE}\nphotodna 1,2,3,4\nvideo_md5 {MD5}\nraw_text some words\nnetclean {SHA1}\n"
        f"{VALUE * 2}\npdq\t{VALUE}\n"
    )
    assert [(one.ref_id, one.signal) for one in entries if isinstance(one, ListedSignal)] == [
        ("2", "pdq"),
        ("4", "phash"),
        ("5", "phash"),
        ("15", "pdq"),
    ]
    assert kinds(entries) == {
        "md5": 2,
        "sha1": 1,
        "sha256": 1,
        "sha512": 1,
        "photodna": 1,
        "video_md5": 1,
        "raw_text": 1,
        "netclean": 1,
    }
    assert len(entries) == 13
    assert all(one.numbered for one in entries if isinstance(one, ListedSignal))


def test_dataset_tells_category_tags_and_collaboration(read):
    header = ("signal_type", "signal_str", "collab", "category", "tags")
    names = ("POSITIVE_CLASS", "INVESTIGATION_SEED", "NEGATIVE_CLASS", "DISPUTED")
    entries = read(
        csv_text(
            [
                header,
                *(("pdq", VALUE, "Sample, Data", name, "csam a1") for name in names),
                ("video_md5", MD5, "c", "POSITIVE_CLASS", ""),
                ("url", "https://x.test/?a=b", "c", "POSITIVE_CLASS", ""),
            ]
        )
    )
    assert [one.opinion for one in entries[:4]] == [
        Opinion.POSITIVE,
        Opinion.SEED,
        Opinion.NEGATIVE,
        Opinion.DISPUTED,
    ]
    assert (entries[0].tags, entries[0].source, entries[0].place) == (
        ("csam", "a1"),
        "Sample, Data",
        "line 2",
    )
    assert kinds(entries) == {"video_md5": 1, "url": 1}
    assert "Sample" not in repr(entries[0])


def test_te_tells_labels_dates_and_its_kind_by_its_name(read):
    rows = [
        (VALUE, 11, 21, "2020-07-01T18:31:15+0000", "media_type_photo true_positive"),
        (VALUE, 12, 22, "mine", "false_positive"),
        (VALUE, 13, 23, "1593628275", "disputed x"),
        (VALUE, 14, 24, "", ""),
    ]
    entries = read(csv_text(rows), "simple.HASH_PDQ.te")
    assert [one.opinion for one in entries] == [
        Opinion.POSITIVE,
        Opinion.NEGATIVE,
        Opinion.DISPUTED,
        Opinion.POSITIVE,
    ]
    assert [one.ref_id for one in entries] == ["11", "12", "13", "14"]
    assert entries[0].tags == ("media_type_photo",)
    assert entries[0].fetched_at == entries[2].fetched_at == datetime(2020, 7, 1, 18, 31, 15, tzinfo=UTC)
    assert entries[1].fetched_at is None
    assert not entries[0].numbered
    assert kinds(read(csv_text(rows), "simple.HASH_SHA256.te")) == {"sha256": 4}
    assert [one.ref_id for one in read(csv_text([(VALUE, 21, "mine", "a")]))] == ["21"]


def test_hma_tells_bank_exchange_note_and_when_it_is_off(read):
    until = datetime(2027, 3, 1, tzinfo=UTC)
    contents = [
        hma_content(7, VALUE, signals={"pdq": VALUE, "vmd5": MD5}, note="ask Mira"),
        hma_content(8, VALUE, disable_until_ts=int(until.timestamp())),
        hma_content(9, VALUE, disable_until_ts=0),
        hma_content(10, VALUE, bank={"name": "OFF", "matching_enabled_ratio": 0.0}),
        hma_content(11, VALUE, metadata={"collab": {"NCMEC": ["42-a"]}, "json": {"signals": {"x": 1}}}),
    ]
    entries = read(json.dumps({"contents": contents}))
    assert [one.ref_id for one in entries] == ["7", "7", "8", "9", "10", "11"]
    assert kinds(entries) == {"video_md5": 1}
    assert (entries[0].classification, entries[0].tags) == ("HOTLINE", ("note: ask Mira",))
    assert [one.disable_until for one in entries[2:]] == [until, FOREVER, FOREVER, None]
    assert (entries[5].source, entries[0].source) == ("NCMEC", "")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Opinion.SEED),
        (["PendingReview"], Opinion.SEED),
        (["Blocked"], Opinion.POSITIVE),
        (["NotBlocked"], Opinion.DISPUTED),
        (["Blocked", "NotBlocked"], Opinion.DISPUTED),
        (["Blocked", "QualityUnknown"], Opinion.POSITIVE),
    ],
)
def test_stopncii_is_a_seed_until_a_platform_has_looked(read, values, expected):
    feedbacks = [
        {"source": f"site {at}", "feedbackValue": one, "tags": ["b", "a"]} for at, one in enumerate(values)
    ]
    (found,) = read(json.dumps(stopncii_page([stopncii_record(VALUE, CSPFeedbacks=feedbacks)])))
    assert found.opinion is expected
    assert found.tags == (("a", "b") if values else ())
    assert found.source == ", ".join(f"site {at}" for at in range(len(values)))
    assert found.fetched_at == datetime.fromtimestamp(1_700_000_000, UTC)


def test_stopncii_withdrawn_and_deleted_are_tombstones_that_know_their_value(read):
    records = [
        stopncii_record(CODES[0].hex()),
        stopncii_record(CODES[1].hex(), hashStatus="Withdrawn"),
        stopncii_record(CODES[2].hex(), hashStatus="Deleted"),
        stopncii_record(MD5, hashStatus="Deleted", signalType="VideoMD5"),
        stopncii_record(MD5, signalType="VideoMD5"),
    ]
    entries = read(json.dumps([stopncii_page(records[:2]), stopncii_page(records[2:])]))
    assert [type(one) for one in entries] == [ListedSignal, Tombstone, Tombstone, Tombstone, Unmatchable]
    assert [one.code for one in entries[:3]] == CODES
    assert (entries[3].code, entries[4].kind) == (None, "video_md5")


def test_case_numbers_are_not_read(read):
    (found,) = read(json.dumps(stopncii_page([stopncii_record(VALUE)])))
    assert "00000000-0000" not in repr(found)


def test_ncmec_tells_classification_member_and_votes(read):
    against = '<feedback><negativeFeedback type="Pdq"><reasons/></negativeFeedback></feedback>'
    other = '<feedback><negativeFeedback type="Md5"><reasons/></negativeFeedback></feedback>'
    entries = read(
        ncmec_text(
            [
                ncmec_image("a", {"md5": MD5, "sha1": SHA1, "pdna": "A1...", "pdq": VALUE, "netclean": "x"}),
                ncmec_image("b", {"pdq": VALUE}, feedback=against, classification="B2", member="7"),
                ncmec_image("c", {"pdq": VALUE}, feedback=other),
                ncmec_image("d", {}),
                ncmec_deleted("e"),
            ],
            [
                '<video><member id="42">M</member><timestamp>2026-10-24T15:00:00Z</timestamp><id>v</id>'
                f'<fingerprints><md5>{MD5}</md5><tmk-pdqf rel="self" href="/v2/x"/></fingerprints></video>',
                '<deletedVideo><member id="42">M</member><id>w</id></deletedVideo>',
            ],
        )
    )
    signals = [one for one in entries if isinstance(one, ListedSignal)]
    assert [(one.ref_id, one.classification, one.opinion) for one in signals] == [
        ("42-a", "A1", Opinion.POSITIVE),
        ("7-b", "B2", Opinion.DISPUTED),
        ("42-c", "A1", Opinion.POSITIVE),
    ]
    assert kinds(entries) == {
        "md5": 1,
        "sha1": 1,
        "photodna": 1,
        "netclean": 1,
        "no_fingerprint": 1,
        "video_md5": 1,
        "video_tmk_pdqf": 1,
    }
    assert [one.ref_id for one in entries if isinstance(one, Tombstone)] == ["42-e", "42-w"]
    assert signals[0].source == "Example Member"
    assert signals[0].fetched_at == datetime(2026, 10, 24, 15, tzinfo=UTC)
    assert signals[0].place == "queryResult/images/image[1]/fingerprints"


def test_contradictory_entries_are_told_one_by_one(read):
    """The store reports them; it is given value, opinion and id of each."""
    entries = read(
        csv_text(
            [
                ("ref_id", "value", "opinion"),
                ("a", VALUE, "positive"),
                ("b", VALUE, "negative"),
                ("a", CODES[1].hex(), "positive"),
            ]
        )
    )
    assert [(one.ref_id, one.code, one.opinion.value) for one in entries] == [
        ("a", CODES[0], "positive"),
        ("b", CODES[0], "negative"),
        ("a", CODES[1], "positive"),
    ]
