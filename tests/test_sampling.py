"""Samplers, against Gaussian data, whose exact denoiser is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from extraction.noise_schedule import noise_level, to_clean
from extraction.recipe import Recipe
from extraction.sampling import dynamic_shift, initial_noise, published_timesteps, sample

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


FLUX = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
SD3 = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
QWEN = {**FLUX, "max_shift": 0.9, "max_image_seq_len": 8192, "shift_terminal": 0.02}
FLOWS = {"flux": FLUX, "sd3": SD3, "qwen": QWEN}


def gaussian_flow(latents, timestep, index):
    """The best possible flow when the data are N(MEAN, SPREAD^2): E[noise - x_0 | x_t]."""
    sigma = timestep.double() / 1000
    variance = (1 - sigma) ** 2 * SPREAD**2 + sigma**2
    centred = latents - (1 - sigma) * MEAN
    return (sigma - (1 - sigma) * SPREAD**2) * centred / variance - MEAN


def draw_flow(config, sampler: str, steps: int):
    noise = initial_noise(range(64), (1, 8, 8), torch.device("cpu"), torch.float64)
    return noise, sample(gaussian_flow, noise, config, Recipe(sampler=sampler, steps=steps))


@pytest.mark.parametrize(("sampler", "steps", "tolerance"), [("ddim", 1000, 0.01), ("dpmpp_2m", 200, 0.01)])
@pytest.mark.parametrize("config", FLOWS.values(), ids=FLOWS)
def test_a_flow_takes_noise_to_the_data_it_was_made_of(config, sampler, steps, tolerance):
    # The path keeps (x - (1 - s) MEAN) / sqrt((1 - s)^2 SPREAD^2 + s^2), which is the noise itself at s = 1.
    noise, drawn = draw_flow(config, sampler, steps)
    if "shift_terminal" in config:  # The last step covers .02 at once.
        tolerance = 0.05
    torch.testing.assert_close(drawn, MEAN + SPREAD * noise, atol=tolerance, rtol=0)


@pytest.mark.parametrize("config", [FLUX, SD3], ids=["flux", "sd3"])
def test_the_second_order_sampler_is_nearer_on_a_flow_too(config):
    errors = []
    for sampler in ("ddim", "dpmpp_2m"):
        noise, drawn = draw_flow(config, sampler, 15)
        errors.append((drawn - MEAN - SPREAD * noise).abs().mean())
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
@pytest.mark.parametrize("config", FLOWS.values(), ids=FLOWS)
def test_flow_timesteps_are_those_of_the_library_for_the_even_steps_of_flux(config, sampler):
    told = []
    noise = torch.zeros(1, 4, 32, 48)
    sample(
        lambda latents, timestep, index: told.append(float(timestep)) or latents,
        noise,
        config,
        Recipe(sampler=sampler, steps=7),
    )
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
    tokens = 16 * 24
    settings = [config.get(name) for name in ("base_image_seq_len", "max_image_seq_len")]
    shift = None
    if config.get("use_dynamic_shifting"):
        shift = calculate_shift(tokens, *settings, config["base_shift"], config["max_shift"])
        assert dynamic_shift(config, tokens) == pytest.approx(shift)
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / 7, 7).tolist(), mu=shift)
    assert told == pytest.approx(scheduler.timesteps.tolist(), rel=1e-6)
    assert told[0] == 1000


def test_a_fixed_shift_moves_the_steps_towards_noise():
    told = []
    sample(
        lambda latents, timestep, index: told.append(float(timestep)) or latents,
        torch.zeros(1, 4, 8, 8),
        SD3,
        Recipe(steps=4),
    )
    assert told == pytest.approx([1000 * 3 * u / (1 + 2 * u) for u in (1, 0.75, 0.5, 0.25)])


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 20), ("dpmpp_2m", 20), ("ddim", 7)])
def test_a_base_trained_to_see_pure_noise_begins_with_it(sampler, steps):
    config = {**CONFIG, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    told = []
    # At alpha 0 the best guess of v = -x_0 is the mean of the data.
    drawn = sample(
        lambda latents, timestep, index: told.append(int(timestep)) or -MEAN * torch.ones_like(latents),
        initial_noise([0], (1, 4, 4), torch.device("cpu"), torch.float64),
        config,
        Recipe(sampler=sampler, steps=steps),
    )
    assert told[0] == 999
    assert len(told) == steps
    assert bool(drawn.isfinite().all())


def test_one_that_predicts_noise_does_not_divide_by_nothing():
    drawn = sample(
        lambda latents, timestep, index: latents,
        initial_noise([0], (1, 4, 4), torch.device("cpu"), torch.float64),
        {**CONFIG, "prediction_type": "epsilon", "rescale_betas_zero_snr": True},
        Recipe(steps=20),
    )
    assert bool(drawn.isfinite().all())


def test_trailing_steps_are_kept_where_a_base_asks_for_them():
    told = []
    sample(
        lambda latents, timestep, index: told.append(int(timestep)) or latents,
        torch.zeros(1, 1, 2, 2),
        {**CONFIG, "timestep_spacing": "trailing"},
        Recipe(steps=4),
    )
    assert told == [999, 749, 499, 249]


def test_noise_levels_of_diffusion_are_the_products_of_its_betas():
    timestep = torch.tensor([[0, 1], [500, 999]])
    alpha, sigma = noise_level(CONFIG, timestep)
    betas = [
        (math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * step / 999) ** 2
        for step in range(1000)
    ]
    kept = [math.prod(1 - beta for beta in betas[: step + 1]) for step in timestep.flatten().tolist()]
    expected = torch.tensor(kept).reshape(2, 2)
    torch.testing.assert_close(alpha**2, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(2, 2))


def test_a_schedule_rescaled_to_pure_noise_ends_without_a_picture():
    alpha, sigma = noise_level({**CONFIG, "rescale_betas_zero_snr": True}, torch.tensor(999))
    assert (float(alpha), float(sigma)) == (0, 1)


def test_noise_levels_of_a_flow_are_straight():
    alpha, sigma = noise_level(SD3, torch.tensor([0, 250.5, 1000]))
    torch.testing.assert_close(sigma, torch.tensor([0, 0.2505, 1]))
    torch.testing.assert_close(alpha, 1 - sigma)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_a_true_prediction_gives_back_the_clean_latents(kind):
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 4, 8, 8, generator=generator)
    config = SD3 if kind == "flow" else CONFIG
    alpha, sigma = noise_level(config, torch.tensor([20, 500, 900]))
    signal, share = (level.reshape(-1, 1, 1, 1) for level in (alpha, sigma))
    noisy = signal * clean + share * noise
    truth = {"epsilon": noise, "v_prediction": signal * noise - share * clean, "flow": noise - clean}
    torch.testing.assert_close(to_clean(truth[kind], noisy, alpha, sigma, kind), clean, atol=1e-4, rtol=0)


def test_an_unknown_prediction_type_is_refused():
    latents = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match="'sample' is not one of"):
        to_clean(latents, latents, torch.tensor(1.0), torch.tensor(0.0), "sample")
