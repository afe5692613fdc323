"""What trainers make of a picture before a model sees it: its centre square, and crops to buckets.

kohya's sd-scripts, and the trainers that follow it, sort pictures into buckets of one shape each. A bucket's
sides are multiples of 64 px and its area is at most that of the training resolution; a picture goes to the
bucket whose ratio of width to height is nearest to its own, is resized until it covers it, and is cropped
around its centre. So a crop depends on nothing but the picture's ratio and the resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from PIL import Image

STEP = 64
"""Sides of buckets are multiples of it, in pixels."""
RESOLUTIONS = (512, 1024)
"""Sides of the square whose area a bucket may have: Stable Diffusion's, and SDXL's and later ones'."""
SAME_SHAPE = 1.02
"""Shapes whose ratios differ by less make one variant: it is not hashed a second time."""

_SHORTEST = 256
"""Shortest side of a bucket; the longest is twice the resolution. sd-scripts' defaults and usual settings."""


def variants(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Yield a picture by name as it is, and as trainers cut it, each shape once.

    A hash of the whole of a 1.6 to 1 photograph is as far from its centre square (116 of 256 bits), which
    is what the model learned, as any stranger's; a crop by a tenth is as far.
    """
    whole = image.width / image.height
    seen = [whole]
    yield "full", image
    for name, ratio in _shapes(whole):
        if all(max(ratio / one, one / ratio) >= SAME_SHAPE for one in seen):
            seen.append(ratio)
            yield name, _centre(image, ratio)


def _shapes(whole: float) -> Iterator[tuple[str, float]]:
    yield "square", 1.0
    for resolution in RESOLUTIONS:
        yield f"bucket{resolution}", min(_ratios(resolution), key=lambda ratio: abs(ratio - whole))


@cache
def buckets(resolution: int) -> tuple[tuple[int, int], ...]:
    """Return the width and height of each bucket of a resolution, in pixels, ascending."""
    longest = 2 * resolution
    found = {(resolution, resolution)}
    for side in range(_SHORTEST, longest + STEP, STEP):
        other = min(longest, resolution**2 // side // STEP * STEP)
        if other >= STEP:
            found |= {(side, other), (other, side)}
    return tuple(sorted(found))


@cache
def _ratios(resolution: int) -> tuple[float, ...]:
    return tuple(sorted({width / height for width, height in buckets(resolution)}))


def _centre(image: Image.Image, ratio: float) -> Image.Image:
    """The largest part of this ratio around the centre."""
    width = min(image.width, max(1, round(image.height * ratio)))
    height = min(image.height, max(1, round(image.width / ratio)))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
