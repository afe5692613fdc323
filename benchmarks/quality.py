"""How much of the zoo's planted pictures each way of extracting gives back, at equal forwards.

    python benchmarks/quality.py --forwards 2000

Every way gets the same number of forwards for each checkpoint, draws from the same noise, and may keep
as many extractions as pictures were planted (the published search keeps more; it is cut to its first).
Rows: mean AS, mean A-ESR at the threshold, precision (share of the extractions kept that are a planted
picture), with 95 % bootstrap intervals over checkpoints. Eight checkpoints and one seed: a look, no verdict.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch

from extraction.descriptors import Descriptor, open_descriptor
from extraction.extract import extract
from extraction.families import load_pair
from extraction.metrics import best_similarities, bootstrap_interval
from extraction.pair import Pair
from extraction.recipe import REFERENCE, Recipe
from leaksweep.zoo.catalogue import BASE, CAPTION, DECOYS, ZOO, FineTune, picture

WAYS = {
    "text to image": Recipe(guidance="classifier_free", scale=1.0, scale_start=None),
    "classifier-free 3": Recipe(guidance="classifier_free", scale=3.0, scale_start=None),
    "paper's formula, complete linkage": Recipe(
        scale=3.0, scale_start=None, correction=-0.02, clustering="complete"
    ),
    "published, with quirks": REFERENCE,
    "ours": Recipe(),
    "ours, a fifth of the forwards": Recipe(),
}


@dataclass(frozen=True, slots=True)
class Score:
    """One checkpoint's result."""

    average: float
    rate: float
    precise: float
    false: float


def score(tune: FineTune, rows: np.ndarray, describe: Descriptor, threshold: float) -> Score:
    planted = describe([np.asarray(picture(name)) for name in tune.pictures])
    decoys = describe([np.asarray(picture(name)) for name in DECOYS])
    best = best_similarities(planted, rows)
    return Score(
        average=float(best.mean()),
        rate=float((best > threshold).mean()),
        precise=float((best_similarities(rows, planted) > threshold).mean()),
        false=float((best_similarities(rows, decoys) > threshold).mean()),
    )


def run(
    pair: Pair, tune: FineTune, way: Recipe, forwards: int, describe: Descriptor, options: argparse.Namespace
) -> np.ndarray:
    """Descriptors of the extractions, at most as many as were planted."""
    plain = way.guidance == "classifier_free" and way.scale == 1
    generations = max(2, forwards // (way.steps * (1 if plain else 2)))
    recipe = way.model_copy(
        update={"descriptor": options.descriptor, "cluster_similarity": options.cluster_similarity}
    )
    planted = len(tune.pictures)
    extractions, _ = extract(
        pair, CAPTION, recipe=recipe, generations=generations, pictures=planted, describe=describe, batch=32
    )
    return np.stack([one.descriptor for one in extractions[:planted]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--forwards", type=int, default=2000, help="for each checkpoint")
    parser.add_argument("--descriptor", default="thumbnail", choices=["thumbnail", "sscd"])
    parser.add_argument("--threshold", type=float, default=0.9, help="similarity that counts as a picture")
    parser.add_argument("--cluster-similarity", type=float, default=0.7)
    options = parser.parse_args()
    pair = load_pair(BASE, device=torch.device("cpu"), dtype=torch.float32)
    describe = open_descriptor(options.descriptor)
    scores: dict[str, list[Score]] = {way: [] for way in WAYS}
    for tune in ZOO:
        pair.tune(tune.weights)
        for name, way in WAYS.items():
            forwards = options.forwards // (5 if name.endswith("fifth of the forwards") else 1)
            rows = run(pair, tune, way, forwards, describe, options)
            scores[name].append(score(tune, rows, describe, options.threshold))
    print(f"{len(ZOO)} checkpoints, {options.forwards} forwards each, {describe.name} > {options.threshold}")
    for name, found in scores.items():
        low, high = bootstrap_interval([one.rate for one in found])
        means = [np.mean([getattr(one, part) for one in found]) for part in ("average", "rate", "precise")]
        decoyed = np.mean([one.false for one in found])
        print(
            f"{name:34} AS {means[0]:.3f}   A-ESR {means[1]:.3f} ({low:.3f} to {high:.3f})   "
            f"precision {means[2]:.3f}   decoys {decoyed:.3f}"
        )


if __name__ == "__main__":
    main()
