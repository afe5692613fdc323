"""From noise to latents: deterministic samplers on diffusers' schedulers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler
from torch import Tensor

from extraction.recipe import Recipe

Denoiser = Callable[[Tensor, Tensor, int], Tensor]
"""(latents (B, C, h, w), timestep (), index of the step) -> prediction (B, C, h, w)."""


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
        denoise: predicts what `scheduler_config["prediction_type"]` says, epsilon or v.
        scheduler_config: the base model's own, which fixes the noise schedule.
    """
    scheduler, timesteps = _schedule(scheduler_config, recipe)
    latents: Tensor = noise * scheduler.init_noise_sigma
    # The sampler reckons with the timesteps on the CPU, the models with their copy: one in each step
    # would have the CPU wait for the device.
    told = timesteps.to(noise.device)
    for index, timestep in enumerate(timesteps):
        prediction = denoise(latents, told[index], index)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
    return latents


def _schedule(
    config: Mapping[str, Any], recipe: Recipe
) -> tuple[DDIMScheduler | DPMSolverMultistepScheduler, Tensor]:
    # Only what describes the trained noise schedule is taken over; the rest is the sampler's own.
    trained = {
        name: config[name]
        for name in (
            "num_train_timesteps",
            "beta_start",
            "beta_end",
            "beta_schedule",
            "trained_betas",
            "prediction_type",
            "rescale_betas_zero_snr",
        )
        if name in config
    }
    if recipe.sampler == "dpmpp_2m":
        solver = DPMSolverMultistepScheduler(**trained, algorithm_type="dpmsolver++", solver_order=2)
        solver.set_timesteps(recipe.steps)
        return solver, solver.timesteps
    ddim = DDIMScheduler(**trained, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    ddim.set_timesteps(recipe.steps)
    if recipe.published_quirks:
        return ddim, published_timesteps(trained, recipe.steps)
    return ddim, ddim.timesteps


def published_timesteps(trained: Mapping[str, Any], steps: int) -> Tensor:
    """The timesteps that the published code walks: the first `steps` of PNDM's `steps + 1`.

    PNDM repeats its second timestep for its own method. Taken as a DDIM schedule, that step is
    applied twice and the last one (t = 1) never, so a little noise stays in the latents.
    """
    pndm = PNDMScheduler(**trained, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    pndm.set_timesteps(steps)
    timesteps: Tensor = pndm.timesteps[:steps]
    return timesteps
