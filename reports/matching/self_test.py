"""Whether hashes come out as their definitions say, tried before anything is hashed.

A library that turned its bits round, as pdqhash once did, would match nothing and say nothing. Both hashes
are the signs of a picture's lowest frequencies about their median. A picture of the very size that is
transformed needs no scaling and no blur, so its hash follows from the cosine transform alone, bit for bit
and in order: pHash as Krawetz (2011) and imagehash define it, PDQ as "The PDQ Perceptual Hashing Algorithm"
(Facebook, 2019) does, which leaves the constant frequencies out and writes the last bit first.

This proves arithmetic, order of bits and orientation. It proves nothing of scaling and blur, which differ a
little from one implementation to another: hence the hasher's name holds the version.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reports.finding import ReportError

if TYPE_CHECKING:
    from reports.matching.hashes import Hasher

_ROUNDING = 2
"""Bits: two frequencies may change places about the median."""
_PDQ_KEPT = 16


def check(hasher: Hasher) -> Hasher:
    """Return the hasher when it hashes right.

    Raises:
        ReportError: it does not; the message names the package and its version.
    """
    small, large = known_picture(32), known_picture(64)
    found = hasher(large)
    _compare("imagehash", "pHash", hasher(small).phash, phash(small, 8))
    _compare("imagehash", "256-bit pHash", found.phash256, phash(large, 16))
    if hasher.has_pdq:
        _compare("pdqhash", "PDQ", found.pdq, pdq(large))
    return hasher


def _compare(package: str, name: str, found: bytes | None, expected: bytes) -> None:
    if found is None or len(found) != len(expected):
        off = f"is no hash of {8 * len(expected)} bits"
    else:
        bits = (int.from_bytes(found, "big") ^ int.from_bytes(expected, "big")).bit_count()
        if bits <= _ROUNDING:
            return
        off = f"is {bits} bits away from what its definition gives"
    raise ReportError(
        f"{package} {version(package)}: its {name} of a known picture {off}, so it would match nothing; "
        f"install the {package} that leaksweep's constraints.txt names"
    )


def known_picture(side: int) -> Image.Image:
    """A grey picture that has no symmetry: sums of waves, from a formula without chance."""
    y, x = np.mgrid[0:side, 0:side] / side
    light = np.zeros((side, side))
    for number in range(1, 200):
        across, down = number * 7 % 23, number * 11 % 19
        light += np.cos(np.pi * (across * x + down * y) + number) / (1 + across + down)
    light = (light - light.min()) / np.ptp(light)
    return Image.fromarray((255 * light).astype(np.uint8)).convert("RGB")


def phash(picture: Image.Image, side: int) -> bytes:
    """pHash of a grey picture of 4 `side` pixels a side, by definition."""
    lowest = _frequencies(picture, np.arange(side))
    return np.packbits(lowest > np.median(lowest)).tobytes()


def pdq(picture: Image.Image) -> bytes:
    """PDQ of a grey picture of 64 x 64 pixels, by definition."""
    lowest = _frequencies(picture, np.arange(1, _PDQ_KEPT + 1))
    return np.packbits((lowest > np.median(lowest)).ravel()[::-1]).tobytes()


def _frequencies(picture: Image.Image, wanted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two-dimensional cosine transform (DCT-II), not normalised: only signs about a median are asked for."""
    light = np.asarray(picture.convert("L"), np.float64)
    side = len(light)
    waves = np.cos(np.pi * np.outer(wanted, 2 * np.arange(side) + 1) / (2 * side))
    found: NDArray[np.float64] = waves @ light @ waves.T
    return found
