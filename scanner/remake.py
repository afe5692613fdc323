"""An extraction and its control made again from their recipe, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from extraction import extract
from extraction.extraction import Pixels, Round
from extraction.families import load_pair
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
    base: Path,
    weights: Path,
    recipe: Recipe,
    prompt: str,
    seed: int,
    rounds: Sequence[Round],
    *,
    device: torch.device,
    word: str | None = None,
) -> tuple[Pixels, Pixels]:
    """Make one seed's picture and its control, each in a batch of one.

    Args:
        base: the base model's diffusers folder.
        weights: the checkpoint's file or folder.
        rounds: of the extraction: what its noise was steered away from is made first.
        word: what a textual inversion is called that does not say it; see `scanner.prompts.word_of`.

    Raises:
        LoadError: the files cannot be loaded.
    """
    pair = load_pair(base, device=device, dtype=getattr(torch, recipe.dtype))
    pair.tune(weights, word)
    return extract.make_again(pair, recipe, prompt, seed, rounds)
