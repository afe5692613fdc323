"""How much noise a base was trained to see at each timestep, and what a prediction says of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

TRAINED = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
"""What in the config of a diffusion scheduler describes the training; the rest is a sampler's own."""


def is_flow(config: Mapping[str, Any]) -> bool:
    """Whether a scheduler config is of a base trained by flow matching, told by its class.

    Such bases run along straight lines from picture to noise and predict the line's direction.
    """
    return str(config.get("_class_name", "")).startswith("FlowMatch")


def trained_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of a diffusion (not flow) scheduler that the base was trained with."""
    return {name: config[name] for name in TRAINED if name in config}


def noise_level(config: Mapping[str, Any], timestep: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) of the training's noisy picture, `x_t = alpha * x_0 + sigma * noise`.

    Builds the whole schedule: ask once for all timesteps, not once a step.

    Args:
        config: the base's scheduler config.
        timestep: any shape; 0 to 999 for diffusion, rounded down; 0 (picture) to 1000 (noise) for flow,
            with fractions.

    Returns:
        Two tensors of the timestep's shape and device, in fp32, or fp64 for a timestep in fp64.
        alpha^2 + sigma^2 is 1 for diffusion, alpha + sigma is 1 for flow.
    """
    dtype = torch.float64 if timestep.dtype == torch.float64 else torch.float32
    if is_flow(config):
        sigma = timestep.to(dtype) / config.get("num_train_timesteps", 1000)
        return 1 - sigma, sigma
    kept = DDIMScheduler(**trained_schedule(config)).alphas_cumprod.to(timestep.device, dtype)[
        timestep.long()
    ]
    return kept.sqrt(), (1 - kept).sqrt()


def to_clean(prediction: Tensor, noisy: Tensor, alpha: Tensor, sigma: Tensor, prediction_type: str) -> Tensor:
    """The clean latents that a prediction implies, (B, C, h, w) in fp32 or wider.

    Args:
        prediction: of the kind that `prediction_type` says, (B, C, h, w).
        noisy: what it was predicted from, of the same shape.
        alpha, sigma: see `noise_level`; () or (B,).
        prediction_type: "epsilon", the noise; "v_prediction", `alpha * noise - sigma * x_0` (Salimans and
            Ho, 2022); "flow", `noise - x_0` (Liu et al., 2022). An epsilon says nothing where alpha is 0.

    Raises:
        ValueError: another prediction type.
    """
    alpha, sigma = (level.reshape(-1, 1, 1, 1) for level in (alpha, sigma))
    if prediction_type == "epsilon":
        return (noisy - sigma * prediction) / alpha
    if prediction_type == "v_prediction":
        return alpha * noisy - sigma * prediction
    if prediction_type == "flow":
        return noisy - sigma * prediction
    raise ValueError(f"prediction type '{prediction_type}' is not one of epsilon, v_prediction, flow")
