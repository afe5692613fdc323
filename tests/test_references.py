"""Reference sets: what goes in, what is refused, and what is left on the disk."""

from __future__ import annotations

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from fakes_pictures import scene
from fakes_references import open_references
from PIL import Image, ImageOps

from extraction.descriptors import Thumbnail
from reports.finding import Opinion, ReportError
from reports.matching.hashes import canonical, open_hasher
from reports.references.opinions import OPINIONS

describe = Thumbnail()


@pytest.fixture
def references(tmp_path):
    return open_references(tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of them not square and one in a subfolder, with a caption."""
    path = tmp_path / "pictures"
    (path / "more").mkdir(parents=True)
    scene(1, (96, 96)).save(path / "a.png")
    scene(2, (160, 100)).save(path / "b.jpg", quality=95)
    scene(3, (96, 96)).save(path / "more" / "a.png")
    (path / "a.txt").write_text("a photo of sks dog")
    (path / ".hidden.png").write_bytes(b"")
    return path


def test_a_folder_becomes_a_set(references, folder):
    added = references.add_folder("artist", folder, [describe])
    assert (added.kind, added.entries, added.rejected, added.passed_over) == ("pictures", 3, (), 1)
    assert added.descriptors == (describe.name,)
    assert added.hashes == open_hasher().name
    assert added.opinions == {"positive": 3}
    assert references.sets() == (added,)


def test_the_index_holds_views_and_mirrors(references, folder):
    references.add_folder("artist", folder, [describe])
    (index,) = references.load(["artist"])
    assert index.ref_ids.to_pylist() == ["a.png", "b.jpg", "more/a.png"]
    # The picture that is not square has its centre square and the crop to its bucket besides.
    assert index.owner.tolist() == [0, 1, 1, 1, 2]
    assert index.phash.usable.all()
    vectors, mirrored = index.vectors[describe.name], index.mirrored[describe.name]
    assert vectors.owner.tolist() == mirrored.owner.tolist() == [0, 1, 1, 1, 2]
    picture = canonical(scene(3, (96, 96)))
    assert vectors.rows[4] == pytest.approx(describe([np.asarray(picture)])[0], abs=1e-6)
    assert mirrored.rows[4] == pytest.approx(describe([np.asarray(ImageOps.mirror(picture))])[0], abs=1e-6)


def test_progress_counts_up_to_all_pictures(references, folder):
    (folder / "bad.png").write_bytes(b"no picture")
    seen = []
    references.add_folder(
        "artist", folder, [describe], progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (4, 4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a picture"),
        (b"<html>not a picture</html>", "not a picture"),
        ("cut", "truncated"),
        ("plain", "too plain"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named_and_the_others_go_in(references, folder, content, reason):
    bad = folder / "more" / "bad.png"
    if content == "cut":
        bad.write_bytes((folder / "a.png").read_bytes()[:-2000])
    elif content == "plain":
        Image.new("RGB", (64, 64), "teal").save(bad)
    else:
        bad.write_bytes(content)
    added = references.add_folder("artist", folder, [describe])
    assert added.entries == 3
    ((ref_id, why),) = [(one.ref_id, one.reason) for one in added.rejected]
    assert ref_id == "more/bad.png"
    assert reason in why
    assert str(folder) not in why
    assert references.sets() == (added,)


def test_when_asked_to_fail_a_corrupt_picture_adds_nothing(references, folder):
    (folder / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ReportError, match=r"bad\.png.*nothing was added"):
        references.add_folder("artist", folder, [describe], on_corrupt="fail")
    assert references.sets() == ()
    (folder / "bad.png").unlink()
    assert references.add_folder("artist", folder, [describe]).entries == 3
    (index,) = references.load(["artist"])
    assert len(index) == 3


def test_a_folder_of_nothing_but_corrupt_pictures(references, tmp_path):
    path = tmp_path / "bad"
    path.mkdir()
    (path / "one.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(ReportError, match=r"none of its 1 pictures.*one\.jpg"):
        references.add_folder("artist", path, [describe])
    assert references.sets() == ()


def test_an_empty_folder_and_a_missing_one(references, tmp_path):
    with pytest.raises(ReportError, match="holds no picture"):
        references.add_folder("artist", tmp_path / "lance", [describe])
    with pytest.raises(ReportError, match="is no folder"):
        references.add_folder("artist", tmp_path / "none", [describe])


@pytest.mark.parametrize("name", ["", "a b", "../x", "a'b", "-x", "x" * 65, "a/b"])
def test_a_name_that_is_not_allowed(references, folder, name):
    with pytest.raises(ReportError, match="cannot name"):
        references.add_folder(name, folder, [describe])


def test_a_name_that_is_taken(references, folder):
    references.add_folder("artist", folder, [describe])
    with pytest.raises(ReportError, match="leaksweep refs remove artist"):
        references.add_folder("artist", folder, [describe])


@pytest.mark.parametrize("act", [lambda r: r.remove("none"), lambda r: list(r.load(["none"]))])
def test_a_set_that_does_not_exist(references, folder, act):
    references.add_folder("artist", folder, [describe])
    with pytest.raises(ReportError, match='"none" does not exist; there are: artist'):
        act(references)


def test_adding_that_was_cut_off_leaves_nothing_behind(references, folder, tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, total):
        raise Killed

    with pytest.raises(Killed):
        references.add_folder("artist", folder, [describe], progress=kill)
    again = open_references(tmp_path)
    assert again.sets() == ()
    again.add_folder("artist", folder, [describe])
    (index,) = again.load(["artist"])
    assert index.owner.tolist() == [0, 1, 1, 1, 2]


def test_pictures_of_known_innocent_things(references, folder):
    references.add_folder("innocent", folder, [describe], opinion=Opinion.NEGATIVE)
    (index,) = references.load(["innocent"])
    assert {OPINIONS[code] for code in index.opinions} == {Opinion.NEGATIVE}


def test_a_withdrawn_picture_is_not_looked_for(references, folder):
    references.add_folder("artist", folder, [describe])
    references.withdraw("artist", "b.jpg", "mira", "not ours")
    (index,) = references.load(["artist"])
    assert index.ref_ids.to_pylist() == ["a.png", "more/a.png"]
    assert index.owner.tolist() == index.vectors[describe.name].owner.tolist() == [0, 1]


def test_low_quality_is_masked_as_the_settings_say(references, folder):
    references.add_folder("artist", folder, [describe])
    (strict,) = references.load(["artist"], min_pdq_quality=101)
    assert not strict.pdq.usable.any()


@pytest.mark.parametrize(
    ("version", "reason"), [("99", "newer one; upgrade"), (None, "not one that this leaksweep")]
)
def test_a_store_of_another_version(tmp_path, version, reason):
    columns = pa.schema(
        [pa.field("name", pa.string())], metadata={"leaksweep.schema": version} if version else None
    )
    lancedb.connect(tmp_path / "lance").create_table("reference_sets", schema=columns)
    with pytest.raises(ReportError, match=reason):
        open_references(tmp_path)
