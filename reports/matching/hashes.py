"""Perceptual hashes of a picture and of its mirror, and their distances.

Three kinds: pHash of 64 and of 256 bits (imagehash) and, where `pdqhash` is installed, PDQ (256 bits).
A hash is kept as bytes, most significant bit first: the same as its usual hexadecimal form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Self

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image, ImageOps

PHASH_BYTES = 8
PHASH256_BYTES = 32
PDQ_BYTES = 32
FAR = 999
"""Distance to what cannot be compared: beyond every limit."""

PdqFunction = Callable[[NDArray[np.uint8]], tuple[NDArray[np.uint8], int]]
"""RGB bytes (H, W, 3) -> 256 bits as zeros and ones, quality 0 to 100. As `pdqhash.compute`."""


class PdqState(StrEnum):
    """Whether a picture has a PDQ hash, and if not, why."""

    HASHED = "hashed"
    FLAT = "too flat"
    """Quality 0, or nearly all bits alike: a plain picture, which would match other plain ones."""
    NOT_INSTALLED = "not installed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PictureHashes:
    """Hashes of one picture and of its exact mirror; None where it has none that could be trusted.

    Confidential, so that it shows none of them.
    """

    phash: bytes | None
    phash_mirror: bytes | None
    pdq: bytes | None
    pdq_mirror: bytes | None
    pdq_quality: int | None
    """0 to 100: how much there was to hash. It is recorded here, and judged when hashes are compared."""
    pdq_state: PdqState
    phash256: bytes | None = None
    phash256_mirror: bytes | None = None


UNREADABLE = PictureHashes(
    phash=None, phash_mirror=None, pdq=None, pdq_mirror=None, pdq_quality=None, pdq_state=PdqState.UNREADABLE
)


class Hasher:
    """Hashes pictures; `name` says with what, so that hashes made otherwise can be told apart."""

    def __init__(self, pdq: PdqFunction | None) -> None:
        self._pdq = pdq
        with_pdq = f"pdq256@pdqhash@{version('pdqhash')}" if pdq else "pdq: not installed"
        made_with = f"imagehash@{version('imagehash')}"
        self.name = f"canonical512@1, phash64@{made_with}, phash256@{made_with}, {with_pdq}"

    @property
    def has_pdq(self) -> bool:
        return self._pdq is not None

    def __call__(self, image: Image.Image) -> PictureHashes:
        """Hash a picture that is already `canonical`."""
        # PDQ can turn its own bits instead, but that is off by 12 to 64 bits; a mirrored picture is exact.
        mirror = ImageOps.mirror(image)
        pdq, quality, state = self._pdq_of(image)
        return PictureHashes(
            phash=_phash(image, 8),
            phash_mirror=_phash(mirror, 8),
            phash256=_phash(image, 16),
            phash256_mirror=_phash(mirror, 16),
            pdq=pdq,
            pdq_mirror=self._pdq_of(mirror)[0],
            pdq_quality=quality,
            pdq_state=state,
        )

    def _pdq_of(self, image: Image.Image) -> tuple[bytes | None, int | None, PdqState]:
        if self._pdq is None:
            return None, None, PdqState.NOT_INSTALLED
        bits, quality = self._pdq(np.ascontiguousarray(image))
        code = np.packbits(bits).tobytes()
        if quality == 0 or not plausible(code):
            return None, quality, PdqState.FLAT
        return code, quality, PdqState.HASHED


def open_hasher() -> Hasher:
    """Return a hasher with PDQ where the package `pdqhash` is installed, and without it where not.

    Raises:
        ReportError: it does not give the hashes that it gave when its version was pinned.
    """
    from reports.matching.self_test import check

    try:
        import pdqhash
    except ModuleNotFoundError:
        return check(Hasher(None))
    return check(Hasher(pdqhash.compute))


def canonical(image: Image.Image) -> Image.Image:
    """Bring a picture to the one form in which everything is hashed and described.

    Upright as its EXIF data says, transparency laid on white, RGB, at most 512 px on the longer side.
    Hashing a large picture as it is moves 6 to 8 bits of PDQ; at 512 px ours are those its authors print.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Pillow would clip 16 bits at 255, which is white.
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        seen = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    rgb = upright.convert("RGB")
    rgb.thumbnail((512, 512))
    return rgb


def plausible(code: bytes) -> bool:
    """Whether between an eighth and seven eighths of the bits are set.

    Both hashes split their picture at the median, so half the bits are set but for flat pictures;
    lists in the wild hold rows of zeros.
    """
    bits = 8 * len(code)
    return bits <= 8 * int.from_bytes(code, "big").bit_count() <= 7 * bits


def _phash(image: Image.Image, side: int) -> bytes | None:
    """pHash of the lowest `side` x `side` frequencies."""
    code = np.packbits(imagehash.phash(image, hash_size=side).hash.flatten()).tobytes()
    return code if plausible(code) else None


@dataclass(frozen=True, slots=True)
class Codes:
    """A column of hashes of one kind."""

    words: NDArray[np.uint64]
    """(N, W): 1 word for 64 bits, 4 for 256. Their byte order is the machine's: only differences count."""
    usable: NDArray[np.bool_]
    """(N,): False where there is no hash."""

    @classmethod
    def of(cls, column: pa.ChunkedArray, size: int) -> Self:
        """Take a column of fixed_size_binary(size), nulls included."""
        filled = pc.fill_null(column, pa.scalar(bytes(size), pa.binary(size))).combine_chunks()
        data = filled.buffers()[1] if len(filled) else b""
        words = np.frombuffer(data, np.uint64).reshape(-1, size // 8)
        start = filled.offset if len(filled) else 0
        usable = column.is_valid().to_numpy()
        return cls(words[start : start + len(column)], usable)

    @classmethod
    def of_values(cls, values: Sequence[bytes | None], size: int) -> Self:
        """Take hashes of `size` bytes one by one; None where there is none."""
        return cls.of(pa.chunked_array([pa.array(values, pa.binary(size))]), size)

    def where(self, condition: NDArray[np.bool_]) -> Codes:
        """Return the same column with only those hashes usable."""
        return Codes(self.words, self.usable & condition)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Codes:
        return Codes(self.words[rows], self.usable[rows])

    def then(self, *others: Codes) -> Codes:
        """Return these, and others of the same kind after them."""
        every = (self, *others)
        return Codes(
            np.concatenate([one.words for one in every]), np.concatenate([one.usable for one in every])
        )


def distances(a: Codes, b: Codes) -> NDArray[np.uint16]:
    """Return the (A, B) Hamming distances in bits, `FAR` where one of the two has no hash."""
    total = np.zeros((len(a.words), len(b.words)), np.uint16)
    if not (a.usable.any() and b.usable.any()):
        total[:] = FAR
        return total
    # Word by word, so that the differences never lie in memory all at once.
    for word in range(a.words.shape[1]):
        total += np.bitwise_count(a.words[:, None, word] ^ b.words[None, :, word])
    total[~a.usable] = FAR
    total[:, ~b.usable] = FAR
    return total
