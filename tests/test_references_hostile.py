"""Folders and lists as careless or hostile partners give them, read into a set."""

from __future__ import annotations

import os
import threading
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from fakes_lists import some_codes
from fakes_pictures import scene
from fakes_references import csv_list, open_references, plain_list
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from reports.finding import ReportError
from reports.references import listing
from reports.references.pictures import picture_files, read_picture

CODES = some_codes(3)
SUFFIXES = ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    made.mkdir()
    scene(1).save(made / "good.png")
    return made


def left_out(tmp_path, folder) -> dict[str, str]:
    added = open_references(tmp_path).add_folder("artist", folder, [])
    assert added.entries == 1
    assert not any(str(tmp_path) in one.reason for one in added.rejected)
    return {one.ref_id: one.reason for one in added.rejected}


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, folder):
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    assert left_out(tmp_path, folder) == dict.fromkeys(
        ("gone.jpg", "loop.png", "pipe.png"), "is no file, or a link to none"
    )


def test_a_name_that_is_no_text_is_left_out_and_others_are_kept(tmp_path, folder):
    os.rename(folder / "good.png", folder / "a\x1b[31m\n\u202eb.png")  # noqa: PTH104
    scene(2).save(folder / "bad.png")
    os.rename(os.fsencode(folder / "bad.png"), os.fsencode(folder) + b"/\xff.png")  # noqa: PTH104
    assert left_out(tmp_path, folder) == {"\udcff.png": "its name is not UTF-8; rename it"}
    references = open_references(tmp_path)
    (index,) = references.load(["artist"])
    assert index.ref_ids.to_pylist() == ["a\x1b[31m\n\u202eb.png"]
    (one,) = references.sets()
    assert one.rejected[0].ref_id == "\udcff.png"


def test_names_that_differ_in_capitals_are_two(tmp_path, folder):
    scene(2).save(folder / "Good.png")
    added = open_references(tmp_path).add_folder("artist", folder, [])
    assert (added.entries, added.left_out) == (2, 0)


def test_linked_folders_are_counted_and_not_followed(tmp_path, folder):
    (folder / "again").symlink_to(folder)
    (folder / "notes.txt").touch()
    (folder / ".hidden").mkdir()
    scene(2).save(folder / ".hidden" / "a.png")
    assert picture_files(folder) == ([folder / "good.png"], 2)


def test_a_folder_that_cannot_be_looked_into_is_an_error(folder, monkeypatch):
    """Root may look into any, so the system's answer is made here."""
    (folder / "closed").mkdir()
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(ReportError, match=r"closed: cannot be looked into \(Permission denied\); make it"):
        picture_files(folder)


def test_a_file_of_another_kind_starts_no_program(tmp_path, folder):
    """Pillow would give PostScript to Ghostscript, whatever the file is called."""
    (folder / "page.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    (folder / "drawing.png").write_bytes(b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (folder / "empty.jpg").touch()
    reason = "cannot be read as a picture: not a picture that Pillow knows here; save it as PNG or JPEG"
    assert left_out(tmp_path, folder) == dict.fromkeys(
        ("drawing.png", "empty.jpg", "page.png", "phone.heic"), reason
    )


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_without_a_white_are_left_out_with_the_reason(tmp_path, kind):
    light = np.asarray(scene(1).convert("L"))
    Image.fromarray(light.astype(kind) * 1_000).save(tmp_path / "a.tif")
    with pytest.raises(ReportError, match="has 32-bit numbers for pixels; save it with 8 or 16 bits"):
        read_picture(tmp_path / "a.tif")


def test_all_kinds_of_the_same_picture_look_alike(tmp_path):
    picture = scene(3, (160, 100))
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    kinds = {
        "plain.png": picture,
        "print.jpg": picture.convert("CMYK"),
        "deep.png": deep,
        "deep.tif": deep,
        "few.png": picture.quantize(64),
        "see-through.png": picture.convert("RGBA"),
    }
    wanted = np.asarray(picture.convert("L"), np.float32)
    for name, one in kinds.items():
        one.save(tmp_path / name)
        found = np.asarray(read_picture(tmp_path / name).image.convert("L"), np.float32)
        assert np.abs(found - wanted).mean() < 8, name


@pytest.mark.parametrize("turned", range(1, 9))
def test_every_way_a_camera_can_be_held_is_turned_upright(tmp_path, turned):
    picture = scene(3, (160, 96))
    # What undoes each turn, so that what is saved stands upright once it is turned.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = turned
    (picture.transpose(undo[turned]) if turned in undo else picture).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(read_picture(tmp_path / "a.png").image), np.asarray(picture))


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_words_that_unpack_without_end_are_refused(tmp_path, kind):
    scene(1).save(tmp_path / "a.png")
    png = (tmp_path / "a.png").read_bytes()
    packed = chunk(kind, b"a\0\0" + zlib.compress(bytes(80_000_000), 9))
    (tmp_path / "a.png").write_bytes(png[:33] + packed + png[33:])
    with pytest.raises(ReportError, match="cannot be read as a picture"):
        read_picture(tmp_path / "a.png")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in SUFFIXES:
        path = folder / f"a.{suffix}"
        scene(1, (64, 48)).save(path, **({"exif": exif} if suffix in ("png", "jpg", "webp", "tif") else {}))
    return {suffix: (folder / f"a.{suffix}").read_bytes() for suffix in SUFFIXES}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(SUFFIXES),
    changes=st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 8), st.sampled_from((b"", b"\0", b"\xff", b"\xff" * 4, b"\x7f"))
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_a_damaged_picture_is_read_or_left_out(tmp_path, pictures, suffix, changes):
    content = pictures[suffix]
    for place, removed, junk in changes:
        # Most of what a decoder believes stands at the start.
        at = int(place**3 * len(content))
        content = content[:at] + junk + content[at + removed :]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with suppress(ReportError):
            assert read_picture(path).image.mode == "RGB"


def test_a_list_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = plain_list(tmp_path / "list.txt", CODES)
    monkeypatch.setattr(listing, "ROWS", 1)
    written = threading.Event()

    def write(_: int) -> None:
        if not written.is_set():
            written.set()
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{CODES[0].hex()}\n" * 10_000)

    references = open_references(tmp_path)
    with pytest.raises(ReportError, match="was changed while it was read"):
        references.add_list("partner", path, progress=write)
    assert references.sets() == ()


def test_a_kind_for_every_entry_does_not_fill_the_screen(tmp_path):
    rows = [{"value": "x", "signal": f"kind{number}", "ref_id": str(number)} for number in range(250)]
    rows.append({"value": CODES[0].hex(), "signal": "pdq", "ref_id": "good"})
    added = open_references(tmp_path).add_list("partner", csv_list(tmp_path / "list.csv", *rows))
    assert len(added.unmatchable) == listing.KINDS + 1
    assert added.unmatchable["other"] == 250 - listing.KINDS
    assert sum(added.unmatchable.values()) == 250
