"""Draw a budget of generations in rounds, each steered away from what those before it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from extraction.clustering import cosine, modes
from extraction.descriptors import Descriptor
from extraction.extraction import Round
from extraction.generate import Generator
from extraction.likelihood import log_likelihood_ratio

Progress = Callable[[int, int], None]
"""(generations done, generations in all)."""

RECURRENT = 0.6
"""Similarity to its nearest at which a picture has come back twice, and a round need not find it again.
Between what two pictures of one fine-tune have with each other and what copies have (docs/method.md)."""

EXPLAINED = 0.3
"""Share of the highest likelihood ratio that such a picture has to have: not what a collapse repeats."""


@dataclass(frozen=True, slots=True)
class Generations:
    """What was drawn from one pair, in the order of the seeds."""

    seeds: Sequence[int]
    latents: torch.Tensor
    """(n, C, h, w) on the CPU."""
    pixels: Sequence[NDArray[np.uint8]]
    """(H, W, 3) each."""
    descriptors: NDArray[np.float32]
    """(n, D)."""
    ratios: NDArray[np.float32] | None
    """(n,) log-likelihood ratios; None where the recipe does not ask for them."""

    def of(self, seeds: Sequence[int]) -> torch.Tensor:
        """Latents of those seeds."""
        return self.latents[[seed - self.seeds[0] for seed in seeds]]

    def recurrent(self, similarity_limit: float, neighbours: int, limit: int) -> list[int]:
        """Seeds of the modes that came back more than once, and that the tuned model explains better."""
        found = modes(cosine(self.descriptors), similarity_limit, neighbours, limit, self.ratios)
        back = [one.medoid for one in found if one.nearest >= RECURRENT]
        if self.ratios is not None:
            least = EXPLAINED * self.ratios.max()
            back = [medoid for medoid in back if self.ratios[medoid] > least]
        return [self.seeds[medoid] for medoid in back]


def draw_rounds(
    generator: Generator,
    seeds: range,
    *,
    pictures: int,
    describe: Descriptor,
    batch: int,
    progress: Progress | None = None,
) -> tuple[Generations, list[Round]]:
    """Draw every seed, in as many rounds as the generator's recipe says.

    Args:
        pictures: the most pictures that a round is steered away from.
        progress: called after each batch.

    Returns:
        The generations, and the rounds they were drawn in, from which any of them can be made again.
    """
    recipe = generator.recipe
    drawn: Generations | None = None
    rounds: list[Round] = []
    for part in split(seeds, recipe.rounds):
        known = drawn.recurrent(recipe.cluster_similarity, recipe.neighbours, pictures) if drawn else []
        rounds.append(Round(first=part[0], avoided=tuple(sorted(known))))
        found = drawn.of(rounds[-1].avoided) if drawn and known else None
        drawn = _extend(drawn, generator, part, found, describe, batch, progress, len(seeds))
    assert drawn is not None  # there is at least one seed
    return drawn, rounds


def split(seeds: range, parts: int) -> Iterator[range]:
    """Consecutive ranges, as even as can be, none of them empty."""
    bounds = [round(len(seeds) * part / parts) for part in range(parts + 1)]
    for start, end in pairwise(bounds):
        if end > start:
            yield seeds[start:end]


def _extend(
    drawn: Generations | None,
    generator: Generator,
    seeds: range,
    found: torch.Tensor | None,
    describe: Descriptor,
    batch: int,
    progress: Progress | None,
    total: int,
) -> Generations:
    latents: list[torch.Tensor] = [drawn.latents] if drawn else []
    pixels = list(drawn.pixels) if drawn else []
    rows = [drawn.descriptors] if drawn else []
    before = len(pixels)
    for some, pictures in generator.generations(seeds, batch, found):
        latents.append(some.cpu())
        pixels.extend(pictures)
        rows.append(describe(pictures))
        if progress is not None:
            progress(len(pixels), total)
    together = torch.cat(latents)
    ratios = None
    if generator.recipe.ranks_by_ratio:
        new = log_likelihood_ratio(
            generator.pair, together[before:], generator.prompt, batch=batch, forwards=generator.forwards
        ).numpy()
        ratios = new if drawn is None or drawn.ratios is None else np.concatenate([drawn.ratios, new])
    first = drawn.seeds[0] if drawn else seeds[0]
    return Generations(range(first, seeds[-1] + 1), together, pixels, np.concatenate(rows), ratios)
