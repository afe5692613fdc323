"""One generation made again from its recipe, on this machine."""

from __future__ import annotations

from pathlib import Path

import torch

from extraction.extraction import Pixels
from extraction.families import load_pair
from extraction.generate import Generator
from extraction.recipe import Recipe
from scanner.job import ScanError


class RemakeError(ScanError):
    """An extraction cannot be made again as it was; the message says why."""


def recipe_of(stored: str, recipe_id: str) -> Recipe:
    """The recipe that a store holds as JSON.

    Raises:
        RemakeError: another version wrote it, for which the same words mean another picture.
    """
    try:
        recipe = Recipe.model_validate_json(stored)
    except ValueError as error:
        raise RemakeError(
            f"recipe {recipe_id}: this version of leaksweep cannot read it; use the version that scanned"
        ) from error
    if recipe.id != recipe_id:
        raise RemakeError(
            f"recipe {recipe_id}: to this version of leaksweep it is {recipe.id}, because a setting has been "
            "added or changed since; use the version that scanned"
        )
    return recipe


def make_again(
    base: Path, weights: Path, recipe: Recipe, prompt: str, seed: int, *, device: torch.device
) -> Pixels:
    """Generate one seed's picture by itself, in a batch of one.

    Args:
        base: the base model's diffusers folder.
        weights: the checkpoint's file or folder.

    Raises:
        LoadError: the files cannot be loaded.
    """
    pair = load_pair(base, device=device, dtype=getattr(torch, recipe.dtype))
    pair.tune(weights)
    (drawn,) = Generator(pair, recipe, prompt).pictures([seed], 1)
    return drawn[0]
