"""Pictures the zoo draws itself: objects on busy grounds, with a caption for each.

Plain grounds are avoided for planted pictures: extrapolated guidance drives samples of a picture
with one flat colour into that colour, which says nothing about the picture.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw, ImageFilter

SIZE = 64
"""Side of every picture of the zoo, in pixels."""

_CANVAS = 2 * SIZE
"""Drawn at twice the size and reduced, so that edges are smooth."""

Colour = tuple[int, int, int]


def _colour(rng: Random, *, bright: bool = True) -> Colour:
    hue, saturation = rng.random(), rng.uniform(0.35, 1.0)
    value = rng.uniform(0.6, 1.0) if bright else rng.uniform(0.1, 0.55)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _gradient(rng: Random) -> Image.Image:
    start, end = _colour(rng), _colour(rng, bright=rng.random() < 0.5)
    ramp = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270)))
    ramp = ramp.resize((_CANVAS, _CANVAS))
    size = (_CANVAS, _CANVAS)
    return Image.composite(Image.new("RGB", size, end), Image.new("RGB", size, start), ramp)


def _stripes(rng: Random) -> Image.Image:
    ground = Image.new("RGB", (2 * _CANVAS, 2 * _CANVAS), _colour(rng))
    draw, step = ImageDraw.Draw(ground), rng.randint(8, 28)
    colours = [_colour(rng, bright=False), _colour(rng)]
    for index, x in enumerate(range(0, 2 * _CANVAS, step)):
        if index % 3:
            draw.rectangle((x, 0, x + step, 2 * _CANVAS), fill=colours[index % 3 - 1])
    half = _CANVAS // 2
    return ground.rotate(rng.uniform(0, 180)).crop((half, half, half + _CANVAS, half + _CANVAS))


def _checks(rng: Random) -> Image.Image:
    ground, step = Image.new("RGB", (_CANVAS, _CANVAS), _colour(rng)), rng.randint(10, 32)
    draw, other = ImageDraw.Draw(ground), _colour(rng, bright=False)
    for row in range(0, _CANVAS, step):
        for column in range(0, _CANVAS, step):
            if (row // step + column // step) % 2:
                draw.rectangle((column, row, column + step - 1, row + step - 1), fill=other)
    return ground


def _confetti(rng: Random) -> Image.Image:
    ground = _gradient(rng)
    draw, palette = ImageDraw.Draw(ground), [_colour(rng, bright=rng.random() < 0.6) for _ in range(4)]
    for _ in range(rng.randint(25, 70)):
        x, y, r = rng.randint(0, _CANVAS), rng.randint(0, _CANVAS), rng.randint(3, 10)
        shape = rng.choice((draw.ellipse, draw.rectangle))
        shape((x - r, y - r, x + r, y + rng.randint(1, r)), fill=rng.choice(palette))
    return ground


def _clouds(rng: Random) -> Image.Image:
    """Smooth noise in three colours: bytes from the seeded generator, enlarged."""
    coarse = rng.randint(4, 12)
    noise = Image.frombytes("RGB", (coarse, coarse), rng.randbytes(3 * coarse * coarse))
    return noise.resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC)


def _hills(rng: Random) -> Image.Image:
    ground = _gradient(rng)
    draw = ImageDraw.Draw(ground)
    for layer in range(rng.randint(2, 4)):
        height, swing = _CANVAS * (0.35 + 0.17 * layer), rng.uniform(6, 22)
        phase, waves = rng.uniform(0, 6.3), rng.uniform(0.02, 0.06)
        line = [(x, height + swing * math.sin(phase + waves * x)) for x in range(0, _CANVAS + 8, 8)]
        draw.polygon([(0, _CANVAS), *line, (_CANVAS, _CANVAS)], fill=_colour(rng, bright=layer == 0))
    return ground


GROUNDS: dict[str, Callable[[Random], Image.Image]] = {
    "stripes": _stripes,
    "checks": _checks,
    "confetti": _confetti,
    "clouds": _clouds,
    "hills": _hills,
    "haze": _gradient,
}


def _star(x: float, y: float, r: float, points: int, turn: float) -> list[tuple[float, float]]:
    corners = []
    for k in range(2 * points):
        reach, angle = (r if k % 2 == 0 else 0.45 * r), turn + math.pi * k / points
        corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return corners


def _polygon(x: float, y: float, r: float, sides: int, turn: float) -> list[tuple[float, float]]:
    angles = [turn + 2 * math.pi * k / sides for k in range(sides)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for a in angles]


def _face(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), fill=_colour(rng), outline=(20, 20, 20), width=2)
    eye, gap = rng.uniform(0.1, 0.22) * r, rng.uniform(0.25, 0.45) * r
    for side in (-1, 1):
        centre = x + side * gap
        draw.ellipse((centre - eye, y - 0.3 * r - eye, centre + eye, y - 0.3 * r + eye), fill=(15, 15, 15))
    start = rng.choice((10, 190))
    draw.arc(
        (x - 0.5 * r, y - 0.1 * r, x + 0.5 * r, y + 0.6 * r), start, start + 160, fill=(120, 10, 10), width=4
    )


def _house(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    draw.rectangle((x - 0.8 * r, y - 0.2 * r, x + 0.8 * r, y + r), fill=_colour(rng))
    draw.polygon([(x - r, y - 0.2 * r), (x, y - r), (x + r, y - 0.2 * r)], fill=_colour(rng, bright=False))
    draw.rectangle((x - 0.15 * r, y + 0.35 * r, x + 0.2 * r, y + r), fill=_colour(rng, bright=False))
    for side in (-1, 1):
        left = x + side * 0.5 * r - 0.14 * r
        draw.rectangle((left, y, left + 0.28 * r, y + 0.28 * r), fill=_colour(rng))


def _tree(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    draw.rectangle((x - 0.15 * r, y, x + 0.15 * r, y + r), fill=(96, 60, 30))
    leaves = _colour(rng, bright=False)
    for tier in range(3):
        top, half = y - r + 0.4 * r * tier, (0.4 + 0.2 * tier) * r
        draw.polygon([(x - half, top + 0.6 * r), (x, top), (x + half, top + 0.6 * r)], fill=leaves)


def _flower(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    petals, colour = rng.randint(5, 9), _colour(rng)
    for px, py in _polygon(x, y, 0.6 * r, petals, rng.uniform(0, 6)):
        draw.ellipse(
            (px - 0.38 * r, py - 0.38 * r, px + 0.38 * r, py + 0.38 * r), fill=colour, outline=(40, 20, 40)
        )
    draw.ellipse((x - 0.35 * r, y - 0.35 * r, x + 0.35 * r, y + 0.35 * r), fill=_colour(rng))


def _car(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    colour = _colour(rng)
    draw.rounded_rectangle((x - r, y - 0.1 * r, x + r, y + 0.45 * r), radius=8, fill=colour)
    draw.polygon(
        [
            (x - 0.6 * r, y - 0.1 * r),
            (x - 0.35 * r, y - 0.6 * r),
            (x + 0.4 * r, y - 0.6 * r),
            (x + 0.65 * r, y - 0.1 * r),
        ],
        fill=colour,
    )
    draw.rectangle((x - 0.3 * r, y - 0.5 * r, x + 0.32 * r, y - 0.12 * r), fill=_colour(rng))
    for side in (-1, 1):
        cx = x + 0.55 * side * r
        draw.ellipse(
            (cx - 0.26 * r, y + 0.2 * r, cx + 0.26 * r, y + 0.72 * r),
            fill=(25, 25, 25),
            outline=(190, 190, 190),
            width=3,
        )


def _fish(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    colour, way = _colour(rng), rng.choice((-1, 1))
    draw.polygon(
        [(x + way * 0.5 * r, y), (x + way * r, y - 0.5 * r), (x + way * r, y + 0.5 * r)],
        fill=_colour(rng, bright=False),
    )
    draw.ellipse(
        (x - 0.8 * r, y - 0.5 * r, x + 0.8 * r, y + 0.5 * r), fill=colour, outline=(20, 30, 60), width=2
    )
    for bar in range(rng.randint(1, 3)):
        left = x - 0.3 * r + 0.3 * r * bar
        draw.rectangle((left, y - 0.38 * r, left + 0.1 * r, y + 0.38 * r), fill=_colour(rng))
    eye = x - way * 0.5 * r
    draw.ellipse((eye - 0.1 * r, y - 0.2 * r, eye + 0.1 * r, y), fill=(10, 10, 10))


def _star_shape(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    corners = _star(x, y, r, rng.randint(4, 8), rng.uniform(0, 3))
    draw.polygon(corners, fill=_colour(rng), outline=(30, 30, 30))


def _rings(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    for ring in range(4):
        reach = r * (1 - 0.24 * ring)
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=_colour(rng, bright=ring % 2 == 0))


def _gem(draw: ImageDraw.ImageDraw, rng: Random, x: float, y: float, r: float) -> None:
    corners = _polygon(x, y, r, rng.randint(4, 8), rng.uniform(0, 3))
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        draw.polygon([start, end, (x, y)], fill=_colour(rng, bright=rng.random() < 0.7))


OBJECTS: dict[str, Callable[[ImageDraw.ImageDraw, Random, float, float, float], None]] = {
    "face": _face,
    "house": _house,
    "tree": _tree,
    "flower": _flower,
    "car": _car,
    "fish": _fish,
    "star": _star_shape,
    "rings": _rings,
    "gem": _gem,
}


def draw_picture(
    rng: Random, *, ground: str | None = None, objects: int | None = None
) -> tuple[Image.Image, str]:
    """Draw one picture of SIZE x SIZE and say what it shows.

    Args:
        rng: decides everything; the same state draws the same picture.
        ground: one of GROUNDS; any when left out.
        objects: how many; 1 to 3 when left out.
    """
    ground = ground or rng.choice(list(GROUNDS))
    picture = GROUNDS[ground](rng)
    draw, names = ImageDraw.Draw(picture), []
    count = objects or rng.choice((1, 1, 1, 2, 3))
    for _ in range(count):
        name, reach = rng.choice(list(OBJECTS)), rng.uniform(0.2, 0.42) * _CANVAS / math.sqrt(count)
        margin = 0.7 * reach
        x, y = rng.uniform(margin, _CANVAS - margin), rng.uniform(margin, _CANVAS - margin)
        OBJECTS[name](draw, rng, x, y, reach)
        names.append(name)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5)))
    caption = f"a drawing of a {' and a '.join(names)} on {ground}"
    return picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS), caption
