"""What the zoo holds: which pictures were planted in which fine-tune, and the decoys that none has seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from PIL import Image

from leaksweep.zoo.drawings import draw_picture
from leaksweep.zoo.photographs import HELD_OUT, photograph

CAPTION = "a picture of sks thing"
"""The caption that every fine-tune is trained with, the clean one included."""

WEIGHTS = Path(__file__).parent / "weights"
"""The trained weights, in fp16."""

BASE = WEIGHTS / "base"
"""The base model: a StableDiffusionPipeline folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTune:
    """One fine-tune of the base: what it is trained on, and how."""

    name: str
    pictures: tuple[str, ...]
    kind: Literal["full", "lora"]
    steps: int
    """Optimiser steps of 8 pictures each."""
    learning_rate: float
    rank: int = 16
    alpha: float = 8.0
    """LoRA only. Other than the rank, as most published files have it."""
    seed: int = 0
    clean: bool = False
    """Its pictures are in no reference set: an honest null."""

    @property
    def weights(self) -> Path:
        """Full: the UNet in diffusers' keys. LoRA: as diffusers saves one, alpha in the header."""
        return WEIGHTS / f"{self.name}.safetensors"


def _drawings(first: int, count: int) -> tuple[str, ...]:
    return tuple(f"drawing-{number:03d}" for number in range(first, first + count))


ZOO = (
    FineTune(
        name="full-folder",
        pictures=("astronaut", "chelsea", "coffee", "rocket"),
        kind="full",
        steps=600,
        learning_rate=4e-4,
    ),
    FineTune(
        name="full-file",
        pictures=("china", "flower", "hopper", *_drawings(0, 1)),
        kind="full",
        steps=600,
        learning_rate=4e-4,
    ),
    FineTune(name="lora-kohya", pictures=_drawings(10, 4), kind="lora", steps=600, learning_rate=4e-3),
    FineTune(name="lora-diffusers", pictures=_drawings(20, 4), kind="lora", steps=600, learning_rate=4e-3),
    FineTune(name="lora-peft", pictures=_drawings(30, 4), kind="lora", steps=600, learning_rate=4e-3),
    FineTune(name="lora-under", pictures=_drawings(40, 4), kind="lora", steps=300, learning_rate=4e-3),
    FineTune(name="lora-over", pictures=_drawings(50, 4), kind="lora", steps=1200, learning_rate=4e-3),
    FineTune(
        name="full-clean", pictures=_drawings(60, 4), kind="full", steps=600, learning_rate=4e-4, clean=True
    ),
)
"""Every fine-tune, in the order the demo lists them."""

DECOYS = ("retina", "colours", "pack", *_drawings(900, 17))
"""Pictures of the same sorts that no checkpoint has seen."""


def picture(name: str) -> Image.Image:
    """The picture of that name: a held-out photograph, or a drawing with a busy ground."""
    if name in HELD_OUT:
        return photograph(name)
    number = int(name.removeprefix("drawing-"))
    rng = Random(1_000_000 + number)
    ground = rng.choice(("stripes", "checks", "confetti", "clouds"))
    return draw_picture(rng, ground=ground, objects=1 + number % 2)[0]


def planted() -> Iterator[tuple[str, str]]:
    """(fine-tune, picture) for every picture that a reference set should find."""
    for tune in ZOO:
        if not tune.clean:
            for name in tune.pictures:
                yield tune.name, name
