"""Climb the rungs that need weights, as far as a checkpoint gives reason to."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from extraction.descriptors import Descriptor
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.triage.change import Subspaces, spectrum_of
from extraction.triage.likeness import likeness
from extraction.triage.probe import probe
from extraction.triage.reading import Reading, Rung, reading


@dataclass(slots=True)
class Ladder:
    """The rungs for the fine-tunes of one base, one after the other."""

    pair: Pair
    describe: Descriptor
    batch: int
    """Rows in one forward."""
    clock: Callable[[], float] = time.monotonic
    """Seconds, from any beginning."""
    subspaces: Subspaces = field(init=False)

    def __post_init__(self) -> None:
        self.subspaces = Subspaces(self.pair.base_parameters)

    def climb(self, path: Path, prompt: str, recipe: Recipe, rungs: Collection[Rung]) -> Iterator[Reading]:
        """Yield a reading for each of `rungs`, cheapest first; stop asking and no more is spent.

        Args:
            path: the fine-tune that the pair has been tuned to.
        """
        for rung in Rung:
            if rung in rungs and rung is not Rung.HEADER:
                yield self._read(rung, path, prompt, recipe)

    def _read(self, rung: Rung, path: Path, prompt: str, recipe: Recipe) -> Reading:
        begun = self.clock()
        if rung is Rung.SPECTRUM:
            spectrum = spectrum_of(self.pair, path, self.subspaces)
            return reading(rung, spectrum, seconds=self.clock() - begun)
        if rung is Rung.FORWARDS:
            asked, forwards = probe(self.pair, prompt, seed=recipe.seed)
            return reading(rung, asked, forwards=forwards, seconds=self.clock() - begun)
        drawn, forwards = likeness(self.pair, prompt, recipe, self.describe, batch=self.batch)
        return reading(rung, drawn, forwards=forwards, seconds=self.clock() - begun)
