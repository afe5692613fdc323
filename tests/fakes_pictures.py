"""Pictures drawn from a seed, with shapes of every size, as perceptual hashes expect them of photographs."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Noise of several sizes, the coarser the stronger, in three colours that go together."""
    rng = np.random.default_rng(seed)
    light = np.zeros((size[1], size[0]), np.float32)
    for cells in (3, 6, 12, 24):
        octave = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
        light += np.asarray(octave.resize(size, Image.Resampling.BICUBIC)) / cells**0.5
    light = (light - light.min()) / (light.max() - light.min())
    dark, bright = rng.uniform(0, 90, 3), rng.uniform(160, 255, 3)
    return Image.fromarray((dark + light[..., None] * (bright - dark)).astype(np.uint8))


def claims_to_be(png: bytes, width: int, height: int) -> bytes:
    """A PNG whose header claims another size, with a checksum that fits."""
    header = png[12:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]


def deeply_packed(width: int, height: int) -> bytes:
    """A PNG of one colour with transparency: four bytes a pixel, of which a thousandth lies in the file."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 6, 0, 0, 0))
    packer = zlib.compressobj(9)
    row = bytes(1 + 4 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )


def animation(path: Path, frames: int = 3) -> None:
    """A GIF or a WebP of different scenes."""
    first, *rest = (scene(seed, (96, 96)) for seed in range(frames))
    first.save(path, save_all=True, append_images=rest, duration=100)
