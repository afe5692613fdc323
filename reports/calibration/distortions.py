"""What happens to a picture on its way through a model and the web, as functions of a picture.

Nothing here is random, so that a calibration can be repeated: noise comes from a generator of its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

Distortion = Callable[[Image.Image], Image.Image]

_SIDE = 512
"""Pixels of the longer side for which blur is meant."""


def jpeg(quality: int) -> Distortion:
    """Compressed and read again; quality 1 to 95."""

    def distort(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as read:
            return read.convert("RGB")

    return distort


def shrunk(side: int) -> Distortion:
    """Brought to so many pixels on the longer side, which is what a small model can hold, and back."""

    def distort(image: Image.Image) -> Image.Image:
        small = image.copy()
        small.thumbnail((side, side))
        return small.resize(image.size, Image.Resampling.BICUBIC)

    return distort


def blurred(sigma: float) -> Distortion:
    """Gaussian blur, in pixels of a picture of 512."""
    return lambda image: image.filter(ImageFilter.GaussianBlur(sigma * max(image.size) / _SIDE))


def noisy(sigma: float) -> Distortion:
    """Gaussian noise, in levels of 255; the same for every picture of one size."""

    def distort(image: Image.Image) -> Image.Image:
        noise = np.random.default_rng(0).normal(0, sigma, (*image.size[::-1], 3))
        return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))

    return distort


def brighter(factor: float) -> Distortion:
    """Every level times a factor."""
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


def cropped(share: float) -> Distortion:
    """A share of each side cut off, 0 to 0.5."""

    def distort(image: Image.Image) -> Image.Image:
        dx, dy = round(image.width * share), round(image.height * share)
        return image.crop((dx, dy, image.width - dx, image.height - dy))

    return distort


def square(image: Image.Image) -> Image.Image:
    """The centre square, as trainers cut it."""
    side = min(image.size)
    return ImageOps.fit(image, (side, side))


def rotated(degrees: float) -> Distortion:
    """Turned about its centre; what comes in at the corners is the mean colour."""

    def distort(image: Image.Image) -> Image.Image:
        mean = np.asarray(image).reshape(-1, 3).mean(axis=0).astype(int)
        return image.rotate(
            degrees, Image.Resampling.BICUBIC, fillcolor=(int(mean[0]), int(mean[1]), int(mean[2]))
        )

    return distort


def grey(image: Image.Image) -> Image.Image:
    """Without colour."""
    return ImageOps.grayscale(image).convert("RGB")


DISTORTIONS: Mapping[str, Distortion] = {
    "as it is": lambda image: image,
    "JPEG 50": jpeg(50),
    "JPEG 10": jpeg(10),
    "shrunk to 64 px": shrunk(64),
    "shrunk to 32 px": shrunk(32),
    "blur 4 px": blurred(4),
    "noise 25": noisy(25),
    "brighter by half": brighter(1.5),
    "grey": grey,
    "mirrored": ImageOps.mirror,
    "centre square": square,
    "2 % cut off each side": cropped(0.02),
    "5 % cut off each side": cropped(0.05),
    "turned by 2 degrees": rotated(2),
}
"""What copies of known pictures are made with. Generations are soft: hence the shrunk ones."""
