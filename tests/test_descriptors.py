"""Descriptors: unit vectors that a copy shares and another picture does not."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

from extraction.descriptors import DescriptorError, SscdOnnx, Thumbnail, open_descriptor
from leaksweep.zoo.catalogue import picture

NAMES = ("astronaut", "chelsea", "coffee", "china", "drawing-000", "drawing-010")
PICTURES = np.stack([np.asarray(picture(name)) for name in NAMES])


@pytest.fixture(scope="module", params=["thumbnail", "sscd"])
def describe(request):
    return open_descriptor(request.param, threads=1)


def recompressed(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).resize((96, 96)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file).resize((64, 64)))


def test_rows_have_unit_norm(describe):
    rows = describe(PICTURES)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows.dtype == np.float32


def test_a_recompressed_copy_is_nearer_than_any_other_picture(describe):
    copies = np.stack([recompressed(pixels) for pixels in PICTURES])
    similarity = describe(PICTURES) @ describe(copies).T
    assert (similarity.argmax(axis=1) == np.arange(len(NAMES))).all()


def test_pictures_of_several_sizes_come_in_their_order(describe):
    mixed = [PICTURES[0], np.asarray(picture("chelsea").resize((128, 96))), PICTURES[2]]
    together, alone = describe(mixed), np.concatenate([describe([pixels]) for pixels in mixed])
    np.testing.assert_allclose(together, alone, atol=0.02)


def test_sscd_sees_a_mirrored_picture_as_the_same():
    describe = SscdOnnx(threads=1)
    assert (describe(PICTURES) * describe(PICTURES[:, :, ::-1])).sum(axis=1).min() > 0.7


def test_a_flat_picture_has_nothing_to_describe():
    assert not Thumbnail()(np.full((1, 32, 32, 3), 200, np.uint8)).any()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_file_is_opened_only_with_its_digest(tmp_path):
    path = tmp_path / "sscd.pt"
    torch.jit.trace(torch.nn.Flatten(), torch.zeros(1, 3, 288, 288)).save(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    describe = open_descriptor("sscd", sscd_path=path, sscd_sha256=digest)
    assert describe(PICTURES[:2]).shape == (2, 3 * 288 * 288)
    assert describe.name == f"sscd@torchscript-{digest[:8]}"
    with pytest.raises(DescriptorError, match="it is another file"):
        open_descriptor("sscd", sscd_path=path, sscd_sha256="0" * 64)
    with pytest.raises(DescriptorError, match="sscd_sha256"):
        open_descriptor("sscd", sscd_path=path)
    with pytest.raises(DescriptorError, match="cannot be read"):
        open_descriptor("sscd", sscd_path=tmp_path / "none.pt", sscd_sha256=digest)


def test_an_unknown_descriptor_names_the_known_ones():
    with pytest.raises(DescriptorError, match='use "sscd" or "thumbnail"'):
        open_descriptor("clip")
