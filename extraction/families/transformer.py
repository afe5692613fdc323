"""What all diffusion transformers have in common: how one is built, and how it cuts latents into patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from extraction.extraction import ExtractionError, LoadError
from extraction.families.build import Module, build, read_config, without_notes
from extraction.weights import shorten


def load_module(
    make: Callable[..., Module], folder: Path, *, device: torch.device, dtype: torch.dtype
) -> Module:
    """Build a transformer or VAE of diffusers from its folder's config, and fill it.

    Raises:
        LoadError: see `extraction.families.build.build`.
    """
    given = without_notes(read_config(folder))
    return build(lambda: make(**given), folder, rename=str, device=device, dtype=dtype)


def refuse_unless(settings: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise when a transformer wants to be told more than latents, time and text.

    Raises:
        LoadError: "unsupported_family".
    """
    for name, value in expected.items():
        if settings[name] != value:
            raise LoadError(
                "unsupported_family",
                f"its transformer has {name} {shorten(settings[name])}; only {shorten(value)} is read: "
                "it is a variant for other uses than text to picture",
            )


def check_even(latents: Tensor) -> None:
    """Raise unless latents can be cut into patches of 2 x 2.

    Raises:
        ExtractionError: naming the setting to change.
    """
    if latents.shape[2] % 2 or latents.shape[3] % 2:
        raise ExtractionError(
            f"latents of {latents.shape[2]} x {latents.shape[3]} cannot be cut into patches of 2 x 2; "
            "set the recipe's size to a multiple of 16"
        )


def pack(latents: Tensor) -> Tensor:
    """Patches of 2 x 2 latents, row by row: (B, C, h, w) -> (B, h/2 * w/2, 4 C)."""
    return nn.functional.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)


def unpack(packed: Tensor, height: int) -> Tensor:
    """The opposite of `pack`, given the number of patches from top to bottom."""
    rows, patches, values = packed.shape
    grid = packed.transpose(1, 2).reshape(rows, values, height, patches // height)
    return nn.functional.pixel_shuffle(grid, 2)
