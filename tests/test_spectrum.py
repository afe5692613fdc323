"""The spectrum of a change: closed forms, planted subspaces, and fine-tunes that were truly trained."""

from __future__ import annotations

import math

import pytest
import torch

from extraction.pair import Pair
from extraction.triage.change import Subspaces, spectrum_of
from extraction.triage.spectrum import Spectrum, effective_rank, layer_spectrum, outside_share, sum_up
from extraction.triage.svd import Svd, largest
from leaksweep.zoo.catalogue import ZOO, FineTune

TUNES = {tune.name: tune for tune in ZOO}
EYE = torch.eye(20, dtype=torch.float64)


def channels(*pairs: tuple[int, int, float]) -> Svd:
    """Channels between unit axes: (left axis, right axis, value)."""
    left, right, values = zip(*pairs, strict=True)
    return Svd(EYE[:, list(left)], torch.tensor(values, dtype=torch.float64), EYE[:, list(right)])


BASE = channels((0, 0, 9), (1, 1, 8), (2, 2, 7))


def test_effective_rank_of_equal_values_is_their_number():
    assert effective_rank([3.0] * 7) == pytest.approx(7)
    assert effective_rank([5.0, 0.0, 0.0]) == 1
    assert effective_rank([]) == 0
    # exp of the entropy of (2/3, 1/3)
    assert effective_rank([2.0, 1.0]) == pytest.approx(3 / 2 ** (2 / 3))


@pytest.mark.parametrize(
    ("change", "outside"),
    [
        (channels((0, 0, 4), (1, 2, 3)), 0),  # its own directions, rescaled and mixed
        (channels((5, 6, 4), (7, 8, 3)), 1),  # new on both sides
        (channels((0, 9, 4)), 1),  # new on one side is new
        (channels((0, 0, 4), (5, 6, 3)), 9 / 25),  # by energy, not by number
    ],
)
def test_energy_outside_of_a_planted_subspace(change: Svd, outside: float):
    assert outside_share(change, BASE) == pytest.approx(outside)


def test_a_direction_half_inside():
    leaning = (EYE[:, :1] + EYE[:, 5:6]) / math.sqrt(2)
    change = Svd(leaning, torch.ones(1, dtype=torch.float64), leaning)
    assert outside_share(change, BASE) == pytest.approx(3 / 4)


def test_random_directions_lie_outside_as_chance_says():
    generator = torch.Generator().manual_seed(0)
    weight, difference = (torch.randn(40, 60, generator=generator) for _ in range(2))
    found = layer_spectrum("x", largest(difference, 30), 1.0, largest(weight, 10), 1.0)
    assert found.outside_by_chance == pytest.approx(1 - 100 / 2400)
    assert found.outside == pytest.approx(found.outside_by_chance, abs=0.01)


def test_layers_count_by_their_energy():
    strong = layer_spectrum("strong", channels((5, 6, 3.0)), 3.0, BASE, 4.0)
    weak = layer_spectrum("weak", channels((0, 0, 1.0)), 1.0, BASE, 3.0)
    unchanged = layer_spectrum("unchanged", channels((0, 0, 0.0)), 0.0, BASE, 99.0)
    found = sum_up([strong, weak, unchanged])
    assert found.layers == 2
    assert found.relative_change == pytest.approx(math.sqrt(10) / 5)
    assert found.outside == pytest.approx(0.9)
    assert (found.captured, found.top_share, found.effective_rank) == (1, 1, 1)
    assert found.score == pytest.approx(math.sqrt(10) / 5 * math.sqrt(0.9))


def test_nothing_changed_is_no_score():
    assert sum_up([]).score is None
    assert "no layer" in sum_up([]).why


@pytest.fixture(scope="module")
def spectra(zoo_pair: Pair) -> dict[str, Spectrum]:
    subspaces = Subspaces(zoo_pair.base_parameters)

    def read(tune: FineTune) -> Spectrum:
        zoo_pair.tune(tune.weights)
        return spectrum_of(zoo_pair, tune.weights, subspaces)

    return {name: read(TUNES[name]) for name in ("lora-under", "lora-over", "full-folder")}


def test_the_over_trained_lora_has_changed_more_than_the_under_trained(spectra: dict[str, Spectrum]):
    under, over = spectra["lora-under"], spectra["lora-over"]
    assert over.score > under.score > 0
    assert over.relative_change > under.relative_change


def test_a_lora_is_seen_whole_and_a_full_fine_tune_for_the_most_part(spectra: dict[str, Spectrum]):
    assert spectra["lora-over"].captured == pytest.approx(1, abs=1e-4)
    assert spectra["lora-over"].effective_rank <= TUNES["lora-over"].rank
    assert 0.5 < spectra["full-folder"].captured < 1


def test_factors_and_difference_tell_the_same(zoo_pair: Pair, spectra: dict[str, Spectrum]):
    """The twin holds base plus product in fp32: its difference has the factors' spectrum, up to rounding."""
    name = "unet.mid_block.resnets.0.conv1.weight"
    tune = TUNES["lora-over"]
    zoo_pair.tune(tune.weights)
    difference = (zoo_pair.tuned_parameters[name] - zoo_pair.base_parameters[name]).flatten(1)
    full = torch.linalg.svdvals(difference.double())
    assert largest(difference, tune.rank).values.tolist() == pytest.approx(
        full[: tune.rank].tolist(), rel=1e-3
    )
    assert float(full[tune.rank]) < 1e-4 * float(full[0])
