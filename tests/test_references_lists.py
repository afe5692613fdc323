"""Lists of hashes: what is kept of their entries, and what becomes of those that contradict each other."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from fakes_references import codes, csv_list, open_references, plain_list
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.finding import Opinion, ReportError
from reports.references import blocks, listing
from reports.references.collate import Collation
from reports.references.formats import ListedSignal, Tombstone
from reports.references.opinions import OPINIONS, settled

A, B, C, D = (code.hex() for code in codes(4))
SHORT = codes(1, size=8)[0].hex()
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def references(tmp_path):
    return open_references(tmp_path)


def loaded(references, name, **asked):
    """Each reference's opinion."""
    (index,) = references.load([name], **asked)
    return dict(zip(index.ref_ids.to_pylist(), [OPINIONS[code] for code in index.opinions], strict=True))


def test_a_list_becomes_a_set(references, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(f"{A}\n{SHORT}\n{'0' * 64}\n{A}\nmd5 {'ab' * 16}\nphash256 {B}\n")
    added = references.add_list("partner", path, now=NOW)
    assert (added.kind, added.entries, added.duplicates, added.left_out) == ("hashes", 3, 1, 1)
    assert [one.ref_id for one in added.rejected] == ["3"]
    assert added.unmatchable == {"md5": 1}
    assert added.opinions == {"positive": 3}
    assert (added.form, added.added_at, added.edition) == ("plain", NOW, 1)
    assert added.list_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert references.sets() == (added,)
    (index,) = references.load(["partner"])
    assert index.ref_ids.to_pylist() == ["1", "2", "6"]
    assert index.pdq.usable.tolist() == [True, False, False]
    assert index.phash.usable.tolist() == [False, True, False]
    assert index.phash256.usable.tolist() == [False, False, True]
    assert index.pdq.words[0].tobytes().hex() == A
    assert index.phash.words[1].tobytes().hex() == SHORT
    assert index.vectors == {}


def test_a_list_of_what_can_never_match_is_a_set_that_says_so(references, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(f"{'ab' * 16}\n{'cd' * 16}\n")
    added = references.add_list("partner", path)
    assert (added.entries, added.unmatchable) == (0, {"md5": 2})
    (index,) = references.load(["partner"])
    assert len(index) == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [(f"{A}\nxyz\n", "line 2"), ("0" * 64, "none of its 1 hashes can be used"), ("", "no hash")],
)
def test_a_bad_list_adds_nothing(references, tmp_path, content, reason):
    path = tmp_path / "list.txt"
    path.write_text(content)
    with pytest.raises(ReportError, match=reason):
        references.add_list("partner", path)
    assert references.sets() == ()
    assert not list((tmp_path / "lance").glob("reference_blocks*"))


def test_a_list_that_is_not_there(references, tmp_path):
    with pytest.raises(ReportError, match="cannot be read"):
        references.add_list("partner", tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("opinions", "final", "contradictions"),
    [
        (("positive", "negative"), "disputed", 1),
        (("negative", "seed"), "disputed", 1),
        (("negative", "negative"), "negative", 0),
        (("seed", "positive"), "positive", 0),
        (("positive", "disputed"), "disputed", 0),
        (("positive", "negative", "negative"), "disputed", 2),
        (("negative", "disputed", "positive"), "disputed", 1),
    ],
)
def test_opposite_opinions_of_one_hash_are_disputed(references, tmp_path, opinions, final, contradictions):
    rows = [{"value": A, "ref_id": f"r{place}", "opinion": one} for place, one in enumerate(opinions)]
    path = csv_list(tmp_path / "list.csv", *rows, {"value": B, "ref_id": "other", "opinion": "positive"})
    added = references.add_list("partner", path)
    assert (added.duplicates, added.contradictions) == (len(opinions) - 1, contradictions)
    assert len(added.contradictory) == contradictions
    assert loaded(references, "partner") == {"r0": Opinion(final), "other": Opinion.POSITIVE}
    assert added.opinions[final] >= 1
    assert sum(added.opinions.values()) == 2


def test_a_contradiction_with_a_line_that_was_sealed_long_ago(references, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 3)
    monkeypatch.setattr(listing, "ROWS", 3)
    rows = [{"value": code.hex(), "ref_id": f"r{place}"} for place, code in enumerate(codes(20))]
    denied = [{**rows[place], "opinion": "negative"} for place in (2, 7, 19)]
    added = references.add_list("partner", csv_list(tmp_path / "list.csv", *rows, *denied))
    assert added.contradictory == ("line 22", "line 23", "line 24")
    assert added.opinions == {"positive": 17, "disputed": 3}
    disputed = [name for name, one in loaded(references, "partner").items() if one is Opinion.DISPUTED]
    assert disputed == ["r2", "r7", "r19"]


def test_a_reference_with_two_hashes_of_one_kind_keeps_both_and_is_named(references, tmp_path):
    path = csv_list(
        tmp_path / "list.csv",
        {"value": A, "ref_id": "one", "opinion": "positive"},
        {"value": B, "ref_id": "two", "opinion": "positive"},
        {"value": C, "ref_id": "one", "opinion": "negative"},
        {"value": SHORT, "ref_id": "two", "opinion": "positive"},
    )
    added = references.add_list("partner", path)
    assert (added.entries, added.contradictions, added.contradictory) == (4, 1, ("line 4",))
    (index,) = references.load(["partner"])
    assert index.ref_ids.to_pylist() == ["one", "two"]
    assert index.owner.tolist() == [0, 0, 1, 1]
    assert index.pdq.usable.tolist() == [True, True, True, False]
    assert loaded(references, "partner") == {"one": Opinion.DISPUTED, "two": Opinion.POSITIVE}


def test_only_the_first_hundred_contradictions_are_named(references, tmp_path):
    rows = [{"value": code.hex(), "ref_id": "one"} for code in codes(151)]
    added = references.add_list("partner", csv_list(tmp_path / "list.csv", *rows))
    assert (added.contradictions, len(added.contradictory)) == (150, 100)


def test_disabled_hashes_are_matched_from_their_day_on(references, tmp_path):
    path = csv_list(
        tmp_path / "list.csv",
        {"value": A, "ref_id": "one", "disable_until": "2026-12-01"},
        {"value": B, "ref_id": "two"},
    )
    assert references.add_list("partner", path, now=NOW).disabled == 1
    assert list(loaded(references, "partner", now=NOW)) == ["two"]
    assert list(loaded(references, "partner", now=datetime(2026, 12, 1, tzinfo=UTC))) == ["one", "two"]


def test_the_quality_that_a_list_tells_is_asked_for(references, tmp_path):
    rows = [{"value": code, "quality": quality} for code, quality in ((A, "49"), (B, "50"), (C, ""))]
    references.add_list("partner", csv_list(tmp_path / "list.csv", *rows))
    (index,) = references.load(["partner"], min_pdq_quality=50)
    assert index.pdq.usable.tolist() == [False, True, True]


def test_what_a_giver_says_of_references_can_be_asked_for(references, tmp_path):
    path = csv_list(
        tmp_path / "list.csv",
        {"value": A, "ref_id": "one", "classification": "A1", "tags": "x y", "source": "member 7"},
        {"value": B, "ref_id": "two", "fetched_at": "2026-11-20T08:00:00Z"},
    )
    added = references.add_list("partner", path, source="the exchange")
    assert added.fetched_at == datetime(2026, 11, 20, 8, tzinfo=UTC)
    found = references.details("partner", ["one", "two", "three"])
    assert list(found) == ["one", "two"]
    assert (found["one"].classification, found["one"].tags, found["one"].source) == (
        "A1",
        ("x", "y"),
        "member 7",
    )
    assert (found["two"].source, found["two"].fetched_at) == ("the exchange", added.fetched_at)
    assert "member 7" not in repr(found["one"])


def test_many_lines_make_many_blocks(references, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 100)
    hashes = codes(950)
    seen = []
    added = references.add_list(
        "partner", plain_list(tmp_path / "list.txt", hashes), progress=lambda read: seen.append(read)
    )
    assert (added.entries, added.parts, seen) == (950, {"hashes": 10}, [950])
    (index,) = references.load(["partner"])
    assert [row.tobytes() for row in index.pdq.words] == hashes
    assert index.ref_ids[949].as_py() == "950"


_SOME = st.integers(0, 5)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_SOME, _SOME, st.sampled_from(list(Opinion))), max_size=40), st.sets(_SOME), _SOME)
def test_a_collation_agrees_with_what_one_would_do_by_hand(entries, buried, size):
    collation, kept, numbers = Collation(), [], []
    signals = [
        ListedSignal(place=str(place), ref_id=f"r{ref}", signal="pdq", code=bytes([code]), opinion=opinion)
        for place, (ref, code, opinion) in enumerate(entries)
    ]
    for start in range(0, len(signals), size + 1):
        part, owners = collation.take(signals[start : start + size + 1])
        kept += part
        numbers += owners
    for one in buried:
        collation.bury(Tombstone(place="", ref_id=f"r{one}"))

    by_code, opinion_of = {}, {}
    for one in signals:
        first = by_code.setdefault(one.code, one)
        before = opinion_of.get(first.code, one.opinion)
        opinion_of[first.code] = OPINIONS[settled(OPINIONS.index(before), OPINIONS.index(one.opinion))]
    refs = list(dict.fromkeys(one.ref_id for one in by_code.values()))
    assert kept == list(by_code.values())
    assert numbers == [refs.index(one.ref_id) for one in kept]
    assert collation.duplicates == len(signals) - len(kept)
    changed = {row["row"]: OPINIONS[row["opinion"]] for row in collation.amendments().to_pylist()}
    assert [changed.get(row, one.opinion) for row, one in enumerate(kept)] == [
        opinion_of[one.code] for one in kept
    ]
    there = [name for name in refs if int(name[1:]) not in buried]
    assert collation.present([f"r{number}" for number in range(6)]) == sorted(there)
    assert sum(collation.opinions().values()) == sum(one.ref_id in there for one in kept)
