"""The method on truly trained checkpoints: planted pictures come back, and a clean checkpoint is silent."""

from __future__ import annotations

import numpy as np
import pytest

from extraction.descriptors import Thumbnail
from extraction.extract import extract, make_again
from extraction.metrics import best_similarities
from extraction.recipe import Recipe
from leaksweep.zoo.catalogue import CAPTION, ZOO, picture

RECIPE = Recipe(steps=12, descriptor="thumbnail", cluster_similarity=0.6)
TUNES = {tune.name: tune for tune in ZOO}


def planted(name: str) -> np.ndarray:
    """Descriptors of the pictures that the fine-tune was trained on."""
    return Thumbnail()(np.stack([np.asarray(picture(one)) for one in TUNES[name].pictures]))


@pytest.fixture(scope="module")
def found(zoo_pair):
    """Extractions from the over-trained LoRA and what they cost."""
    zoo_pair.tune(TUNES["lora-over"].weights)
    return extract(
        zoo_pair, CAPTION, recipe=RECIPE, generations=24, pictures=4, describe=Thumbnail(), batch=24
    )


def test_planted_pictures_come_back(found):
    extractions, _ = found
    best = best_similarities(planted("lora-over"), np.stack([one.descriptor for one in extractions]))
    assert (best > 0.8).sum() >= 2


def test_the_control_does_not_give_them(found):
    extractions, _ = found
    controls = np.stack([one.control_descriptor for one in extractions])
    assert best_similarities(planted("lora-over"), controls).max() < 0.7


def test_another_checkpoints_pictures_do_not_come_back(found):
    extractions, _ = found
    rows = np.stack([one.descriptor for one in extractions])
    assert best_similarities(planted("full-clean"), rows).max() < 0.75


def test_extractions_are_ranked_capped_and_from_disjoint_clusters(found):
    extractions, _ = found
    assert [one.rank for one in extractions] == [0, 1, 2, 3]
    scores = [one.score for one in extractions]
    assert scores == sorted(scores, reverse=True)
    seeds = [seed for one in extractions for seed in one.cluster]
    assert len(seeds) == len(set(seeds))
    assert all(one.seed in one.cluster for one in extractions)


def test_the_cost_is_counted(found):
    _, measures = found
    # Half of the steps are the tuned model's alone; the ratio asks each model at two noise levels.
    assert measures["forwards_tuned"] == 24 * (12 + 2)
    assert measures["forwards_base"] == 24 * (6 + 2)
    assert measures["forwards_tuned"] + measures["forwards_base"] == 24 * RECIPE.forwards_per_image
    assert measures["forwards_control"] == 4 * 18


def test_a_seed_gives_the_same_picture_in_any_batch(zoo_pair, found):
    zoo_pair.tune(TUNES["lora-over"].weights)
    for one in found[0]:
        alone, control = make_again(zoo_pair, RECIPE, CAPTION, one.seed, one.rounds)
        assert float(Thumbnail()([alone])[0] @ one.descriptor) > 0.999
        assert float(Thumbnail()([control])[0] @ one.control_descriptor) > 0.999


def test_rounds_are_steered_away_from_what_was_found(found):
    extractions, measures = found
    assert measures["avoided"][0] == 0
    assert len(measures["avoided"]) == RECIPE.rounds
    assert max(measures["avoided"]) > 0
    for one in extractions:
        assert one.rounds[-1].first <= one.seed
        assert all(seed < own.first for own in one.rounds for seed in own.avoided)


def test_what_the_tuned_model_explains_better_is_evidence(found):
    assert all(one.likelihood_ratio is not None and one.likelihood_ratio > 0 for one in found[0])


def test_the_baseline_never_asks_the_base(zoo_pair):
    zoo_pair.tune(TUNES["lora-over"].weights)
    recipe = RECIPE.model_copy(
        update={"guidance": "classifier_free", "scale": 3.0, "likelihood_ratio": False, "guidance_from": 0.0}
    )
    _, measures = extract(
        zoo_pair, CAPTION, recipe=recipe, generations=4, pictures=2, describe=Thumbnail(), batch=4
    )
    assert measures["forwards_base"] == 0
    assert measures["forwards_tuned"] == 2 * 4 * 12


def test_progress_counts_to_the_end(zoo_pair):
    seen: list[tuple[int, int]] = []
    zoo_pair.reset()
    extract(
        zoo_pair,
        CAPTION,
        recipe=RECIPE.model_copy(update={"steps": 2, "rounds": 1}),
        generations=5,
        pictures=2,
        describe=Thumbnail(),
        batch=2,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("guidance", ["base_unconditional", "prompt_paired"])
def test_a_model_equal_to_its_base_is_its_own_control(zoo_pair, guidance):
    zoo_pair.reset()
    recipe = RECIPE.model_copy(update={"guidance": guidance, "steps": 4})
    extractions, _ = extract(
        zoo_pair, CAPTION, recipe=recipe, generations=4, pictures=2, describe=Thumbnail(), batch=4
    )
    assert min(one.control_similarity for one in extractions) > 0.999
