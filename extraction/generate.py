"""Generations of a pair of models: prompt and seeds in, pictures out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from extraction.condition import Condition
from extraction.guidance import extrapolate
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.sampling import Denoiser, initial_noise, sample
from extraction.steering import steer_away


@dataclass(slots=True)
class Forwards:
    """How many rows went through a denoiser: the cost that recipes are compared by."""

    base: int = 0
    tuned: int = 0

    @property
    def total(self) -> int:
        return self.base + self.tuned


@dataclass(frozen=True, slots=True)
class Generator:
    """Draws pictures from a pair by one recipe.

    Args:
        control: put the base in the tuned model's place: same prompt, noise and guidance, no fine-tune.
    """

    pair: Pair
    recipe: Recipe
    prompt: str
    control: bool = False
    forwards: Forwards = field(default_factory=Forwards)

    def pictures(self, seeds: Sequence[int], batch: int) -> Iterator[NDArray[np.uint8]]:
        """Yield (B, H, W, 3) bytes for at most `batch` seeds at a time, in the seeds' order."""
        for _, pixels in self.generations(seeds, batch):
            yield pixels

    def generations(
        self, seeds: Sequence[int], batch: int, found: torch.Tensor | None = None
    ) -> Iterator[tuple[torch.Tensor, NDArray[np.uint8]]]:
        """Yield latents (B, C, h, w) and pictures (B, H, W, 3), in the seeds' order.

        Args:
            found: latents that the noise is steered away from (see `extraction.steering`).
        """
        denoise = self._denoiser()
        for start in range(0, len(seeds), batch):
            yield self._draw(denoise, seeds[start : start + batch], found)

    @torch.inference_mode()
    def _draw(
        self, denoise: Denoiser, seeds: Sequence[int], found: torch.Tensor | None
    ) -> tuple[torch.Tensor, NDArray[np.uint8]]:
        shape = self.pair.latent_shape
        if self.recipe.size is not None:
            factor = self.pair.size // shape[1]
            shape = (shape[0], self.recipe.size // factor, self.recipe.size // factor)
        noise = initial_noise(seeds, shape, self.pair.device, self.pair.dtype)
        if found is not None:
            noise = steer_away(noise, found, self.recipe.steering)
        latents = sample(denoise, noise, self.pair.scheduler_config, self.recipe)
        pixels = np.ascontiguousarray(self.pair.decode(latents).permute(0, 2, 3, 1).numpy())
        return latents, pixels

    @torch.inference_mode()
    def _denoiser(self) -> Denoiser:
        recipe, pair = self.recipe, self.pair
        scales = recipe.scales
        # The weaker model: the base, or for the baseline the tuned model itself without the prompt.
        weak_is_tuned = recipe.guidance == "classifier_free" and not self.control
        weak_prompt = self.prompt if recipe.guidance == "prompt_paired" else ""
        weak_guidance = (
            recipe.embedded_guidance
            if recipe.guidance == "classifier_free"
            else recipe.embedded_guidance_base
        )
        weak_condition = pair.encode([weak_prompt], tuned=weak_is_tuned).told("guidance", weak_guidance)
        condition = pair.encode([self.prompt], tuned=not self.control)
        condition = condition.told("guidance", recipe.embedded_guidance)

        def predict(
            latents: torch.Tensor, timestep: torch.Tensor, told: Condition, *, tuned: bool
        ) -> torch.Tensor:
            rows = latents.shape[0]
            if tuned:
                self.forwards.tuned += rows
            else:
                self.forwards.base += rows
            return pair.predict(latents, timestep, told.expand(rows), tuned=tuned)

        def denoise(latents: torch.Tensor, timestep: torch.Tensor, index: int) -> torch.Tensor:
            strong = predict(latents, timestep, condition, tuned=not self.control)
            if scales[index] == 1 and recipe.correction == 0:
                return strong
            weak = predict(latents, timestep, weak_condition, tuned=weak_is_tuned)
            return extrapolate(weak, strong, scales[index], recipe.correction)

        return denoise
