"""Canaries: known copies planted among the references of every search, which prove that it was alive.

A search that finds nothing says either that there is nothing, or that it is broken: a corrupt index, a
hasher that hashes otherwise, a limit that nothing reaches. So pictures that are drawn from a seed are hashed
as everything is, and planted beside the real references; copies of them, of half the size and through JPEG,
are looked for beside the real extractions, by each kind of hash and each descriptor. Who misses one has
proved nothing with what else it did not find.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reports.matching.hashes import (
    PDQ_BYTES,
    PHASH256_BYTES,
    PHASH_BYTES,
    Codes,
    Hasher,
    PictureHashes,
    canonical,
)
from reports.matching.multi_index import bits_apart

_SIDE = 256
_WAVES = 60
_QUALITY = 50
"""JPEG's, 1 to 95."""
_BYTES = {"pdq": PDQ_BYTES, "phash256": PHASH256_BYTES, "phash": PHASH_BYTES}
_USUAL = {"pdq": 30, "phash256": 50, "phash": 8}
"""Bits: a copy further from its picture was hashed wrongly. Of 1,000, none was further than 26, 14, 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryCheck:
    """What became of the canaries of some searches."""

    planted: int = 0
    found: int = 0
    missed: tuple[str, ...] = ()
    """Such as "pdq canary 3", sorted."""

    @classmethod
    def of(cls, names: Sequence[str], found: NDArray[np.int64]) -> Self:
        """Check off those that were found, by their places."""
        missed = sorted(set(names) - {names[at] for at in found.tolist()})
        return cls(planted=len(names), found=len(names) - len(missed), missed=tuple(missed))

    @classmethod
    def together(cls, checks: Iterable[CanaryCheck]) -> Self:
        """Add up the checks of several searches."""
        every = list(checks)
        return cls(
            planted=sum(one.planted for one in every),
            found=sum(one.found for one in every),
            missed=tuple(sorted({name for one in every for name in one.missed})),
        )


@dataclass(frozen=True, slots=True)
class PlantedHashes:
    """Canaries of one kind of hash."""

    names: Sequence[str]
    references: Codes
    probes: Codes


@dataclass(frozen=True, slots=True)
class PlantedDescriptors:
    """Canaries of one descriptor: no picture, but a direction and another that is near it."""

    names: Sequence[str]
    references: NDArray[np.float32]
    probes: NDArray[np.float32]


class Canaries:
    """Pictures and their copies, hashed."""

    def __init__(self, pictures: Sequence[PictureHashes], copies: Sequence[PictureHashes], seed: int) -> None:
        self._pictures = pictures
        self._copies = copies
        self._seed = seed

    def hashed(self, kind: str, limit: int) -> PlantedHashes:
        """Return the canaries of a kind of hash, for a search within so many bits.

        A copy may be further off than a strict limit allows: then the picture itself is looked for.
        """
        pictures, copies = (_codes(some, kind) for some in (self._pictures, self._copies))
        apart = bits_apart(pictures.words, copies.words)
        strict = (apart > limit) & (apart <= _USUAL[kind])
        probes = Codes(np.where(strict[:, None], pictures.words, copies.words), copies.usable)
        # Without a hasher for this kind there is nothing to plant; the run's summary says that elsewhere.
        some = pictures.usable
        names = [f"{kind} canary {at}" for at in np.flatnonzero(some).tolist()]
        return PlantedHashes(names, pictures[np.flatnonzero(some)], probes[np.flatnonzero(some)])

    def described(self, name: str, length: int, least: float) -> PlantedDescriptors:
        """Return the canaries of a descriptor, for a search from a cosine of `least`.

        Args:
            length: numbers of a descriptor, two at least.
        """
        count = len(self._pictures)
        rows = np.random.default_rng(self._seed).normal(size=(2, count, length))
        picture = rows[0] / np.linalg.norm(rows[0], axis=1, keepdims=True)
        across = rows[1] - (rows[1] * picture).sum(axis=1, keepdims=True) * picture
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        cosine = (1 + least) / 2
        copy = cosine * picture + (1 - cosine**2) ** 0.5 * across
        names = [f"{name} canary {at}" for at in range(count)]
        return PlantedDescriptors(names, picture.astype(np.float32), copy.astype(np.float32))


NO_CANARIES = Canaries((), (), 0)


def draw_canaries(count: int, hasher: Hasher, *, seed: int = 0) -> Canaries:
    """Draw canaries and hash them.

    Args:
        seed: the same seed draws the same pictures.
    """
    pictures = [canary(seed + number) for number in range(count)]
    return Canaries(
        [hasher(canonical(one)) for one in pictures],
        [hasher(canonical(distorted(one))) for one in pictures],
        seed,
    )


def canary(seed: int) -> Image.Image:
    """Draw a picture that is in nobody's set: sixty waves, the finer the weaker, in two colours."""
    rng = np.random.default_rng([0x6C73, seed])
    frequency = rng.uniform(0.5, 10, _WAVES)
    angle, phase = rng.uniform(0, np.pi, _WAVES), rng.uniform(0, 2 * np.pi, _WAVES)
    turns = 2j * np.pi * np.arange(_SIDE)[:, None] / _SIDE * frequency
    across, down = np.exp(turns * np.cos(angle)), np.exp(turns * np.sin(angle) + 1j * phase)
    light = (down / (1 + frequency) @ across.T).real
    light = (light - light.min()) / np.ptp(light)
    dark, bright = rng.uniform(0, 90, 3), rng.uniform(160, 255, 3)
    return Image.fromarray((dark + light[..., None] * (bright - dark)).astype(np.uint8))


def distorted(picture: Image.Image) -> Image.Image:
    """Copy a picture as the web does: half the size, and through JPEG."""
    file = io.BytesIO()
    picture.resize((_SIDE // 2, _SIDE // 2)).save(file, "jpeg", quality=_QUALITY)
    with Image.open(file) as copy:
        return copy.convert("RGB")


def _codes(hashes: Sequence[PictureHashes], kind: str) -> Codes:
    return Codes.of_values([getattr(one, kind) for one in hashes], _BYTES[kind])
