"""One fine-tune, one way of extracting: what it cost, and how much of what was planted came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.zoo import Planted, decoys, read_pictures
from extraction.descriptors import Descriptor
from extraction.extract import extract
from extraction.metrics import best_similarities
from extraction.pair import Pair
from extraction.recipe import REFERENCE, Recipe

PLAIN = Recipe(guidance="classifier_free", scale=1.0, guidance_from=0.0, rounds=1, likelihood_ratio=False)
"""No guidance and no rounds: what the other ways are built on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A row of the table."""

    recipe: Recipe
    share: float = 1.0
    """Of the forwards that the others get."""
    true_captions: bool = False
    """Told the caption of training where the others have to guess."""


def ways(descriptor: str) -> dict[str, Way]:
    """Every way that is compared; all choose by one descriptor, and may keep as many as were planted."""

    def way(recipe: Recipe, **changes: object) -> Recipe:
        return recipe.model_copy(update={"descriptor": descriptor, "max_images": 10_000, **changes})

    cfg = way(PLAIN, scale=3.0, clustering="complete", cluster_similarity=0.6)
    paper = way(cfg, guidance="base_unconditional", correction=-0.02)
    default = way(Recipe())
    return {
        "plain": Way(recipe=way(cfg, scale=1.0)),
        "cfg": Way(recipe=cfg),
        "reference": Way(recipe=way(REFERENCE)),
        "reference_true_captions": Way(recipe=way(REFERENCE), true_captions=True),
        "paper": Way(recipe=paper),
        "default": Way(recipe=default),
        "default_tenth": Way(recipe=default, share=0.1),
        # Each of these differs from "default" in one thing.
        "constant_scale": Way(recipe=way(default, scale=3.0, guidance_from=0.0)),
        "one_round": Way(recipe=way(default, rounds=1)),
        "no_ratio": Way(recipe=way(default, likelihood_ratio=False)),
        "complete_linkage": Way(recipe=way(default, clustering="complete", cluster_similarity=0.6)),
        "sampler_dpmpp": Way(recipe=way(default, sampler="dpmpp_2m")),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one way on one fine-tune; similarities as lists, so that thresholds come later."""

    checkpoint: str
    kind: str
    strength: str
    source: str
    captions: str
    seed: int
    way: str
    recipe_id: str
    pictures: int
    generations: int
    forwards: int
    """Rows through a denoiser, the likelihood ratio's included, the control's not (all ways have it)."""
    descriptor: str
    planted: tuple[float, ...]
    """For each planted picture its highest similarity to an extraction."""
    extracted: tuple[float, ...]
    """For each extraction its highest similarity to a planted picture."""
    decoys: tuple[float, ...]
    """For each extraction its highest similarity to a decoy."""


def measure(
    pair: Pair,
    planted: Planted,
    folder: Path,
    name: str,
    way: Way,
    *,
    forwards_per_picture: int,
    describe: Descriptor,
    judges: Sequence[Descriptor],
) -> list[Row]:
    """Extract with a budget of forwards; one row for each descriptor that judges.

    Args:
        pair: tuned to the fine-tune.
        describe: what the recipe chooses by.
    """
    pictures, recipe = len(planted.pictures), way.recipe
    budget = int(forwards_per_picture * pictures * way.share)
    generations = recipe.affordable(budget)
    found, measures = extract(
        pair,
        planted.caption if way.true_captions else planted.given,
        recipe=recipe,
        generations=generations,
        pictures=pictures,
        describe=describe,
        batch=50,
    )
    # The published search keeps every clique; a rate compares only sets of one size.
    found = found[:pictures]
    pixels = np.stack([one.pixels for one in found])
    known = [np.asarray(picture) for picture in read_pictures(folder, planted.pictures)]
    strange = [np.asarray(picture) for picture in decoys(folder)]
    rows = []
    for judge in judges:
        extracted, references = judge(pixels), judge(known)
        rows.append(
            Row(
                checkpoint=planted.name,
                kind=planted.kind,
                strength=planted.strength,
                source=planted.source,
                captions=planted.captions,
                seed=planted.seed,
                way=name,
                recipe_id=recipe.id,
                pictures=pictures,
                generations=generations,
                forwards=measures["forwards_base"] + measures["forwards_tuned"],
                descriptor=judge.name,
                planted=_floats(best_similarities(references, extracted)),
                extracted=_floats(best_similarities(extracted, references)),
                decoys=_floats(best_similarities(extracted, judge(strange))),
            )
        )
    return rows


def _floats(values: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
