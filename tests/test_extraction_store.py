from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from fakes_scanner import extraction, job, outcome
from PIL import Image

from extraction.recipe import Recipe
from scanner.extraction_store import EXTRACTION_SCHEMA, ExtractionStore, StoreError


def on_disk(folder: Path, content: bytes) -> bool:
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path: Path) -> ExtractionStore:
    return ExtractionStore(tmp_path / "extractions")


def test_what_is_written_is_read_back(store: ExtractionStore):
    subject = job("cats")
    written = outcome(subject, 2)
    store.write(subject, written)

    rows = ExtractionStore(store.path).rows()
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
    assert store.erase_images(["nothing-000"]) == 0


@pytest.mark.parametrize("count", [3, 1, 0])
def test_a_second_attempt_replaces_the_first_whole(store: ExtractionStore, count: int):
    subject, other = job("cats"), job("dogs")
    store.write(other, outcome(other, 2, seed=9))
    store.write(subject, outcome(subject, 3, seed=1))
    old = [png for _, png, _ in store.images([f"{subject.id}-{rank:03d}" for rank in range(3)])]
    store.write(subject, outcome(subject, count, seed=2))

    ids = {f"{other.id}-000", f"{other.id}-001", *(f"{subject.id}-{rank:03d}" for rank in range(count))}
    assert set(store.rows(["id"]).column("id").to_pylist()) == ids
    assert store.image_ids() == ids
    assert not any(on_disk(store.path, png) for png in old)


def test_erased_pictures_are_not_on_the_disk_and_the_others_are(store: ExtractionStore):
    for repo in ("cats", "dogs", "birds"):
        subject = job(repo)
        store.write(subject, outcome(subject, 4, seed=len(repo)))
    everything = {name: (png, control) for name, png, control in store.images(sorted(store.image_ids()))}
    assert all(on_disk(store.path, png) for png, _ in everything.values())
    gone = sorted(everything)[::2]

    assert store.erase_images(gone) == 6
    assert store.erase_images(gone) == 0

    for name, (png, control) in everything.items():
        assert on_disk(store.path, png) is on_disk(store.path, control) is (name not in gone)
    assert {name: pair for name, *pair in store.images(sorted(everything))} == {
        name: list(pair) for name, pair in everything.items() if name not in gone
    }
    assert store.rows().num_rows == 12


def test_one_picture_of_many_in_a_file_is_erased(store: ExtractionStore):
    """Lance's compaction alone leaves the bytes where under a tenth of a file's rows are deleted."""
    subject = job("cats")
    store.write(subject, outcome(subject, 60, side=16))
    [(name, png, _)] = store.images([f"{subject.id}-007"])
    store.erase_images([name])
    assert not on_disk(store.path, png)
    assert len(store.image_ids()) == 59


def test_flat_pictures_are_erased_too(store: ExtractionStore):
    subject = job("cats")
    flat = np.zeros((32, 32, 3), np.uint8)
    extractions = tuple(replace(extraction(rank), pixels=flat + rank) for rank in range(30))
    store.write(subject, replace(outcome(subject, 0), extractions=extractions))
    [(name, png, _)] = store.images([f"{subject.id}-003"])
    store.erase_images([name])
    assert not on_disk(store.path, png)


def test_a_control_that_another_checkpoint_shares_may_stay(store: ExtractionStore):
    one, two = job("cats"), job("dogs")
    shared = extraction(0, seed=5).control_pixels
    for subject, seed in ((one, 1), (two, 2)):
        one_of_two = replace(extraction(0, seed), control_pixels=shared)
        store.write(subject, replace(outcome(subject, 0), extractions=(one_of_two,)))
    assert store.erase_images([f"{one.id}-000"]) == 1
    assert store.image_ids() == {f"{two.id}-000"}


def test_a_job_can_be_forgotten(store: ExtractionStore):
    subject, other = job("cats"), job("dogs")
    store.write(subject, outcome(subject, 2, seed=1))
    store.write(other, outcome(other, 1, seed=2))
    [(_, png, _)] = store.images([f"{subject.id}-000"])
    store.delete(subject.id)
    assert store.rows(["id"]).to_pylist() == [{"id": f"{other.id}-000"}]
    assert store.image_ids() == {f"{other.id}-000"}
    assert not on_disk(store.path, png)


def test_sizes(store: ExtractionStore):
    subject = job("cats")
    store.write(subject, outcome(subject, 2))
    sizes = store.sizes()
    assert (sizes["extractions"], sizes["images"]) == (2, 2)
    assert sizes["bytes"] > 4 * 48 * 56 * 3


def test_a_store_of_a_newer_version_says_so(tmp_path: Path):
    newer = EXTRACTION_SCHEMA.with_metadata({b"leaksweep.version": b"3"})
    lancedb.connect(tmp_path / "extractions").create_table("extractions", schema=newer)
    with pytest.raises(StoreError, match=r"format 3, made by a newer leaksweep.*another home"):
        ExtractionStore(tmp_path / "extractions")


def test_one_writer_at_a_time(store: ExtractionStore):
    subject = job("cats")
    script = """
import sys, time
from pathlib import Path
from scanner.extraction_store import ExtractionStore
with ExtractionStore(Path(sys.argv[1])).writing():
    print("held", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(store.path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process writes"):
            store.write(subject, outcome(subject, 1))
    finally:
        holder.kill()
        holder.communicate()
    store.write(subject, outcome(subject, 1))
