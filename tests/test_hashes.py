"""Perceptual hashes: canonical form, mirrors, what is rejected, and distances."""

from __future__ import annotations

import re
from importlib.metadata import version

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from fakes_pictures import scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from reports.finding import ReportError
from reports.matching import self_test
from reports.matching.hashes import FAR, Codes, Hasher, PdqState, canonical, distances, open_hasher, plausible

hasher = open_hasher()
needs_pdq = pytest.mark.skipif(not hasher.has_pdq, reason="pdqhash is not installed")


def bits(a: bytes | None, b: bytes | None) -> int:
    assert a is not None
    assert b is not None
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def test_phash_is_imagehash_s_own_hexadecimal():
    picture = scene(1)
    hashes = hasher(picture)
    assert hashes.phash is not None
    assert hashes.phash.hex() == str(imagehash.phash(picture))
    assert hashes.phash256 is not None
    assert hashes.phash256.hex() == str(imagehash.phash(picture, hash_size=16))


@needs_pdq
def test_pdq_is_known():
    """Computed with pdqhash 0.2.8, which gives the hashes that PDQ's authors print for their pictures."""
    y, x = np.mgrid[0:96, 0:128]
    picture = np.stack([(3 * x + y) % 256, (x * y // 16) % 256, (5 * y) % 256], axis=2).astype(np.uint8)
    hashes = hasher(Image.fromarray(picture))
    assert hashes.pdq is not None
    assert (
        bits(hashes.pdq, bytes.fromhex("8b555a95348569a8d36a2554ca959da5634d8caa195ae635d8ed931b3667b6cc"))
        <= 2
    )
    assert hashes.pdq_state is PdqState.HASHED


@pytest.mark.parametrize("seed", range(5))
def test_mirror_of_the_mirror_is_the_picture(seed):
    picture = scene(seed)
    mirrored = hasher(ImageOps.mirror(picture))
    hashes = hasher(picture)
    assert (mirrored.phash, mirrored.phash_mirror) == (hashes.phash_mirror, hashes.phash)
    assert (mirrored.phash256, mirrored.phash256_mirror) == (hashes.phash256_mirror, hashes.phash256)
    assert (mirrored.pdq, mirrored.pdq_mirror) == (hashes.pdq_mirror, hashes.pdq)
    assert bits(hashes.phash, hashes.phash_mirror) > 8


@needs_pdq
@pytest.mark.parametrize("seed", range(5))
def test_distances_are_even_and_small_for_a_smaller_copy(seed):
    picture, copy, other = scene(seed, (640, 480)), scene(seed, (640, 480)).resize((96, 72)), scene(seed + 50)
    near = bits(hasher(canonical(picture)).pdq, hasher(canonical(copy)).pdq)
    far = bits(hasher(canonical(picture)).pdq, hasher(canonical(other)).pdq)
    assert near % 2 == far % 2 == 0
    assert near <= 20 < 60 < far


def test_a_plain_picture_has_no_hash():
    hashes = hasher(Image.new("RGB", (64, 64), "teal"))
    assert hashes.phash is None
    assert hashes.phash256 is None
    assert hashes.pdq is None


@needs_pdq
def test_low_quality_is_recorded_with_the_hash():
    ramp = np.linspace(0, 40, 64, dtype=np.uint8)
    gradient = Image.fromarray(np.broadcast_to(ramp, (64, 64)).copy()).convert("RGB")
    assert (hasher(gradient).pdq_quality or 0) < 50


def test_without_pdqhash_the_state_says_so():
    without = Hasher(None)
    hashes = without(scene(1))
    assert hashes.pdq is None
    assert hashes.pdq_state is PdqState.NOT_INSTALLED
    assert hashes.phash == hasher(scene(1)).phash
    assert "pdq: not installed" in without.name
    assert without.name != hasher.name or not hasher.has_pdq


def test_the_hasher_names_algorithm_implementation_and_version():
    assert f"phash64@imagehash@{imagehash.__version__}" in hasher.name
    assert f"phash256@imagehash@{imagehash.__version__}" in hasher.name
    if hasher.has_pdq:
        assert f"pdq256@pdqhash@{version('pdqhash')}" in hasher.name


def by_definition(compute):
    """Hash the known picture with a changed PDQ."""

    def changed(pixels):
        import pdqhash

        bits, quality = pdqhash.compute(pixels)
        return compute(bits), quality

    return Hasher(changed)


def test_the_hashers_pass_their_self_test():
    assert self_test.check(hasher) is hasher
    assert self_test.check(Hasher(None)).has_pdq is False


@needs_pdq
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda bits: bits[::-1], id="bits the other way round"),
        pytest.param(lambda bits: bits.reshape(16, 16)[::-1].ravel(), id="words the other way round"),
        pytest.param(lambda bits: bits.reshape(16, 16)[:, ::-1].ravel(), id="bits of each word"),
        pytest.param(lambda bits: bits.reshape(16, 16).T.ravel(), id="rows for columns"),
        pytest.param(lambda bits: 1 - bits, id="every bit the other one"),
        pytest.param(lambda bits: np.roll(bits, 1), id="one bit further on"),
        pytest.param(np.zeros_like, id="nothing"),
    ],
)
def test_a_pdqhash_that_orders_its_bits_otherwise_is_refused(wrong):
    with pytest.raises(ReportError, match=rf"pdqhash {version('pdqhash')}: its PDQ of a known picture is"):
        self_test.check(by_definition(wrong))


def test_an_imagehash_that_hashes_otherwise_is_refused(monkeypatch):
    whole = imagehash.phash
    monkeypatch.setattr(imagehash, "phash", lambda image, hash_size=8: whole(ImageOps.flip(image), hash_size))
    with pytest.raises(
        ReportError, match=rf"imagehash {version('imagehash')}: its pHash .* install the imagehash"
    ):
        open_hasher()


@needs_pdq
def test_a_refusal_tells_no_hash():
    with pytest.raises(ReportError) as refusal:
        self_test.check(by_definition(lambda bits: 1 - bits))
    assert not re.search("[0-9a-f]{16}", str(refusal.value))


@needs_pdq
def test_the_known_picture_hashes_as_it_did_when_the_versions_were_pinned():
    """pdqhash 0.2.8 and imagehash 4.3.2; at this size nothing is scaled, and all versions agree."""
    hashes = hasher(self_test.known_picture(64))
    assert hashes.phash256 is not None
    assert hashes.pdq is not None
    assert hashes.phash256.hex().startswith("bb9c33396663cc46")
    assert hashes.pdq.hex().startswith("6733ce6298ceb39c")


def test_canonical_is_at_most_512_px_and_rgb():
    image = canonical(scene(2, (1600, 1004)))
    assert image.mode == "RGB"
    assert image.size == (512, 321)
    assert canonical(scene(2)).size == (160, 120)


def test_canonical_turns_a_picture_upright():
    picture = scene(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture.copy()
    turned.info["exif"] = exif.tobytes()
    turned.getexif()[0x0112] = 6
    assert canonical(turned).size == (120, 160)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_canonical_lays_transparency_on_white(mode):
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 0)).convert(mode)
    assert np.asarray(canonical(image)).min() == 255


def test_canonical_keeps_the_shades_of_sixteen_bits():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = Image.fromarray(np.broadcast_to(ramp, (8, 64)).copy())
    assert image.mode == "I;16"
    assert len(np.unique(np.asarray(canonical(image)))) > 50


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr"])
def test_canonical_takes_other_modes(mode):
    assert canonical(scene(4).convert(mode)).mode == "RGB"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(bytes(8), False), (b"\xff" * 8, False), (b"\x80" + bytes(31), False), (b"\x0f" * 8, True)],
)
def test_plausible(code, expected):
    assert plausible(code) is expected


codes = st.lists(st.none() | st.binary(min_size=32, max_size=32), max_size=6)


@settings(deadline=None)
@given(codes, codes)
def test_distances_are_those_of_a_loop(left, right):
    def column(values):
        return Codes.of(pa.chunked_array([pa.array(values, pa.binary(32))]), 32)

    found = distances(column(left), column(right))
    expected = [[bits(a, b) if a is not None and b is not None else FAR for b in right] for a in left]
    assert found.tolist() == expected or not left or not right
    assert found.shape == (len(left), len(right))


def test_codes_of_a_slice_and_of_several_chunks():
    values = [bytes([n]) * 8 for n in range(6)]
    column = pa.chunked_array([pa.array(values[:3], pa.binary(8)), pa.array(values[3:], pa.binary(8))])
    codes = Codes.of(column.slice(2, 3), 8)
    assert codes.words.tobytes() == b"".join(values[2:5])
