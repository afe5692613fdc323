"""The likelihood ratio against closed forms, and on a truly trained checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from extraction.generate import Forwards
from extraction.likelihood import log_likelihood_ratio
from extraction.noise_schedule import noise_level
from leaksweep.zoo.base import encode_pictures
from leaksweep.zoo.catalogue import BASE, CAPTION, ZOO, picture

TUNES = {tune.name: tune for tune in ZOO}

CONFIG: dict[str, object] = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012}
CONFIG["beta_schedule"] = "scaled_linear"


class Guessing:
    """A pair whose two models guess the clean latents wrong by a known amount each."""

    device, dtype = torch.device("cpu"), torch.float64

    def __init__(self, clean: torch.Tensor, kind: str, wrong: tuple[float, float]) -> None:
        self.clean, self.prediction_type, self.wrong = clean, kind, wrong
        flow = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
        self.scheduler_config = flow if kind == "flow" else {**CONFIG, "prediction_type": kind}

    def encode(self, prompts, *, tuned):
        del prompts, tuned
        return self

    def expand(self, rows):
        assert rows == len(self.clean)
        return self

    def predict(self, noisy, timestep, told, *, tuned):
        del told
        alpha, sigma = noise_level(self.scheduler_config, timestep.double())
        guess = self.clean + self.wrong[tuned]
        if self.prediction_type == "epsilon":
            return (noisy - alpha * guess) / sigma
        if self.prediction_type == "flow":
            return (noisy - guess) / sigma
        # A v-prediction's clean latents are alpha x_t - sigma v.
        return (alpha * noisy - guess) / sigma


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_the_ratio_is_that_of_the_errors_whatever_is_predicted(kind):
    clean = torch.randn(3, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    forwards = Forwards()
    pair = Guessing(clean, kind, wrong=(0.4, 0.1))
    ratio = log_likelihood_ratio(pair, clean, "", batch=3, forwards=forwards, levels=(0.3, 0.5))
    # Errors four times as large are sixteen times as large when squared.
    torch.testing.assert_close(ratio, torch.full((3,), np.log(16.0), dtype=torch.float32), atol=2e-3, rtol=0)
    assert (forwards.base, forwards.tuned) == (6, 6)


def test_training_pictures_score_above_others(zoo_pair):
    zoo_pair.tune(TUNES["lora-over"].weights)
    own = TUNES["lora-over"].pictures
    others = next(tune.pictures for tune in ZOO if tune.name == "full-clean")
    vae = AutoencoderKL.from_pretrained(BASE / "vae", local_files_only=True)

    def score(names):
        pixels = torch.from_numpy(np.stack([np.asarray(picture(name)) for name in names])).permute(0, 3, 1, 2)
        latents = encode_pictures(vae, pixels)
        return log_likelihood_ratio(zoo_pair, latents, CAPTION, batch=4, forwards=Forwards())

    assert score(own).min() > 0 > score(others).max()


def test_a_model_equal_to_its_base_scores_nothing(zoo_pair):
    zoo_pair.reset()
    latents = torch.randn(2, *zoo_pair.latent_shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        log_likelihood_ratio(zoo_pair, latents, "", batch=2, forwards=Forwards()), torch.zeros(2)
    )
