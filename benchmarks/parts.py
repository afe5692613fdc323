"""Where the time of a batch goes: the two models, the VAE, the text encoders, the descriptor, the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from extraction.descriptors import Thumbnail
from extraction.generate import Generator
from extraction.pair import Pair
from extraction.recipe import Recipe


class Parts:
    """Stands in for a pair and takes the time of what it is asked for."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._seconds: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pair, name)

    def encode(self, *args: Any, **options: Any) -> Any:
        return self._timed("encode", self._pair.encode, *args, **options)

    def predict(self, *args: Any, **options: Any) -> Any:
        name = "tuned model" if options["tuned"] else "base model"
        return self._timed(name, self._pair.predict, *args, **options)

    def decode(self, *args: Any) -> Any:
        return self._timed("decode", self._pair.decode, *args)

    def shares(self, recipe: Recipe, prompt: str, batch: int, *, operators: bool) -> dict[str, float]:
        """Share of each part in one batch, 0 to 1; "loop" is guidance, sampler and noise.

        Args:
            operators: print the profiler's table of the same batch, drawn again.
        """
        self._batch(recipe, prompt, batch)  # the first one pays for what is set up once
        self._seconds.clear()
        self._timed("whole", self._batch, recipe, prompt, batch)
        total = self._seconds.pop("whole")
        shares = {name: seconds / total for name, seconds in self._seconds.most_common()}
        shares["loop"] = 1 - sum(shares.values())
        if operators:
            with profile(activities=[ProfilerActivity.CPU]) as taken:
                self._batch(recipe, prompt, batch)
            print(taken.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))
        return shares

    def _batch(self, recipe: Recipe, prompt: str, batch: int) -> None:
        pair: Any = self
        for pixels in Generator(pair, recipe, prompt).pictures(range(batch), batch):
            self._timed("describe", Thumbnail(), pixels)

    def _timed(self, name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        result = work(*args, **options)
        if self._pair.device.type == "cuda":
            torch.cuda.synchronize(self._pair.device)
        self._seconds[name] += time.perf_counter() - begun
        return result
