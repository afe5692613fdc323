"""Pictures of a reference folder: which files, safely read, and the views of each."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from reports.finding import Opinion, Reference, ReportError
from reports.matching.hashes import Hasher, canonical
from reports.references.crops import variants

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

_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JXL", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""What is looked for in a file, whatever its name. Pillow knows others: for EPS it starts Ghostscript."""
_WITHOUT_WHITE = ("I", "F")
"""Modes of 32-bit numbers: which of them is white is nowhere said, and Pillow would cut them off at 255."""
_DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    struct.error,
)
"""What Pillow's many decoders raise for a damaged file."""
_LARGE = 4096
"""Pixels. A picture with a longer side is halved until it has none, before anything makes a copy of it."""
_STILLS = frozenset(("MPO",))
"""Formats in which a second frame is no movement: telephones keep a preview or a depth map there."""
_SAME_MIRRORED = ("sscd",)
"""Descriptors to which a mirror is the same picture: SSCD gives the two a cosine of 0.95 (median of 106)."""
_BATCH = 32
"""Pictures in memory, and described, at once."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A picture, or an entry of a list, that is not in the set, and why."""

    ref_id: str
    reason: str


def picture_files(folder: Path) -> tuple[list[Path], int]:
    """Return a folder's picture files, subfolders included, in order of path, and the count of other files.

    Hidden ones are left alone. Links to folders are not followed, and are counted with the other files.

    Raises:
        ReportError: the folder does not exist, or a folder in it cannot be looked into.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder}: is no folder; give the folder that holds the reference pictures")
    pictures, others = [], 0
    for name, folders, files in os.walk(folder, onerror=_unseen):
        here = Path(name)
        folders[:] = [one for one in folders if not one.startswith(".")]
        others += sum((here / one).is_symlink() for one in folders)
        visible = [here / one for one in files if not one.startswith(".")]
        found = [path for path in visible if path.suffix.lower() in SUFFIXES]
        pictures += found
        others += len(visible) - len(found)
    return sorted(pictures), others


def _is_utf_8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unseen(error: OSError) -> NoReturn:
    raise ReportError(
        f"{error.filename}: cannot be looked into ({error.strerror}); make it readable, or move it away"
    ) from None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in its canonical form."""

    image: Image.Image
    animated: bool
    """It has more frames; `image` is the first of them."""


def read_picture(path: Path) -> Picture:
    """Read a picture whole and bring it to its canonical form.

    What a header claims is believed before anything is unpacked, and one copy of the pixels is held at
    most: a small file takes no more memory than a large photograph.

    Raises:
        ReportError: the file is no picture, is cut off, or would be too large in memory.
    """
    if not path.is_file():
        # A pipe would be waited for.
        raise ReportError("is no file, or a link to none")
    try:
        with warnings.catch_warnings():
            # Of oddities in a file that can be read all the same, nobody need hear.
            warnings.simplefilter("ignore", UserWarning)
            # From a tenth of a billion pixels on Pillow warns, and from two tenths it raises.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_formats()) as image:
                if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                    raise ReportError(f"{image.width} x {image.height} px is too large; make it smaller")
                if image.mode in _WITHOUT_WHITE:
                    raise ReportError("has 32-bit numbers for pixels; save it with 8 or 16 bits")
                animated = image.format not in _STILLS and getattr(image, "is_animated", False)
                return Picture(canonical(_smaller(image)), animated)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ReportError("its header says it is too large; make it smaller") from error
    except _DAMAGED as error:
        raise ReportError(f"cannot be read as a picture: {_reason(error)}") from error


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(one for one in _FORMATS if one in Image.OPEN)


def _smaller(image: Image.Image) -> Image.Image:
    factor = -(-max(image.size) // _LARGE)
    if factor == 1 or image.mode.startswith("I;16"):
        return image
    if image.mode in ("1", "P", "PA"):
        # Their values are no brightness that could be averaged.
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.reduce(factor)


def references(
    set_name: str,
    folder: Path,
    files: Sequence[Path],
    hasher: Hasher,
    describe: Sequence[Descriptor],
    opinion: Opinion = Opinion.POSITIVE,
) -> Iterator[Reference | Rejected]:
    """Yield each picture's views, one after the other, or why it is left out. Reads files as it goes.

    Of an animation, the first frame is in the set, and the others are named as left out.
    """
    for start in range(0, len(files), _BATCH):
        pictures: list[tuple[str, str, Image.Image]] = []
        for path in files[start : start + _BATCH]:
            ref_id = path.relative_to(folder).as_posix()
            if not _is_utf_8(ref_id):
                yield Rejected(ref_id, "its name is not UTF-8; rename it")
                continue
            try:
                picture = read_picture(path)
            except ReportError as error:
                yield Rejected(ref_id, str(error))
            else:
                pictures += ((ref_id, view, part) for view, part in variants(picture.image))
                if picture.animated:
                    yield Rejected(
                        ref_id, "has several frames or pages: only the first is looked for; save the others"
                    )
        if pictures:
            yield from _described(set_name, pictures, hasher, describe, opinion)


def _described(
    set_name: str,
    pictures: list[tuple[str, str, Image.Image]],
    hasher: Hasher,
    describe: Sequence[Descriptor],
    opinion: Opinion,
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
            phash256=hashes.phash256,
            pdq=hashes.pdq,
            pdq_quality=hashes.pdq_quality,
            descriptors=_told(vectors, index),
            mirror_descriptors=_told(mirrored, index),
            opinion=opinion,
        )
        # A descriptor says nothing of a picture of one colour, but that it is like all others of one colour.
        if reference.phash or reference.phash256 or reference.pdq:
            yield reference
        elif view == "full":
            yield Rejected(ref_id, "is too plain to be told from other plain pictures")


def _told(vectors: dict[str, NDArray[np.float32]], index: int) -> dict[str, NDArray[np.float32]]:
    # A row of zeros says that there was nothing to describe.
    return {name: rows[index] for name, rows in vectors.items() if rows[index].any()}


def _reason(error: Exception) -> str:
    # The file's path, which may be private, stands in some of the messages.
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow knows here; save it as PNG or JPEG"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
