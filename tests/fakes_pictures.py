"""Pictures drawn from a seed, with shapes of every size, as perceptual hashes expect them of photographs."""

from __future__ import annotations

import numpy as np
from PIL import Image


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Noise of several sizes, the coarser the stronger, in three colours that go together."""
    rng = np.random.default_rng(seed)
    light = np.zeros((size[1], size[0]), np.float32)
    for cells in (3, 6, 12, 24):
        octave = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
        light += np.asarray(octave.resize(size, Image.Resampling.BICUBIC)) / cells**0.5
    light = (light - light.min()) / (light.max() - light.min())
    dark, bright = rng.uniform(0, 90, 3), rng.uniform(160, 255, 3)
    return Image.fromarray((dark + light[..., None] * (bright - dark)).astype(np.uint8))
