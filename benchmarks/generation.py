"""Seconds for each generation, beside a straight re-implementation of the published loop, in one run.

    python benchmarks/generation.py --images 60

The peer does what the published code does for each batch of five: encode the prompts again, call two
full models one after the other at every step, decode, write PNG files and read them back to describe
them one at a time. Ours draws the same number of pictures by the same recipe, in the same process.
Both describe with `thumbnail`, so that the ratio is about drawing.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler
from PIL import Image

from extraction.descriptors import Thumbnail
from extraction.families import load_pair
from extraction.generate import Generator
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.sampling import initial_noise
from leaksweep.zoo.catalogue import BASE, CAPTION, WEIGHTS

PUBLISHED_BATCH = 5


def published_loop(pair: Pair, recipe: Recipe, images: int, folder: Path) -> np.ndarray:
    """The published loop's shape: descriptors (images, D)."""
    scheduler = DDIMScheduler.from_config(pair.scheduler_config)
    scheduler.set_timesteps(recipe.steps)
    for start in range(0, images, PUBLISHED_BATCH):
        seeds = range(start, min(start + PUBLISHED_BATCH, images))
        latents = initial_noise(seeds, pair.latent_shape, pair.device, pair.dtype)
        with torch.inference_mode():
            empty = pair.encode([""] * len(seeds), tuned=False)
            states = pair.encode([CAPTION] * len(seeds), tuned=True)
            for timestep in scheduler.timesteps:
                e0 = pair.predict(latents, timestep, empty, tuned=False)
                e1 = pair.predict(latents, timestep, states, tuned=True)
                noise = e0 + recipe.scale * (e1 - e0) + recipe.correction * e0
                latents = scheduler.step(noise, timestep, latents).prev_sample
            pixels = pair.decode(latents).permute(0, 2, 3, 1).numpy()
        for seed, picture in zip(seeds, pixels, strict=True):
            Image.fromarray(picture).save(folder / f"{seed}.png")
    describe = Thumbnail()
    return np.concatenate(
        [describe([np.asarray(Image.open(folder / f"{seed}.png"))]) for seed in range(images)]
    )


def ours(pair: Pair, recipe: Recipe, images: int, batch: int) -> np.ndarray:
    describe = Thumbnail()
    drawn = Generator(pair, recipe, CAPTION).pictures(range(images), batch)
    return np.concatenate([describe(pixels) for pixels in drawn])


def seconds(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    descriptors = work()
    return time.perf_counter() - started, descriptors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    pair = load_pair(BASE, device=torch.device("cpu"), dtype=torch.float32)
    pair.tune(WEIGHTS / "lora-over.safetensors")
    plain = Recipe(scale=3.0, scale_start=None, correction=-0.02, steps=options.steps)
    rising = Recipe(steps=options.steps)
    figures: dict[str, list[float]] = {"published": [], "ours, same recipe": [], "ours, default recipe": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            took, peer = seconds(lambda: published_loop(pair, plain, options.images, Path(folder)))
        figures["published"].append(took / options.images)
        took, same = seconds(lambda: ours(pair, plain, options.images, options.batch))
        figures["ours, same recipe"].append(took / options.images)
        took, _ = seconds(lambda: ours(pair, rising, options.images, options.batch))
        figures["ours, default recipe"].append(took / options.images)
        # The speed counts only when both drew the same pictures.
        if (likeness := float((peer * same).sum(axis=1).mean())) < 0.98:
            raise SystemExit(f"the two loops drew different pictures: mean similarity {likeness:.3f}")
    medians = {name: float(np.median(values)) for name, values in figures.items()}
    for name, value in medians.items():
        print(f"{name:22} {1000 * value:7.1f} ms an image   {medians['published'] / value:5.2f} x")
    if options.out:
        facts = {"machine": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
        record = {
            **facts,
            "torch": torch.__version__,
            "options": vars(options) | {"out": None},
            "seconds": medians,
        }
        options.out.write_text(json.dumps(record, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
