"""What a denoiser predicts, told by its output."""

from __future__ import annotations

import pytest
import torch

from extraction import prediction_type
from extraction.extraction import LoadError

NOISE = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
PICTURE = torch.linspace(-1, 1, 32).expand(2, 4, 32, 32)


@pytest.mark.parametrize("alpha", [0.0, 0.068])
def test_perfect_models_at_the_noisy_end(alpha):
    """x = alpha * x0 + sigma * noise: the closed forms of both predictions of one picture."""
    sigma = (1 - alpha**2) ** 0.5
    epsilon = (NOISE - alpha * PICTURE) / sigma
    v = (alpha * NOISE - PICTURE) / sigma
    assert prediction_type.told_by(prediction_type.slope(epsilon, NOISE)) == "epsilon"
    assert prediction_type.told_by(prediction_type.slope(v, NOISE)) == "v_prediction"
    assert prediction_type.slope(2 * NOISE.half(), NOISE.half()) == pytest.approx(2)


@pytest.mark.parametrize("slope", [0.5, -0.5, float("nan"), float("-inf")])
def test_what_tells_neither(slope):
    assert prediction_type.told_by(slope) is None


@pytest.mark.parametrize(("tuned", "base", "said"), [(0.0, 1.0, "epsilon"), (1.0, 0.0, "v_prediction")])
def test_models_of_two_kinds(tuned, base, said):
    with pytest.raises(LoadError, match="do not compare") as caught:
        prediction_type.check(tuned, base, said)
    assert caught.value.reason == "does_not_fit"


def test_a_base_whose_config_lies_is_noted():
    note = prediction_type.check(0.05, 0.05, "epsilon")
    assert note is not None
    assert "v_prediction" in note
    assert prediction_type.check(0.5, 1.0, "v_prediction") is not None


@pytest.mark.parametrize(
    ("tuned", "base", "said"),
    [(1.0, 0.9, "epsilon"), (0.1, 0.0, "v_prediction"), (0.5, 1.0, "epsilon"), (0.0, 0.5, "epsilon")],
)
def test_what_agrees_or_says_nothing(tuned, base, said):
    assert prediction_type.check(tuned, base, said) is None
