"""Samplers, against Gaussian data, whose exact denoiser is known in closed form."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from extraction.recipe import Recipe
from extraction.sampling import initial_noise, published_timesteps, sample

CONFIG = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
ALPHAS = DDIMScheduler(**CONFIG).alphas_cumprod
MEAN, SPREAD = 1.5, 0.5


def gaussian(prediction: str):
    """The best possible predictor when the data are N(MEAN, SPREAD^2), element by element."""

    def denoise(latents, timestep, index):
        alpha = ALPHAS[timestep]
        signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
        variance = alpha * SPREAD**2 + 1 - alpha
        epsilon = noise * (latents - signal * MEAN) / variance
        if prediction == "epsilon":
            return epsilon
        return signal * epsilon - noise * (latents - noise * epsilon) / signal

    return denoise


def draw(sampler: str, steps: int, prediction: str = "epsilon", **recipe):
    noise = initial_noise(range(64), (1, 8, 8), torch.device("cpu"), torch.float64)
    config = {**CONFIG, "prediction_type": prediction}
    return sample(gaussian(prediction), noise, config, Recipe(sampler=sampler, steps=steps, **recipe))


@pytest.mark.parametrize(("sampler", "steps", "tolerance"), [("ddim", 500, 0.01), ("dpmpp_2m", 200, 0.02)])
def test_every_value_follows_the_exact_flow(sampler, steps, tolerance):
    # For Gaussian data the deterministic path keeps (x - sqrt(a) MEAN) / sqrt(a SPREAD^2 + 1 - a).
    noise = initial_noise(range(64), (1, 8, 8), torch.device("cpu"), torch.float64)
    alpha = ALPHAS[-1 - 1000 // steps] if sampler == "ddim" else ALPHAS[-1]
    unit = (noise - alpha.sqrt() * MEAN) / (alpha * SPREAD**2 + 1 - alpha).sqrt()
    torch.testing.assert_close(draw(sampler, steps), MEAN + SPREAD * unit, atol=tolerance, rtol=0)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_predicting_v_or_epsilon_gives_the_same_picture(sampler):
    torch.testing.assert_close(draw(sampler, 20), draw(sampler, 20, "v_prediction"), atol=1e-5, rtol=0)


def test_the_second_order_sampler_is_nearer_with_few_steps():
    exact = draw("ddim", 500)
    far, near = (draw(sampler, 15) - exact for sampler in ("ddim", "dpmpp_2m"))
    assert near.abs().mean() < far.abs().mean()


def test_a_seed_gives_the_same_noise_in_any_batch():
    together = initial_noise([3, 4, 5], (2, 4, 4), torch.device("cpu"), torch.float32)
    alone = initial_noise([5], (2, 4, 4), torch.device("cpu"), torch.float32)
    assert torch.equal(together[2:], alone)


def test_published_timesteps_repeat_the_second_and_miss_the_last():
    walked = published_timesteps(CONFIG, 50).tolist()
    assert walked[:4] == [981, 961, 961, 941]
    assert walked[-1] == 21
    assert len(walked) == 50


def test_the_published_schedule_leaves_noise_in_the_latents():
    plain, quirky = draw("ddim", 50), draw("ddim", 50, published_quirks=True)
    assert not torch.allclose(plain, quirky, atol=1e-3)
