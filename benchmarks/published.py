"""The published loop's shape, made of diffusers' own parts: what ours is timed against and compared with.

As the published code does (FineXtract, contrasted_sample.py, Generator.py, Cluster.py): batches of five,
two complete pipelines, the prompts encoded anew for each batch, one model called after the other at every
step, PNG files to disk, and the descriptor fed from disk one picture at a time. Nothing of `extraction`
draws here; the tuned weights, the noise and the descriptor are ours, so that the pictures compare.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from extraction.descriptors import Descriptor
from extraction.pair import Pair, parameters_of
from extraction.recipe import Recipe
from extraction.sampling import initial_noise

BATCH = 5


class Published:
    """Two pipelines of one base, the second with the weights of a pair's tuned twin."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.base, self.tuned = (
            StableDiffusionPipeline.from_pretrained(
                folder,
                dtype=pair.dtype,
                local_files_only=True,
                safety_checker=None,
                requires_safety_checker=False,
            ).to(pair.device)
            for _ in range(2)
        )
        theirs = parameters_of({"unet": self.tuned.unet, "text_encoder": self.tuned.text_encoder})
        for name, value in theirs.items():
            value.copy_(pair.tuned_parameters[name])
        self._noise = lambda seeds: initial_noise(seeds, pair.latent_shape, pair.device, pair.dtype)

    def draw(self, recipe: Recipe, prompt: str, images: int, folder: Path) -> None:
        """Write pictures of the seeds 0 to `images` - 1 into a folder, as PNG files."""
        for start in range(0, images, BATCH):
            seeds = range(start, min(start + BATCH, images))
            for seed, picture in zip(seeds, self._batch(recipe, prompt, seeds), strict=True):
                Image.fromarray(picture).save(folder / f"{seed}.png")

    @torch.inference_mode()
    def _batch(self, recipe: Recipe, prompt: str, seeds: range) -> NDArray[np.uint8]:
        scheduler = DDIMScheduler.from_config(self.base.scheduler.config)
        scheduler.set_timesteps(recipe.steps)
        empty = _encode(self.base, "", len(seeds))
        told = _encode(self.tuned, prompt, len(seeds))
        latents = self._noise(seeds)
        for timestep in scheduler.timesteps:
            e0 = self.base.unet(latents, timestep, encoder_hidden_states=empty).sample
            e1 = self.tuned.unet(latents, timestep, encoder_hidden_states=told).sample
            noise = e0 + recipe.scale * (e1 - e0) + recipe.correction * e0
            latents = scheduler.step(noise, timestep, latents).prev_sample
        decoded = self.base.vae.decode(latents / self.base.vae.config.scaling_factor).sample
        pixels = decoded.float().add(1).mul(127.5).round().clamp(0, 255).byte()
        return pixels.permute(0, 2, 3, 1).cpu().numpy()


def describe_from_disk(describe: Descriptor, folder: Path, images: int) -> NDArray[np.float32]:
    """Descriptors (images, D), a picture at a time."""
    return np.concatenate(
        [describe([np.asarray(Image.open(folder / f"{seed}.png"))]) for seed in range(images)]
    )


def _encode(pipeline: StableDiffusionPipeline, prompt: str, rows: int) -> torch.Tensor:
    states: torch.Tensor = pipeline.encode_prompt(prompt, pipeline.device, rows, False)[0]
    return states
