"""The method from end to end: generate, describe, cluster, control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extraction.clustering import Cluster, complete_clusters, cosine, dense_clusters, published_cliques
from extraction.descriptors import Descriptor
from extraction.extraction import Extraction, Vector
from extraction.generate import Generator
from extraction.pair import Pair
from extraction.recipe import Recipe

Progress = Callable[[int, int], None]
"""(generations done, generations in all)."""


def extract(
    pair: Pair,
    prompt: str,
    *,
    recipe: Recipe,
    generations: int,
    pictures: int,
    describe: Descriptor,
    batch: int,
    progress: Progress | None = None,
) -> tuple[list[Extraction], dict[str, Any]]:
    """Take pictures back out of a tuned model.

    Args:
        pair: the base and the tuned model.
        prompt: the caption of the training pictures, as far as it is known.
        generations: N_G, how many pictures are drawn.
        pictures: N_0, the most extractions returned (the published search returns all of its cliques).
        batch: rows in one forward; changes the speed, not the pictures (up to rounding).

    Returns:
        Extractions, best first, and what they cost: generations, forwards of each model, and the
        mean similarity of the generations among each other.
    """
    seeds = range(recipe.seed, recipe.seed + generations)
    generator = Generator(pair, recipe, prompt)
    drawn, described = _draw(generator, seeds, describe, batch, progress)
    similarity = cosine(described)
    clusters = choose(similarity, described, recipe, pictures)

    control = Generator(pair, recipe, prompt, control=True)
    medoids = [seeds[cluster.medoid] for cluster in clusters]
    control_drawn, control_described = _draw(control, medoids, describe, batch, None)

    extractions = [
        Extraction(
            rank=rank,
            seed=seeds[cluster.medoid],
            prompt=prompt,
            cluster=tuple(seeds[member] for member in cluster.members),
            cohesion=cluster.cohesion,
            score=cluster.score,
            descriptor=described[cluster.medoid],
            control_descriptor=control_described[rank],
            control_similarity=float(described[cluster.medoid] @ control_described[rank]),
            pixels=drawn[cluster.medoid],
            control_pixels=control_drawn[rank],
        )
        for rank, cluster in enumerate(clusters)
    ]
    measures = {
        "generations": generations,
        "forwards_base": generator.forwards.base,
        "forwards_tuned": generator.forwards.tuned,
        "forwards_control": control.forwards.total,
        "mean_similarity": _off_diagonal_mean(similarity),
    }
    return extractions, measures


def choose(
    similarity: NDArray[np.float32], descriptors: NDArray[np.float32], recipe: Recipe, pictures: int
) -> list[Cluster]:
    """Cluster as the recipe says and keep at most `pictures` (all, for the published search)."""
    if recipe.clustering == "cliques":
        cliques = published_cliques(similarity, descriptors, pictures, seed=recipe.seed)
        return cliques if recipe.published_quirks else cliques[:pictures]
    if recipe.clustering == "complete":
        return complete_clusters(similarity, recipe.cluster_similarity, pictures)
    return dense_clusters(similarity, recipe.cluster_similarity, recipe.neighbours, pictures)


def _draw(
    generator: Generator,
    seeds: range | list[int],
    describe: Descriptor,
    batch: int,
    progress: Progress | None,
) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    pixels: list[NDArray[np.uint8]] = []
    rows: list[Vector] = []
    for drawn in generator.pictures(seeds, batch):
        pixels.extend(drawn)
        rows.extend(describe(drawn))
        if progress is not None:
            progress(len(pixels), len(seeds))
    return pixels, np.stack(rows)


def _off_diagonal_mean(similarity: NDArray[np.float32]) -> float:
    count = len(similarity)
    if count < 2:
        return 0.0
    return float((similarity.sum() - np.trace(similarity)) / (count * (count - 1)))
