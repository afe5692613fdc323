"""What lies on the disk says nothing; and the store under another key, read-only, damaged, or shared."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import lancedb
import numpy as np
import pytest
from fakes_pictures import scene
from fakes_references import KEY, codes, csv_list, on_disk, open_references

from extraction.descriptors import Thumbnail
from reports.finding import ReportError
from reports.matching.hashes import canonical, open_hasher
from reports.references.sealed_store import SealedStore
from scanner.vault import Vault

FINGERPRINT = "[0-9a-f]{8}"


def partner(path, hashes, *, first=0):
    rows = [
        {
            "value": code.hex(),
            "ref_id": f"confidential-entry-{first + place}",
            "source": "member-of-the-exchange",
            "classification": "classified-as-A1",
            "tags": "tagged-so",
        }
        for place, code in enumerate(hashes)
    ]
    return csv_list(path, *rows)


def words_in(stored, hashes):
    """Everything of a list that must not be found in bytes, in any way in which it could be written."""
    secrets = [b"confidential-entry", b"member-of-the-exchange", b"classified-as-A1", b"tagged-so"]
    for code in hashes:
        secrets += [code, code.hex().encode(), code.hex().upper().encode()]
    return [one for one in secrets if one in stored]


def test_no_hash_no_id_and_no_source_of_a_list_lies_on_the_disk(tmp_path):
    references, hashes = open_references(tmp_path), codes(300)
    references.add_list("partner", partner(tmp_path / "list.csv", hashes), source="given-by-someone")
    assert words_in(on_disk(tmp_path), hashes) == []
    references.update("partner", partner(tmp_path / "list.csv", hashes[100:], first=100))
    assert words_in(on_disk(tmp_path), hashes) == []
    (index,) = references.load(["partner"])
    assert len(index) == 200
    references.remove("partner")
    assert words_in(on_disk(tmp_path), hashes) == []
    # Nor is anything sealed left.
    assert not list((tmp_path / "lance").glob("reference_blocks*"))
    assert len(on_disk(tmp_path)) < 20_000


def test_what_a_removal_that_was_cut_off_left_goes_when_it_is_tried_again(tmp_path, monkeypatch):
    references = open_references(tmp_path)
    references.add_list("partner", partner(tmp_path / "list.csv", codes(3)))
    with monkeypatch.context() as patch:
        patch.setattr(SealedStore, "sweep", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            references.remove("partner")
    assert list((tmp_path / "lance").glob("reference_blocks*"))
    with pytest.raises(ReportError, match="does not exist"):
        open_references(tmp_path).remove("partner")
    assert not list((tmp_path / "lance").glob("reference_blocks*"))


def test_nothing_of_a_picture_lies_on_the_disk(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        scene(number, (160, 100)).save(folder / f"confidential-name-{number}.png")
    (folder / "confidential-name-9.png").write_bytes(b"no picture")
    describe = Thumbnail()
    references = open_references(tmp_path)
    added = references.add_folder("artist", folder, [describe])
    assert [one.ref_id for one in added.rejected] == ["confidential-name-9.png"]
    stored = on_disk(tmp_path)
    assert b"confidential-name" not in stored
    assert (folder / "confidential-name-0.png").read_bytes()[50:150] not in stored
    for number in range(3):
        picture = canonical(scene(number, (160, 100)))
        hashes = open_hasher()(picture)
        for code in (hashes.phash, hashes.phash256, hashes.pdq):
            assert code is None or (code not in stored and code.hex().encode() not in stored)
        assert describe([np.asarray(picture)])[0].tobytes()[:32] not in stored
        assert np.asarray(picture).tobytes()[:300] not in stored


def test_another_key_is_named_before_anything_is_read_and_nothing_is_lost(tmp_path):
    open_references(tmp_path).add_list("partner", partner(tmp_path / "list.csv", codes(3)))
    stored = on_disk(tmp_path)
    wrong = open_references(tmp_path, key=b"\1" * 32)
    says = (
        f'"partner" was sealed with the master key {FINGERPRINT}, but the key given holds {FINGERPRINT}; '
        "set LEAKSWEEP_KEY or key_file to that key, or give the set up: leaksweep refs remove partner"
    )
    for act in (
        lambda: wrong.sets(),
        lambda: list(wrong.load(["partner"])),
        lambda: wrong.details("partner", ["confidential-entry-1"]),
        lambda: wrong.update("partner", tmp_path / "list.csv"),
        lambda: wrong.withdraw("partner", "confidential-entry-1", "mira", ""),
    ):
        with pytest.raises(ReportError, match=says):
            act()
    assert on_disk(tmp_path) == stored
    (index,) = open_references(tmp_path).load(["partner"])
    assert len(index) == 3


def test_what_needs_no_key_works_without_the_right_one(tmp_path):
    right = open_references(tmp_path)
    right.add_list("partner", partner(tmp_path / "list.csv", codes(3)))
    right.withdraw("partner", "confidential-entry-1", "mira", "")
    wrong = open_references(tmp_path, key=b"\1" * 32)
    assert wrong.withdrawn() == right.withdrawn()
    wrong.remove("partner")
    assert right.sets() == ()


def _blocks(tmp_path):
    store = lancedb.connect(tmp_path / "lance")
    (name,) = [one for one in store.list_tables().tables if one.startswith("reference_blocks")]
    return store.open_table(name)


def test_a_block_that_was_changed_is_not_believed(tmp_path):
    references = open_references(tmp_path)
    references.add_list("partner", partner(tmp_path / "list.csv", codes(3)))
    table = _blocks(tmp_path)
    sealed = table.search().to_arrow()["sealed"][0].as_py()
    table.update(values={"sealed": sealed[:-1] + bytes([sealed[-1] ^ 1])})
    with pytest.raises(ReportError, match='"partner": block 0 of its hashes is damaged; remove the set'):
        list(references.load(["partner"]))


def test_a_block_that_is_missing_does_not_go_unseen(tmp_path):
    references = open_references(tmp_path)
    references.add_list("partner", partner(tmp_path / "list.csv", codes(3)))
    _blocks(tmp_path).delete("part = 0")
    with pytest.raises(ReportError, match="block 0 of its hashes is missing"):
        list(references.load(["partner"]))


def test_blocks_that_went_while_they_were_read(tmp_path):
    references = open_references(tmp_path)
    references.add_list("partner", partner(tmp_path / "list.csv", codes(3)))
    (one,) = references.sets()
    shutil.rmtree(tmp_path / "lance" / f"{one.blocks}.lance")
    with pytest.raises(ReportError, match='"partner": its blocks cannot be read: another process'):
        list(references.load(["partner"]))


def test_two_processes_at_once(tmp_path):
    path = partner(tmp_path / "list.csv", codes(3))
    one, other = open_references(tmp_path), open_references(tmp_path)
    one.add_list("partner", path)
    with one.writing():
        for act in (
            lambda: other.add_list("second", path),
            lambda: other.update("partner", path),
            lambda: other.remove("partner"),
        ):
            with pytest.raises(ReportError, match="another process writes to this store; wait"):
                act()
        # Reading is no writing, and who holds the store may write.
        assert [found.name for found in other.sets()] == ["partner"]
        one.add_list("second", path)
    other.remove("partner")
    assert [found.name for found in one.sets()] == ["second"]


@contextmanager
def as_nobody():
    """Root may write everywhere, so tests that run as root take another user's rights for a while."""
    if os.getuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_read_only_store_can_be_read_and_says_that_it_cannot_be_written():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = partner(folder / "list.csv", codes(3))
        open_references(folder).add_list("partner", path)
        (folder / "lance").chmod(0o555)
        folder.chmod(0o755)
        try:
            with as_nobody():
                references = open_references(folder)
                (index,) = references.load(["partner"])
                assert len(index) == 3
                for act in (
                    lambda: references.add_list("second", path),
                    lambda: references.remove("partner"),
                ):
                    with pytest.raises(ReportError, match=r"lance: is read-only, .* make it writable"):
                        act()
                with pytest.raises(ReportError, match="the reference store cannot be opened"):
                    SealedStore(folder / "lance" / "new", Vault(KEY))
        finally:
            (folder / "lance").chmod(0o755)


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "lance").write_text("a file")
    with pytest.raises(ReportError, match="lance: the reference store cannot be opened"):
        open_references(tmp_path)
