"""The fourth rung: a few pictures at few steps. Do they repeat each other more than the base's own do?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extraction.clustering import cosine
from extraction.descriptors import Descriptor
from extraction.generate import Forwards, Generator
from extraction.pair import Pair
from extraction.recipe import Recipe

IMAGES = 16
"""Generations of each model."""
STEPS = 10
"""Denoising steps of each, at most: enough to see whether two are one picture."""
TOP = 8
"""Pairs of generations that the likeness is the mean of: 8 of 120."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How alike a model's generations are among each other, as cosine similarities of descriptors."""

    tuned: float
    """Mean of the `TOP` likest pairs of the tuned model's generations, -1 to 1."""
    base: float
    """The same of the base alone, with the same prompt, noise and recipe."""
    tuned_mean: float
    """Mean over all pairs; near 1 when the model has collapsed to one picture."""
    base_mean: float

    @property
    def score(self) -> float | None:
        """What the tuned model repeats beyond what the base would: -2 to 2."""
        return self.tuned - self.base

    @property
    def why(self) -> str:
        return (
            f"the {TOP} likest pairs of {IMAGES} pictures have a similarity of {self.tuned:.2f}, "
            f"those of the base alone {self.base:.2f}"
        )


def likeness(
    pair: Pair, prompt: str, recipe: Recipe, describe: Descriptor, *, batch: int
) -> tuple[Likeness, int]:
    """Draw `IMAGES` pictures of each model; returns the measures and the forwards they cost.

    Args:
        recipe: the scan's own; only the number of steps is lowered.
    """
    quick = recipe.model_copy(update={"steps": min(STEPS, recipe.steps), "published_quirks": False})
    seeds = range(recipe.seed, recipe.seed + IMAGES)
    forwards = Forwards()
    found = []
    for control in (False, True):
        generator = Generator(pair, quick, prompt, control=control, forwards=forwards)
        described = [describe(drawn) for drawn in generator.pictures(seeds, batch)]
        found.append(pair_similarities(np.concatenate(described)))
    tuned, base = found
    measures = Likeness(
        tuned=_mean(tuned[:TOP]), base=_mean(base[:TOP]), tuned_mean=_mean(tuned), base_mean=_mean(base)
    )
    return measures, forwards.total


def pair_similarities(descriptors: NDArray[np.float32]) -> list[float]:
    """Cosine similarity of every pair of unit rows (n, D), likest first: n (n - 1) / 2 numbers."""
    upper = np.triu_indices(len(descriptors), k=1)
    found: list[float] = np.sort(cosine(descriptors)[upper])[::-1].tolist()
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
