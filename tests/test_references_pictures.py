"""Pictures of a reference folder: the crops that trainers make, and files that mean harm."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes_pictures import animation, claims_to_be, deeply_packed, scene
from fakes_references import open_references
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from reports.finding import ReportError
from reports.matching.hashes import canonical
from reports.references.crops import RESOLUTIONS, SAME_SHAPE, STEP, buckets, variants
from reports.references.pictures import read_picture

ROOT = Path(__file__).resolve().parents[1]


def shapes(width, height):
    return {name: image.size for name, image in variants(Image.new("RGB", (width, height)))}


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_buckets_are_as_trainers_make_them(resolution):
    found = buckets(resolution)
    assert (resolution, resolution) in found
    for width, height in found:
        assert width % STEP == height % STEP == 0
        assert width * height <= resolution**2
        assert (height, width) in found
        # One side could not be longer by a step: the bucket is as large as it may be.
        longer = max(width * (height + STEP), (width + STEP) * height)
        assert longer > resolution**2 or max(width, height) == 2 * resolution
    if resolution == 512:
        assert {(640, 384), (576, 448), (768, 320), (1024, 256)} <= set(found)
    else:
        assert {(1216, 832), (1344, 768), (1152, 896), (1536, 640)} <= set(found)


def test_a_photograph_is_indexed_as_trainers_cut_it():
    # 3 to 2: nearest are 640 x 384 at 512, and 1216 x 832 at 1024.
    assert shapes(480, 320) == {
        "full": (480, 320),
        "square": (320, 320),
        "bucket512": (480, 288),
        "bucket1024": (468, 320),
    }
    assert shapes(320, 480)["bucket1024"] == (320, 468)


def test_shapes_that_are_nearly_the_same_are_indexed_once():
    assert list(shapes(320, 320)) == list(shapes(320, 316)) == ["full"]
    # 5 to 3 is the bucket's own shape at either resolution.
    assert list(shapes(500, 300)) == ["full", "square"]
    # At 4 to 3 the buckets of the two resolutions differ from each other and from the picture.
    assert len(shapes(512, 384)) >= 3


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_a_crop_lies_in_the_middle_and_touches_two_sides(width, height):
    image = Image.fromarray(np.indices((height, width)).sum(axis=0).astype(np.uint8))
    found = dict(variants(image))
    assert found["full"] is image
    for one in found.values():
        assert one.width == width or one.height == height
        assert 1 <= one.width <= width
        assert 1 <= one.height <= height
        left, top = (width - one.width) // 2, (height - one.height) // 2
        assert one.getpixel((0, 0)) == image.getpixel((left, top))
    ratios = sorted(one.width / one.height for one in found.values())
    if min(width, height) >= 100 and max(ratios) < 4:
        # Sides are whole pixels, so a shape may be off by one of them.
        assert all(b / a > SAME_SHAPE - 0.03 for a, b in pairwise(ratios))


def test_a_picture_that_claims_to_be_huge_is_not_unpacked(tmp_path):
    scene(1, (96, 96)).save(tmp_path / "a.png")
    png = (tmp_path / "a.png").read_bytes()
    for side in (9_500, 12_000, 30_000):
        (tmp_path / "bomb.png").write_bytes(claims_to_be(png, side, side))
        with pytest.raises(ReportError, match="too large"):
            read_picture(tmp_path / "bomb.png")


_MEMORY = """
import resource, sys
from pathlib import Path
sys.path.insert(0, "tests")
from reports.finding import ReportError
from reports.references.pictures import read_picture

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
for path in sys.argv[1:]:
    try:
        print(read_picture(Path(path)).image.size, end=" ")
    except ReportError as error:
        print("rejected", end=" ")
    print(peak() - before)
"""


def test_a_picture_bomb_takes_no_more_memory_than_a_photograph(tmp_path):
    header, packed = tmp_path / "header.png", tmp_path / "packed.png"
    scene(1, (96, 96)).save(header)
    header.write_bytes(claims_to_be(header.read_bytes(), 40_000, 40_000))
    # So many pixels are allowed: 137 MiB with transparency, of which the file holds a thousandth.
    packed.write_bytes(deeply_packed(6_000, 6_000))
    assert packed.stat().st_size < 200_000
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(header), str(packed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("rejected")
    assert int(first.split()[-1]) < 30
    assert second.startswith("(512, 512)")
    assert int(second.split()[-1]) < 250


def test_a_large_picture_has_the_hash_of_a_small_one(tmp_path):
    small = scene(7, (1200, 150))
    large = small.resize((4800, 600), Image.Resampling.BICUBIC)
    for mode, name in (("RGB", "a.png"), ("RGBA", "b.png"), ("L", "c.png"), ("P", "d.png")):
        large.convert(mode).save(tmp_path / name)
        found = np.asarray(read_picture(tmp_path / name).image, np.float32)
        wanted = np.asarray(canonical(small.convert(mode)), np.float32)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).mean() < (8 if mode == "P" else 2)


def test_a_large_picture_stands_upright_as_its_exif_data_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(7, (160, 20)).resize((4800, 600)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").image.size == (64, 512)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_looked_for_and_the_rest_is_named(tmp_path, name):
    folder = tmp_path / "pictures"
    folder.mkdir()
    animation(folder / name)
    references = open_references(tmp_path)
    added = references.add_folder("artist", folder, [])
    assert added.entries == 1
    ((ref_id, reason),) = [(one.ref_id, one.reason) for one in added.rejected]
    assert (ref_id, "only the first is looked for" in reason) == (name, True)
    (index,) = references.load(["artist"])
    assert index.ref_ids.to_pylist() == [name]


def test_bombs_cut_off_files_and_others_in_one_folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    scene(1, (160, 100)).save(folder / "a.png")
    png = (folder / "a.png").read_bytes()
    (folder / "bomb.png").write_bytes(claims_to_be(png, 30_000, 30_000))
    parts = {"png": 0.6, "jpg": 0.4, "gif": 0.5, "webp": 0.5, "tiff": 0.7, "bmp": 0.5}
    for suffix, keep in parts.items():
        whole = folder / f"cut.{suffix}"
        scene(2, (160, 100)).save(whole)
        whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * keep)])
    added = open_references(tmp_path).add_folder("artist", folder, [])
    assert added.entries == 1
    assert {one.ref_id for one in added.rejected} == {
        "bomb.png",
        *(f"cut.{suffix}" for suffix in parts),
    }
    assert not any(str(folder) in one.reason for one in added.rejected)


def test_mirrors_are_described_for_every_crop(tmp_path):
    class Named:
        name = "thumbnail-of-tests"

        def __call__(self, pictures):
            rows = [
                np.asarray(Image.fromarray(one).resize((4, 4)), np.float32).reshape(-1) for one in pictures
            ]
            return np.stack([row / np.linalg.norm(row) for row in rows])

    folder = tmp_path / "pictures"
    folder.mkdir()
    scene(1, (480, 320)).save(folder / "a.png")
    references = open_references(tmp_path)
    references.add_folder("artist", folder, [Named()])
    (index,) = references.load(["artist"])
    assert index.owner.tolist() == [0, 0, 0, 0]
    wanted = [one for _, one in variants(canonical(scene(1, (480, 320))))]
    plain, mirror = index.vectors[Named.name].rows, index.mirrored[Named.name].rows
    assert plain == pytest.approx(Named()([np.asarray(one) for one in wanted]), abs=1e-6)
    assert mirror == pytest.approx(Named()([np.asarray(ImageOps.mirror(one)) for one in wanted]), abs=1e-6)
