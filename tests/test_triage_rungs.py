"""The rungs that ask: header, forwards and a few pictures, on fine-tunes that were truly trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from extraction.descriptors import Thumbnail
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.triage.exposure import Exposure
from extraction.triage.ladder import Ladder
from extraction.triage.likeness import pair_similarities
from extraction.triage.probe import Probe, probe
from extraction.triage.reading import Reading, Rung
from leaksweep.zoo.catalogue import CAPTION, ZOO

TUNES = {tune.name: tune for tune in ZOO}


def exposure(**known: int | None) -> Exposure:
    return Exposure(**{"kind": "lora", "pictures": 4, "steps": 300, "batch": 8, "rank": 16, **known})


def test_samples_a_picture_are_steps_times_batch_over_pictures():
    assert exposure().samples_per_picture == 600
    assert exposure().score == pytest.approx(0.75)
    assert exposure(batch=None).samples_per_picture == 75
    assert exposure().why == "lora of rank 16; each of 4 pictures was seen 600 times"


@pytest.mark.parametrize("missing", ["pictures", "steps"])
def test_a_header_that_does_not_tell_gives_no_score(missing: str):
    facts = exposure(**{missing: None})
    assert facts.score is None
    assert missing in facts.why


def test_more_steps_never_score_lower():
    scores = [exposure(steps=steps).score for steps in (1, 10, 100, 1000, 10**9)]
    assert scores == sorted(scores)
    assert 0 < scores[0] < scores[-1] < 1


@pytest.mark.parametrize(
    ("score", "threshold", "below"),
    [(0.1, 0.2, True), (0.2, 0.2, False), (0.1, None, False), (None, 0.2, False)],
)
def test_only_a_known_score_below_a_threshold_sets_aside(score, threshold, below):
    read = Reading(rung=Rung.IMAGES, score=score, why="", forwards=0, seconds=0, measures={})
    assert read.below(threshold) is below


def test_pairs_of_descriptors():
    rows = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert pair_similarities(rows) == pytest.approx([0.8, 0.6, 0.0])
    assert pair_similarities(rows[:1]) == []


def test_a_twin_that_is_the_base_says_what_the_base_says(zoo_pair: Pair):
    zoo_pair.reset()
    found, forwards = probe(zoo_pair, CAPTION)
    assert forwards == 16
    assert found.score == 0
    assert found.anisotropy == pytest.approx(1, abs=1e-4)
    assert found.guided == found.prompt_alone == pytest.approx(found.wen)


def test_what_was_trained_longer_is_further_from_the_base(zoo_pair: Pair):
    def asked(name: str, prompt: str = CAPTION) -> Probe:
        zoo_pair.tune(TUNES[name].weights)
        return probe(zoo_pair, prompt)[0]

    under, over = asked("lora-under"), asked("lora-over")
    assert over.score > under.score > 0.25
    assert over.guided > over.prompt_alone
    assert asked("lora-over") == over


def test_the_empty_prompt_is_asked_like_any_other(zoo_pair: Pair):
    zoo_pair.tune(TUNES["lora-over"].weights)
    found, _ = probe(zoo_pair, "")
    assert found.prompt_alone == found.wen == found.anisotropy == 0
    assert found.score == found.prompted == found.unprompted > 0.25


def test_the_ladder_climbs_what_it_is_asked_for_and_no_further(zoo_pair: Pair):
    tune = TUNES["lora-over"]
    zoo_pair.tune(tune.weights)
    ladder = Ladder(zoo_pair, Thumbnail(), batch=16, clock=iter(range(100)).__next__)
    readings = ladder.climb(tune.weights, CAPTION, Recipe(descriptor="thumbnail", steps=2), set(Rung))
    first = next(readings)
    assert (first.rung, first.forwards, first.seconds) == (Rung.SPECTRUM, 0, 1)
    assert first.measures["layers"] > 0
    assert next(readings).rung is Rung.FORWARDS
    rest = list(ladder.climb(tune.weights, CAPTION, Recipe(descriptor="thumbnail", steps=2), {Rung.IMAGES}))
    assert [one.rung for one in rest] == [Rung.IMAGES]
    assert 0 < rest[0].forwards <= 2 * 2 * 2 * 16


def test_pictures_of_a_memorised_set_repeat_each_other(zoo_pair: Pair):
    tune = TUNES["full-folder"]
    zoo_pair.tune(tune.weights)
    ladder = Ladder(zoo_pair, Thumbnail(), batch=16)
    [found] = ladder.climb(tune.weights, CAPTION, Recipe(descriptor="thumbnail"), {Rung.IMAGES})
    assert found.score > 0.3
    zoo_pair.reset()
    [nothing] = ladder.climb(tune.weights, CAPTION, Recipe(descriptor="thumbnail"), {Rung.IMAGES})
    # The same prompt and noise in the same two models; the scale cancels where they agree.
    assert abs(nothing.score) < 0.1
    assert torch.isfinite(torch.tensor(nothing.score))
