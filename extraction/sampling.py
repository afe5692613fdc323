"""From noise to latents: deterministic samplers on diffusers' schedulers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)
from torch import Tensor

from extraction.noise_schedule import is_flow, trained_schedule
from extraction.recipe import Recipe


class Sampler(Protocol):
    """As much of a diffusers scheduler as sampling needs once its timesteps are set."""

    def step(
        self, prediction: Tensor, timestep: Tensor, latents: Tensor, *, return_dict: bool
    ) -> tuple[Tensor, ...]: ...


Denoiser = Callable[[Tensor, Tensor, int], Tensor]
"""(latents (B, C, h, w), timestep (), index of the step) -> prediction (B, C, h, w)."""

FLOW = (
    "num_train_timesteps",
    "shift",
    "use_dynamic_shifting",
    "base_shift",
    "max_shift",
    "base_image_seq_len",
    "max_image_seq_len",
    "shift_terminal",
    "time_shift_type",
)
"""What in a flow scheduler's config says where its steps lie; never its noise added on the way."""


def initial_noise(
    seeds: Sequence[int], shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Unit Gaussian noise (len(seeds), C, h, w), each row from a CPU generator of its own.

    So a seed gives the same noise in any batch and on any device.
    """
    rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device=device, dtype=dtype)


def sample(denoise: Denoiser, noise: Tensor, scheduler_config: Mapping[str, Any], recipe: Recipe) -> Tensor:
    """Denoise with the recipe's sampler; returns latents of the noise's shape.

    Args:
        denoise: predicts what `scheduler_config["prediction_type"]` says, epsilon or v, or the flow
            where the config is that of a flow-matching scheduler.
        scheduler_config: the base model's own, which fixes the noise schedule.
    """
    if is_flow(scheduler_config):
        sampler, timesteps = _flow_sampler(scheduler_config, recipe, noise.shape[2] * noise.shape[3] // 4)
    else:
        sampler, timesteps = _diffusion_sampler(scheduler_config, recipe)
    latents = noise  # Of unit variance, which all of these samplers begin with.
    # The sampler reckons with the timesteps on the CPU, the models with their copy: one in each step
    # would have the CPU wait for the device.
    told = timesteps.to(noise.device)
    for index, timestep in enumerate(timesteps):
        prediction = denoise(latents, told[index], index)
        latents = sampler.step(prediction, timestep, latents, return_dict=False)[0]
    return latents


def _diffusion_sampler(config: Mapping[str, Any], recipe: Recipe) -> tuple[Sampler, Tensor]:
    # Only what describes the trained noise schedule is taken over; the rest is the sampler's own.
    trained = trained_schedule(config)
    # A base that was trained to see pure noise has to begin with it, or its pictures come out grey;
    # one that predicts the noise was not, whatever its config says.
    ends_in_noise = trained.get("rescale_betas_zero_snr") and trained.get("prediction_type") != "epsilon"
    trailing = ends_in_noise or config.get("timestep_spacing") == "trailing"
    if recipe.sampler == "dpmpp_2m":
        solver = DPMSolverMultistepScheduler(
            **trained,
            algorithm_type="dpmsolver++",
            solver_order=2,
            timestep_spacing="trailing" if trailing else "linspace",
        )
        solver.set_timesteps(recipe.steps)
        return solver, solver.timesteps
    ddim = DDIMScheduler(
        **trained,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing" if trailing else "leading",
    )
    ddim.set_timesteps(recipe.steps)
    if recipe.published_quirks:
        return ddim, published_timesteps(trained, recipe.steps)
    return ddim, ddim.timesteps


def _flow_sampler(config: Mapping[str, Any], recipe: Recipe, tokens: int) -> tuple[Sampler, Tensor]:
    """Euler's method, or DPM-Solver++(2M) along the same steps.

    The steps are even before the base's shift and the last one ends in the picture, as FLUX's own code
    lays them. diffusers' SD3 pipeline spends its last step on the final thousandth instead.

    Args:
        tokens: patches of 2 x 2 latents, which dynamic shifting goes by: the larger, the noisier.
    """
    euler = FlowMatchEulerDiscreteScheduler(**{name: config[name] for name in FLOW if name in config})
    shift = dynamic_shift(euler.config, tokens) if euler.config["use_dynamic_shifting"] else None
    steps = recipe.steps
    euler.set_timesteps(sigmas=[(steps - step) / steps for step in range(steps)], mu=shift)
    if recipe.sampler == "ddim":
        return euler, euler.timesteps
    solver = DPMSolverMultistepScheduler(
        num_train_timesteps=euler.config["num_train_timesteps"],
        algorithm_type="dpmsolver++",
        solver_order=2,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
    )
    # Its own steps begin short of pure noise and know no terminal shift.
    solver.set_timesteps(steps)
    solver.sigmas, solver.timesteps = euler.sigmas, euler.timesteps
    return solver, solver.timesteps


def dynamic_shift(config: Mapping[str, Any], tokens: int) -> float:
    """Shift (mu) for a picture of so many patches: on the line through the config's two points.

    As in FLUX's own code (Black Forest Labs, `flux.sampling.get_lin_function`).
    """
    near, far = config["base_image_seq_len"], config["max_image_seq_len"]
    low, high = config["base_shift"], config["max_shift"]
    return float(low + (high - low) * (tokens - near) / (far - near))


def published_timesteps(trained: Mapping[str, Any], steps: int) -> Tensor:
    """The timesteps that the published code walks: the first `steps` of PNDM's `steps + 1`.

    PNDM repeats its second timestep for its own method. Taken as a DDIM schedule, that step is
    applied twice and the last one (t = 1) never, so a little noise stays in the latents.
    """
    # Its scheduler knows nothing of zero terminal SNR.
    known = {name: value for name, value in trained.items() if name != "rescale_betas_zero_snr"}
    pndm = PNDMScheduler(**known, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    pndm.set_timesteps(steps)
    timesteps: Tensor = pndm.timesteps[:steps]
    return timesteps
