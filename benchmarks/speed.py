"""Pictures a second beside the published loop, and the time to cluster, in one run on one machine.

    python -m benchmarks.speed --json

`ratio` is ours over the peer's (`benchmarks/published.py`) by the published settings: same seeds, prompt,
scale, correction, sampler, steps and dtype, so the pictures are the same, seed for seed, up to rounding;
the run ends with an error when they are not. `default_ratio` is ours by the default recipe over the same
peer: other pictures, as many of them, with fewer steps. Both describe with `thumbnail`, so that the ratios
are about drawing. Descriptors for the clustering are synthetic.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from numpy.typing import NDArray
from transformers.utils import logging as transformers_logging

from benchmarks.parts import Parts
from benchmarks.published import Published, describe_from_disk
from extraction.clustering import cosine, dense_clusters, published_cliques
from extraction.descriptors import Thumbnail
from extraction.families import load_pair
from extraction.generate import Generator
from extraction.pair import Pair
from extraction.recipe import Recipe
from leaksweep.zoo.catalogue import BASE, CAPTION, WEIGHTS

ALIKE = 0.98
"""Least mean similarity of two loops' pictures, seed for seed, that are called the same."""

Draw = Callable[[], NDArray[np.float32]]
"""Draws and describes; descriptors (images, D) in the order of the seeds."""


def published(peer: Published, recipe: Recipe, images: int) -> Draw:
    def work() -> NDArray[np.float32]:
        with tempfile.TemporaryDirectory() as folder:
            peer.draw(recipe, CAPTION, images, Path(folder))
            return describe_from_disk(Thumbnail(), Path(folder), images)

    return work


def ours(pair: Pair, recipe: Recipe, images: int, batch: int) -> Draw:
    def work() -> NDArray[np.float32]:
        drawn = Generator(pair, recipe, CAPTION).pictures(range(images), batch)
        return np.concatenate([Thumbnail()(pixels) for pixels in drawn])

    return work


def images_per_second(rounds: int, images: int, loops: dict[str, Draw]) -> dict[str, float]:
    """Median rate of each loop; the loops take turns, so that a slow minute hits all of them.

    Raises:
        SystemExit: "published" and "same recipe" drew different pictures.
    """
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        described = {}
        for name, draw in loops.items():
            begun = time.perf_counter()
            described[name] = draw()
            rates[name].append(images / (time.perf_counter() - begun))
        likeness = float((described["published"] * described["same recipe"]).sum(axis=1).mean())
        if likeness < ALIKE:
            raise SystemExit(f"the two loops drew different pictures: mean similarity {likeness:.3f}")
    return {name: float(np.median(values)) for name, values in rates.items()}


def planted(count: int, groups: int = 10, size: int = 20) -> NDArray[np.float32]:
    """Unit rows (count, 512): `groups` centres with `size` noisy copies each, the rest unrelated."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=512)
    rows = rng.normal(size=(count, 512)) + 0.6 * common
    for group in range(groups):
        centre = rng.normal(size=512) + 0.6 * common
        rows[group * size : (group + 1) * size] = centre + 0.45 * rng.normal(size=(size, 512))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cluster_seconds(count: int, rounds: int) -> float:
    """Median seconds from descriptors to clusters by the default recipe.

    Raises:
        SystemExit: a planted group was not found, or two rounds differ.
    """
    rows, recipe, seconds, found = planted(count), Recipe(), [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        clusters = dense_clusters(cosine(rows), recipe.cluster_similarity, recipe.neighbours, limit=10)
        seconds.append(time.perf_counter() - begun)
        found.append(clusters)
    if sorted({member // 20 for cluster in found[0] for member in cluster.members}) != list(range(10)):
        raise SystemExit(f"clustering of {count} did not find the planted groups")
    if any(clusters != found[0] for clusters in found):
        raise SystemExit(f"clustering of {count} is not deterministic")
    return float(np.median(seconds))


def cliques_seconds(count: int, limit: float) -> float:
    """Seconds of the published search on the same descriptors, `limit` seconds an attempt."""
    rows = planted(count)
    begun = time.perf_counter()
    published_cliques(cosine(rows), rows, pictures=10, seconds=limit)
    return time.perf_counter() - begun


def hardware(pair: Pair) -> str:
    """What the figures were measured on."""
    if pair.device.type == "cuda":
        device = torch.cuda.get_device_name(pair.device)
    else:
        device = f"{_processor()}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return f"{device}; torch {torch.__version__}, {platform.system()} {platform.machine()}"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=48, help="pictures of each loop in each round")
    parser.add_argument("--steps", type=int, default=50, help="of the published settings")
    parser.add_argument("--batch", type=int, default=16, help="rows of one of our forwards")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--compile", default="off", choices=("off", "on", "cuda_graphs"))
    parser.add_argument("--cliques", type=float, metavar="SECONDS", help="time the published search too")
    parser.add_argument("--operators", action="store_true", help="print the profiler's costliest operators")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, last")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    pair = load_pair(BASE, device=torch.device(options.device), dtype=getattr(torch, options.dtype))
    pair.tune(WEIGHTS / "lora-over.safetensors")
    settings = Recipe(scale=3.0, guidance_from=0.0, correction=-0.02, sampler="ddim", steps=options.steps)
    pair.compile(options.compile, options.batch)
    print(f"hardware: {hardware(pair)}; compile {options.compile}")
    peer = Published(BASE, pair)
    published(peer, settings.model_copy(update={"steps": 1}), 5)()  # what is set up once, a graph above all
    ours(pair, settings.model_copy(update={"steps": 1}), options.batch, options.batch)()
    rates = images_per_second(
        options.rounds,
        options.images,
        {
            "published": published(peer, settings, options.images),
            "same recipe": ours(pair, settings, options.images, options.batch),
            "default recipe": ours(pair, Recipe(), options.images, options.batch),
        },
    )
    for name, rate in rates.items():
        print(f"{name:16} {rate:8.2f} images/s   {rate / rates['published']:6.2f} x")
    parts = Parts(pair)
    shares = parts.shares(settings, CAPTION, options.batch, operators=options.operators)
    print("of our time, same recipe: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    few, many = cluster_seconds(500, 11), cluster_seconds(5000, 3)
    print(f"clustering: 500 in {1000 * few:.1f} ms, 5,000 in {many:.2f} s")
    if options.cliques:
        print(f"published clique search: 500 in {cliques_seconds(500, options.cliques):.1f} s")
    if options.json:
        figures: dict[str, Any] = {
            "images_per_s": round(rates["same recipe"], 4),
            "reference_images_per_s": round(rates["published"], 4),
            "ratio": round(rates["same recipe"] / rates["published"], 3),
            "cluster_500_ms": round(1000 * few, 2),
            "cluster_5000_s": round(many, 3),
            "default_images_per_s": round(rates["default recipe"], 4),
            "default_ratio": round(rates["default recipe"] / rates["published"], 3),
            "shares": {name: round(share, 4) for name, share in shares.items()},
            "compile": options.compile,
            "hardware": hardware(pair),
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
