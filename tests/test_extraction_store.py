from __future__ import annotations

import io
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from fakes_scanner import extraction_store, job, outcome
from PIL import Image
from sqlalchemy import select

from extraction.recipe import Recipe
from scanner.extraction_rows import EXTRACTION_SCHEMA
from scanner.extraction_store import ExtractionStore, StoreError
from scanner.picture_keys import PictureKeys, pictures
from scanner.vault import HEAD, TwoKeys, Vault, VaultError, heads, heads_in


def on_disk(folder: Path, content: bytes) -> bool:
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def sealed(store: ExtractionStore) -> dict[str, tuple[bytes, bytes]]:
    """Picture and control as they lie in the table."""
    rows = lancedb.connect(store.path).open_table("images").to_arrow().to_pylist()
    return {row["id"]: (row["picture"], row["control"]) for row in rows}


@pytest.fixture
def store(tmp_path: Path) -> ExtractionStore:
    return extraction_store(tmp_path / "extractions")


def test_what_is_written_is_read_back(store: ExtractionStore):
    subject = job("cats")
    written = outcome(subject, 2)
    store.write(subject, written)

    rows = extraction_store(store.path).rows()
    assert rows.schema.remove_metadata().names == EXTRACTION_SCHEMA.names
    first = rows.to_pylist()[0]
    assert first["id"] == f"{subject.id}-000"
    assert first["checkpoint_id"] == subject.checkpoint.id
    assert Recipe.model_validate_json(first["recipe"]) == subject.recipe
    assert first["cluster"] == [40, 41]
    assert first["cluster_size"] == 2
    assert (first["width"], first["height"]) == (56, 48)
    assert first["descriptor_name"] == "thumbnail16@1"
    np.testing.assert_array_equal(np.float32(first["descriptor"]), written.extractions[0].descriptor)

    [(name, png, control)] = store.images([f"{subject.id}-001"])
    assert name == f"{subject.id}-001"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), written.extractions[1].pixels)
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(control))), written.extractions[1].control_pixels
    )


def test_some_columns_only(store: ExtractionStore):
    subject = job("cats")
    store.write(subject, outcome(subject, 2))
    assert store.rows(["rank", "seed"]).to_pylist() == [{"rank": 0, "seed": 40}, {"rank": 1, "seed": 41}]


def test_an_empty_store_has_typed_columns(store: ExtractionStore):
    rows = store.rows()
    assert rows.num_rows == 0
    assert rows.schema.field("cluster").type == pa.list_(pa.int64())
    assert list(store.images(["nothing-000"])) == []
    assert store.erase_images(["nothing-000"], "test") == 0


@pytest.mark.parametrize("count", [3, 1, 0])
def test_a_second_attempt_replaces_the_first_whole(store: ExtractionStore, count: int):
    subject, other = job("cats"), job("dogs")
    store.write(other, outcome(other, 2, seed=9))
    store.write(subject, outcome(subject, 3, seed=1))
    old = [sealed(store)[f"{subject.id}-{rank:03d}"][0] for rank in range(3)]
    store.write(subject, outcome(subject, count, seed=2))

    ids = {f"{other.id}-000", f"{other.id}-001", *(f"{subject.id}-{rank:03d}" for rank in range(count))}
    assert set(store.rows(["id"]).column("id").to_pylist()) == ids
    assert store.image_ids() == ids
    assert not any(on_disk(store.path, png) for png in old)


def test_erased_pictures_are_not_on_the_disk_and_the_others_are(store: ExtractionStore):
    for repo in ("cats", "dogs", "birds"):
        subject = job(repo)
        store.write(subject, outcome(subject, 4, seed=len(repo)))
    plain = {name: (png, control) for name, png, control in store.images(sorted(store.image_ids()))}
    everything = sealed(store)
    assert all(on_disk(store.path, picture) for picture, _ in everything.values())
    gone = sorted(everything)[::2]

    assert store.erase_images(gone, "test") == 6
    assert store.erase_images(gone, "test") == 0

    for name, (picture, control) in everything.items():
        assert on_disk(store.path, picture) is on_disk(store.path, control) is (name not in gone)
    assert {name: pair for name, *pair in store.images(sorted(everything))} == {
        name: list(pair) for name, pair in plain.items() if name not in gone
    }
    assert store.rows().num_rows == 12


def test_no_picture_lies_on_the_disk_as_it_is(store: ExtractionStore):
    subject = job("cats")
    done = outcome(subject, 3)
    store.write(subject, done)
    for name, png, control in store.images(sorted(store.image_ids())):
        for plain in (png, png[:64], control[:64], b"\x89PNG"):
            assert not on_disk(store.path.parent, plain), name
    for one in done.extractions:
        assert not on_disk(store.path.parent, one.pixels.tobytes()[:64])


def test_a_dropped_key_is_in_no_file_of_the_database(store: ExtractionStore):
    subject = job("cats")
    store.write(subject, outcome(subject, 3))
    name = f"{subject.id}-001"
    with store.keys.engine.connect() as db:
        sealed_key = db.scalar(select(pictures.c.sealed_key).where(pictures.c.extraction_id == name))
    folder = store.path.parent
    assert on_disk(folder, sealed_key)
    store.erase_images([name], "test")
    assert not on_disk(folder, sealed_key)
    assert not on_disk(folder, store.keys.of([f"{subject.id}-000"])[f"{subject.id}-000"])
    fates = {one.extraction_id: one.dropped_why for one in store.keys.fates()}
    assert fates == {f"{subject.id}-000": None, name: "test", f"{subject.id}-002": None}


def test_a_copy_of_the_folder_made_before_shows_nothing_once_the_key_is_dropped(store, tmp_path):
    subject = job("cats")
    store.write(subject, outcome(subject, 1))
    shutil.copytree(store.path, tmp_path / "backup")
    store.erase_images([f"{subject.id}-000"], "test")
    backup = ExtractionStore(tmp_path / "backup", store.keys)
    assert sealed(backup)
    assert list(backup.images([f"{subject.id}-000"])) == []


def test_a_kill_between_the_key_and_the_bytes_is_made_good(store: ExtractionStore):
    subject = job("cats")
    store.write(subject, outcome(subject, 2))
    name = f"{subject.id}-001"
    picture = sealed(store)[name][0]
    with store.keys.engine.begin() as db:
        store.keys.drop(db, [name], "test", datetime.now(UTC))
    assert store.image_ids() == {f"{subject.id}-000"}
    assert on_disk(store.path, picture)
    assert store.erase_dropped() == 1
    assert not on_disk(store.path, picture)


def test_who_stores_no_pixels_has_the_extractions_and_no_picture(tmp_path: Path):
    store = extraction_store(tmp_path / "extractions", keep_pixels=False)
    subject = job("cats")
    store.write(subject, outcome(subject, 2))
    assert store.rows().num_rows == 2
    assert store.image_ids() == set()
    assert sealed(store) == {}
    assert list(store.keys.fates()) == []


def test_another_master_key_is_refused_and_nothing_is_lost(store: ExtractionStore):
    subject = job("cats")
    store.write(subject, outcome(subject, 1))
    other = ExtractionStore(store.path, PictureKeys(store.keys.engine, Vault(bytes(31) + b"x")))
    with pytest.raises(VaultError, match=r"cannot be opened with the key given.*LEAKSWEEP_KEY or key_file"):
        list(other.images([f"{subject.id}-000"]))
    assert len(list(store.images([f"{subject.id}-000"]))) == 1


def test_one_picture_of_many_in_a_file_is_erased(store: ExtractionStore):
    """Lance's compaction alone leaves the bytes where under a tenth of a file's rows are deleted."""
    subject = job("cats")
    store.write(subject, outcome(subject, 60, side=16))
    picture = sealed(store)[f"{subject.id}-007"][0]
    store.erase_images([f"{subject.id}-007"], "test")
    assert not on_disk(store.path, picture)
    assert len(store.image_ids()) == 59


class Killed(BaseException):
    """In place of a signal."""


class Dying:
    """A table that dies after so many writes."""

    def __init__(self, table: Any, writes: int) -> None:
        self._table = table
        self.left = writes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._table, name)
        if name in {"update", "delete", "optimize"}:
            self.left -= 1
            if self.left < 0:
                raise Killed
        return found


@pytest.mark.parametrize("writes", range(3))
def test_a_kill_while_one_picture_of_many_is_erased_is_made_good(store: ExtractionStore, writes: int):
    subject = job("a")
    store.write(subject, outcome(subject, 30))
    first = sorted(store.image_ids())[0]
    wanted = heads(store._images.sealed([first]))
    whole = store._images._table
    store._images._table = Dying(whole, writes)  # type: ignore[assignment]
    with pytest.raises(Killed):
        store.erase_images([first], "asked")
    store._images._table = whole
    store.erase_dropped()
    assert not [path for path in store.path.rglob("*") if path.is_file() and heads_in(path, wanted)]
    assert len(list(store.images(sorted(store.image_ids())))) == 29


@pytest.mark.parametrize("writes", range(3))
def test_a_kill_while_an_extraction_is_deleted_is_made_good_by_the_same_call(
    store: ExtractionStore, writes: int
):
    subject = job("a")
    store.write(subject, outcome(subject, 30))
    first = store.rows(["id"])["id"].to_pylist()[0]
    vector = store.seals([first])[-1][:HEAD]
    assert on_disk(store.path, vector)
    whole = store._extractions
    store._extractions = Dying(whole, writes)  # type: ignore[assignment]
    with pytest.raises(Killed):
        store.delete([first])
    store._extractions = whole
    store.delete([first])
    assert not on_disk(store.path, vector)
    assert store.rows().num_rows == 29


def test_extractions_can_be_deleted_whole(store: ExtractionStore):
    subject, other = job("cats"), job("dogs")
    store.write(subject, outcome(subject, 2, seed=1))
    store.write(other, outcome(other, 1, seed=2))
    picture = sealed(store)[f"{subject.id}-000"][0]
    ids = [f"{subject.id}-000", f"{subject.id}-001"]
    described = store.seals(ids)[-1]
    assert on_disk(store.path, described[:HEAD])
    assert store.delete([*ids, "nothing-000"]) == 2
    assert store.rows(["id"]).to_pylist() == [{"id": f"{other.id}-000"}]
    assert store.image_ids() == {f"{other.id}-000"}
    assert not on_disk(store.path, picture)
    assert not on_disk(store.path, described[:HEAD])


def test_descriptors_lie_sealed_on_the_disk(store: ExtractionStore):
    subject = job("a")
    done = outcome(subject, 3)
    store.write(subject, done)
    for one in done.extractions:
        for vector in (one.descriptor, one.control_descriptor):
            assert not on_disk(store.path, np.asarray(vector, "<f4").tobytes())
    rows = store.rows()
    assert rows.schema.names == EXTRACTION_SCHEMA.names
    assert rows["descriptor"].type == EXTRACTION_SCHEMA.field("descriptor").type
    np.testing.assert_array_equal(
        rows["descriptor"].to_pylist(), [one.descriptor for one in done.extractions]
    )
    np.testing.assert_array_equal(
        rows["control_descriptor"].to_pylist(), [one.control_descriptor for one in done.extractions]
    )
    row = store.row(f"{subject.id}-001")
    assert row is not None
    np.testing.assert_array_equal(row["descriptor"], done.extractions[1].descriptor)


def test_descriptors_open_with_their_key_alone_and_are_sealed_anew_with_another(store: ExtractionStore):
    subject = job("a")
    store.write(subject, outcome(subject, 3))
    before, seals = store.rows().to_pylist(), list(store.opened_seals())
    assert len(seals) == 6
    later = Vault(bytes(range(32)))

    def opened(vault: Vault) -> ExtractionStore:
        return ExtractionStore(store.path, PictureKeys(store.keys.engine, vault))

    with pytest.raises(VaultError, match=r"descriptor of extraction .*cannot be opened"):
        opened(later).rows()
    assert len(opened(later).rows(["id", "prompt"])) == 3
    opened(TwoKeys(store.keys.vault, later)).reseal()
    assert opened(later).rows().to_pylist() == before
    with pytest.raises(VaultError):
        opened(store.keys.vault).rows()
    wanted = heads(seals)
    assert len(wanted) == 6
    assert not [path for path in store.path.rglob("*") if path.is_file() and heads_in(path, wanted)]
    opened(TwoKeys(store.keys.vault, later)).reseal()  # again, as after a kill
    assert opened(later).rows().to_pylist() == before
    opened(later).write(subject, outcome(subject, 2))
    assert len(opened(later).rows()) == 2


def test_sizes(store: ExtractionStore):
    subject = job("cats")
    store.write(subject, outcome(subject, 2))
    sizes = store.sizes()
    assert (sizes["extractions"], sizes["images"]) == (2, 2)
    assert sizes["bytes"] > 4 * 48 * 56 * 3


def test_a_store_of_a_newer_version_says_so(tmp_path: Path):
    newer = EXTRACTION_SCHEMA.with_metadata({b"leaksweep.version": b"5"})
    lancedb.connect(tmp_path / "extractions").create_table("extractions", schema=newer)
    with pytest.raises(StoreError, match=r"format 5, made by a newer leaksweep.*another home"):
        extraction_store(tmp_path / "extractions")


def test_one_writer_at_a_time(store: ExtractionStore):
    subject = job("cats")
    script = """
import sys, time
from pathlib import Path
from fakes_scanner import extraction_store
with extraction_store(Path(sys.argv[1])).writing():
    print("held", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(store.path)]
    holder = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process writes"):
            store.write(subject, outcome(subject, 1))
    finally:
        holder.kill()
        holder.communicate()
    store.write(subject, outcome(subject, 1))
