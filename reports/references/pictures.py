"""Pictures of a reference folder: which files, safely read, and the views of each."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from reports.finding import Reference, ReportError
from reports.matching.hashes import Hasher, canonical

if TYPE_CHECKING:
    from extraction.descriptors import Descriptor

SUFFIXES = frozenset(
    (
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jpeg",
        ".jpg",
        ".jxl",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    )
)
"""What is taken for a picture; captions and other files in the folder are passed over, and counted."""

_SQUARE = 1.02
"""Sides that differ by less than this ratio make a square: its centre is not hashed a second time."""

_SAME_MIRRORED = ("sscd",)
"""Descriptors to which a mirror is the same picture: SSCD gives the two a cosine of 0.95 (median of 106)."""
_BATCH = 32
"""Pictures in memory, and described, at once."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A picture that is not in the set, and why."""

    ref_id: str
    reason: str


def picture_files(folder: Path) -> tuple[list[Path], int]:
    """Return a folder's picture files, subfolders included, in order of path, and the count of other files.

    Raises:
        ReportError: the folder does not exist.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder}: is no folder; give the folder that holds the reference pictures")
    visible = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    pictures = sorted(path for path in visible if path.suffix.lower() in SUFFIXES)
    return pictures, len(visible) - len(pictures)


def read_picture(path: Path) -> Image.Image:
    """Read a picture whole and bring it to its canonical form; the first frame of an animation.

    Raises:
        ReportError: the file is no picture, is cut off, or would be too large in memory.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise ReportError(f"{image.width} x {image.height} px is too large; make it smaller")
            return canonical(image)
    # What Pillow's many decoders raise for a damaged file.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise ReportError(f"cannot be read as a picture: {_reason(error)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ReportError("its header says it is too large; make it smaller") from error


def views(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Yield a picture by name as it is, and its centre square where it is not square.

    Trainers cut pictures to a square by default. A hash of the whole of a 1.6 to 1 photograph is
    then as far from what the model learned (116 of 256 bits) as any stranger's.
    """
    yield "full", image
    side = min(image.size)
    if max(image.size) > side * _SQUARE:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        yield "square", image.crop((left, top, left + side, top + side))


def references(
    set_name: str, folder: Path, files: Sequence[Path], hasher: Hasher, describe: Sequence[Descriptor]
) -> Iterator[Reference | Rejected]:
    """Yield each picture's views, one after the other, or why it is left out. Reads files as it goes."""
    for start in range(0, len(files), _BATCH):
        pictures: list[tuple[str, str, Image.Image]] = []
        for path in files[start : start + _BATCH]:
            ref_id = path.relative_to(folder).as_posix()
            try:
                image = read_picture(path)
            except ReportError as error:
                yield Rejected(ref_id, str(error))
            else:
                pictures += ((ref_id, view, part) for view, part in views(image))
        if pictures:
            yield from _described(set_name, pictures, hasher, describe)


def _described(
    set_name: str,
    pictures: list[tuple[str, str, Image.Image]],
    hasher: Hasher,
    describe: Sequence[Descriptor],
) -> Iterator[Reference | Rejected]:
    pixels = [np.asarray(image) for _, _, image in pictures]
    mirrors = [np.asarray(ImageOps.mirror(image)) for _, _, image in pictures]
    vectors = {one.name: one(pixels) for one in describe}
    mirrored = {one.name: one(mirrors) for one in describe if not one.name.startswith(_SAME_MIRRORED)}
    for index, (ref_id, view, image) in enumerate(pictures):
        hashes = hasher(image)
        reference = Reference(
            set_name=set_name,
            ref_id=ref_id,
            view=view,
            phash=hashes.phash,
            pdq=hashes.pdq,
            pdq_quality=hashes.pdq_quality,
            descriptors=_told(vectors, index),
            mirror_descriptors=_told(mirrored, index),
        )
        if reference.phash or reference.pdq or reference.descriptors:
            yield reference
        elif view == "full":
            yield Rejected(ref_id, "is too plain to be told from other plain pictures")


def _told(vectors: dict[str, NDArray[np.float32]], index: int) -> dict[str, NDArray[np.float32]]:
    # A row of zeros says that there was nothing to describe.
    return {name: rows[index] for name, rows in vectors.items() if rows[index].any()}


def _reason(error: Exception) -> str:
    # Pillow puts the file's path, which may be private, into some of its messages.
    return (
        "not a picture that Pillow knows"
        if "cannot identify" in str(error)
        else str(error) or type(error).__name__
    )
