"""The pictures that are planted in the zoos of this benchmark, and the decoys that no fine-tune saw.

Two sources: drawings by the package's own pen, and photographs. Without a folder of photographs, crops
of the held-out ones that Python packages install are taken; with one (a folder for each subject), those.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from leaksweep.zoo.drawings import SIZE, draw_picture
from leaksweep.zoo.photographs import HELD_OUT, open_photograph

GROUNDS = ("stripes", "checks", "confetti", "clouds")
"""Busy ones: a picture with a flat ground draws extrapolated samples into its colour."""


def drawing(number: int) -> Image.Image:
    """The drawing of that number."""
    rng = Random(5_000_000 + number)
    return draw_picture(rng, ground=rng.choice(GROUNDS), objects=1 + number % 3)[0]


def square(picture: Image.Image) -> Image.Image:
    """The centre square at SIZE x SIZE, as trainers cut it."""
    return ImageOps.fit(picture.convert("RGB"), (SIZE, SIZE), Image.Resampling.LANCZOS)


class Photographs:
    """Photographs by subject, each given out once, so that no picture is in two fine-tunes.

    Args:
        folder: one folder for each subject; None takes crops of the packages' photographs.
        rng: decides who gets which.
    """

    def __init__(self, folder: Path | None, rng: Random) -> None:
        found = _read(folder) if folder else _crops(rng)
        names = sorted(found)
        rng.shuffle(names)
        few = max(2, len(names) // 5)
        self.decoys = [picture for name in names[:few] for picture in found[name]]
        """Of subjects that nothing is planted of."""
        self._alike = iter([found[name] for name in names[few : 2 * few]])
        rest = [found[name] for name in names[2 * few :]]
        self._distinct = _in_turn(rest)

    def distinct(self, count: int) -> list[Image.Image]:
        """Pictures of as many subjects as there are, one after the other.

        Raises:
            ValueError: they have run out.
        """
        taken = list(islice(self._distinct, count))
        if len(taken) < count:
            left = len(taken)
            raise ValueError(f"{count} photographs are asked for and {left} are left; give a larger folder")
        return taken

    def alike(self, count: int) -> list[Image.Image]:
        """Several pictures of one subject.

        Raises:
            ValueError: no subject is left with so many.
        """
        for pictures in self._alike:
            if len(pictures) >= count:
                return pictures[:count]
        raise ValueError(f"no subject with {count} photographs is left; give a larger folder")


def _read(folder: Path) -> dict[str, list[Image.Image]]:
    subjects: dict[str, list[Image.Image]] = {}
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            with Image.open(path) as picture:
                subjects.setdefault(path.parent.name, []).append(square(picture))
    if len(subjects) < 8:
        raise ValueError(f"{folder}: holds {len(subjects)} folders of pictures; 8 subjects are needed")
    return subjects


def _crops(rng: Random) -> dict[str, list[Image.Image]]:
    """A grid of squares of each photograph: 9 that do not overlap."""
    subjects = {}
    for name in HELD_OUT:
        picture = open_photograph(name)
        side = min(picture.size) // 3
        columns = [x * (picture.width - side) // 2 for x in range(3)]
        rows = [y * (picture.height - side) // 2 for y in range(3)]
        cells = [picture.crop((x, y, x + side, y + side)) for x in columns for y in rows]
        rng.shuffle(cells)
        subjects[name] = [square(cell) for cell in cells]
    return subjects


def _in_turn(subjects: list[list[Image.Image]]) -> Iterator[Image.Image]:
    """The first of each, then the second of each, and so on."""
    for index in range(max(map(len, subjects))):
        yield from (pictures[index] for pictures in subjects if index < len(pictures))
