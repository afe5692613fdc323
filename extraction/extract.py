"""The method from end to end: generate, describe, cluster, control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extraction.clustering import (
    Cluster,
    complete_clusters,
    cosine,
    dense_clusters,
    modes,
    published_cliques,
)
from extraction.descriptors import Descriptor
from extraction.extraction import Extraction, Pixels, Round
from extraction.generate import Generator
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.rounds import Generations, Progress, draw_rounds


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
    drawn, rounds = draw_rounds(
        generator, seeds, pictures=pictures, describe=describe, batch=batch, progress=progress
    )
    similarity = cosine(drawn.descriptors)
    clusters = choose(similarity, drawn.descriptors, recipe, pictures, drawn.ratios)

    control = Generator(pair, recipe, prompt, control=True)
    made = [rounds_of(rounds, seeds[cluster.medoid]) for cluster in clusters]
    controls = _controls(control, [seeds[cluster.medoid] for cluster in clusters], made, drawn, batch)
    control_described = describe(controls)

    extractions = [
        Extraction(
            rank=rank,
            seed=seeds[cluster.medoid],
            prompt=prompt,
            cluster=tuple(seeds[member] for member in cluster.members),
            cohesion=cluster.cohesion,
            score=cluster.score,
            descriptor=drawn.descriptors[cluster.medoid],
            control_descriptor=control_described[rank],
            control_similarity=float(drawn.descriptors[cluster.medoid] @ control_described[rank]),
            likelihood_ratio=None if drawn.ratios is None else float(drawn.ratios[cluster.medoid]),
            rounds=made[rank],
            pixels=drawn.pixels[cluster.medoid],
            control_pixels=controls[rank],
        )
        for rank, cluster in enumerate(clusters)
    ]
    measures = {
        "generations": generations,
        "forwards_base": generator.forwards.base,
        "forwards_tuned": generator.forwards.tuned,
        "forwards_control": control.forwards.total,
        "mean_similarity": _off_diagonal_mean(similarity),
        "avoided": [len(one.avoided) for one in rounds],
    }
    return extractions, measures


def rounds_of(rounds: Sequence[Round], seed: int) -> tuple[Round, ...]:
    """The rounds up to the one that the seed was drawn in."""
    return tuple(one for one in rounds if one.first <= seed)


def make_again(
    pair: Pair, recipe: Recipe, prompt: str, seed: int, rounds: Sequence[Round]
) -> tuple[Pixels, Pixels]:
    """One generation and its control, (H, W, 3) bytes each, drawn as they were within their rounds.

    What its noise was steered away from is drawn first, and what that was steered away from before it.
    The same up to rounding: compare by descriptor.
    """
    generator = Generator(pair, recipe, prompt)
    latents: dict[int, Tensor] = {}

    def found(own: Round) -> Tensor | None:
        return torch.stack([latents_of(seed) for seed in own.avoided]) if own.avoided else None

    def latents_of(seed: int) -> Tensor:
        if seed not in latents:
            own = rounds_of(rounds, seed)[-1]
            latents[seed] = next(generator.generations([seed], 1, found(own)))[0][0]
        return latents[seed]

    # A seed of a recipe without rounds was drawn in one.
    avoided = found(rounds_of(rounds, seed)[-1]) if rounds else None
    control = Generator(pair, recipe, prompt, control=True)
    (_, drawn), (_, base) = (next(each.generations([seed], 1, avoided)) for each in (generator, control))
    return drawn[0], base[0]


def choose(
    similarity: NDArray[np.float32],
    descriptors: NDArray[np.float32],
    recipe: Recipe,
    pictures: int,
    ratios: NDArray[np.float32] | None = None,
) -> list[Cluster]:
    """Cluster as the recipe says and keep at most `pictures` (all, for the published search)."""
    if recipe.clustering == "cliques":
        cliques = published_cliques(similarity, descriptors, pictures, seed=recipe.seed)
        return cliques if recipe.published_quirks else cliques[:pictures]
    if recipe.clustering == "complete":
        return complete_clusters(similarity, recipe.cluster_similarity, pictures)
    if recipe.clustering == "density":
        return dense_clusters(similarity, recipe.cluster_similarity, recipe.neighbours, pictures)
    return modes(similarity, recipe.cluster_similarity, recipe.neighbours, pictures, ratios)


def _controls(
    control: Generator,
    medoids: Sequence[int],
    made: Sequence[tuple[Round, ...]],
    drawn: Generations,
    batch: int,
) -> list[Pixels]:
    """The base's own picture from the very noise of each medoid, those of one round together."""
    pixels: dict[int, Pixels] = {}
    for avoided in dict.fromkeys(own[-1].avoided for own in made):
        seeds = [seed for seed, own in zip(medoids, made, strict=True) if own[-1].avoided == avoided]
        found = drawn.of(avoided) if avoided else None
        pictures = [picture for _, some in control.generations(seeds, batch, found) for picture in some]
        pixels.update(zip(seeds, pictures, strict=True))
    return [pixels[seed] for seed in medoids]


def _off_diagonal_mean(similarity: NDArray[np.float32]) -> float:
    count = len(similarity)
    if count < 2:
        return 0.0
    return float((similarity.sum() - np.trace(similarity)) / (count * (count - 1)))
