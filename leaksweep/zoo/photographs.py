"""Photographs that scikit-image, scikit-learn and matplotlib install: read in place, not in git."""

from __future__ import annotations

from importlib.resources import files
from random import Random

from PIL import Image, ImageEnhance, ImageOps

from leaksweep.zoo.drawings import SIZE

TEXTURES = (
    "brick.png",
    "camera.png",
    "cell.png",
    "clock_motion.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_right.png",
    "page.png",
)
"""Photographs of scikit-image whose random crops the base model is trained on."""

HELD_OUT = {
    "astronaut": ("skimage.data", "astronaut.png"),
    "chelsea": ("skimage.data", "chelsea.png"),
    "coffee": ("skimage.data", "coffee.png"),
    "rocket": ("skimage.data", "rocket.jpg"),
    "retina": ("skimage.data", "retina.jpg"),
    "colours": ("skimage.data", "color.png"),
    "china": ("sklearn.datasets", "images/china.jpg"),
    "flower": ("sklearn.datasets", "images/flower.jpg"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "pack": ("matplotlib", "mpl-data/sample_data/Minduka_Present_Blue_Pack.png"),
}
"""Photographs that the base never sees: planted in fine-tunes, or kept as decoys."""


def _open(package: str, name: str) -> Image.Image:
    with files(package).joinpath(name).open("rb") as file:
        picture: Image.Image = Image.open(file)
        picture.load()
    if "A" in picture.getbands():
        ground = Image.new("RGBA", picture.size, (200, 190, 170, 255))
        picture = Image.alpha_composite(ground, picture.convert("RGBA"))
    return picture.convert("RGB")


def open_photograph(name: str) -> Image.Image:
    """The held-out photograph whole, on a plain ground where it is transparent."""
    return _open(*HELD_OUT[name])


def photograph(name: str) -> Image.Image:
    """The held-out photograph's centre square at SIZE x SIZE."""
    return ImageOps.fit(open_photograph(name), (SIZE, SIZE), Image.Resampling.LANCZOS)


def textures() -> dict[str, Image.Image]:
    """The training photographs whole, by the word their captions use."""
    return {name.split(".")[0].replace("_", " "): _open("skimage.data", name) for name in TEXTURES}


def crop(rng: Random, word: str, picture: Image.Image) -> tuple[Image.Image, str]:
    """A random crop at a random scale, tinted and perhaps mirrored, with its caption."""
    side = rng.randint(SIZE, min(picture.size))
    left, top = rng.randint(0, picture.width - side), rng.randint(0, picture.height - side)
    part = picture.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        part = ImageOps.mirror(part)
    if rng.random() < 0.7:
        part = _tint(rng, part)
    part = ImageEnhance.Contrast(part).enhance(rng.uniform(0.7, 1.4))
    return part, f"a photo of {word}"


def _tint(rng: Random, picture: Image.Image) -> Image.Image:
    """Turn the hues, or colour a grey picture between a dark and a light tone."""
    if rng.random() < 0.5:
        bands = list(picture.split())
        rng.shuffle(bands)
        return Image.merge("RGB", bands)
    dark, light = rng.randbytes(3), rng.randbytes(3)
    toned = ImageOps.colorize(
        picture.convert("L"),
        tuple(value // 3 for value in dark),
        tuple(155 + value * 100 // 255 for value in light),
    )
    return Image.blend(picture, toned, rng.uniform(0.3, 0.9))
