"""How much better the tuned model explains a picture than its base does: a likelihood ratio.

A diffusion model's squared error at denoising a picture bounds its log-likelihood (Ho et al., 2020); the
difference between two models is the evidence that a picture belongs to one and not to the other, as in
likelihood-ratio membership inference (Carlini et al., 2022). The base is the control by construction: what
it explains as well scores 0, and what only a collapsed sampler likes (flat grounds) scores below.
"""

from __future__ import annotations

import torch
from torch import Tensor

from extraction.generate import Forwards
from extraction.noise_schedule import noise_level, to_clean
from extraction.pair import Pair
from extraction.recipe import LEVELS
from extraction.sampling import initial_noise

SEED = 2**31 - 1
"""Of the one noise that every picture is measured with, so that differences are the pictures' own."""


@torch.inference_mode()
def log_likelihood_ratio(
    pair: Pair,
    latents: Tensor,
    prompt: str,
    *,
    batch: int,
    forwards: Forwards,
    levels: tuple[float, ...] = LEVELS,
) -> Tensor:
    """Mean over `levels` of log(|z - z0|^2 / |z - z1|^2), a row; above 0 the tuned model wins.

    z0 is the base's guess of the clean latents from their noisy form and the empty prompt, z1 the tuned
    model's with the prompt: the two sides of the published guidance. The ratio of the two errors is the
    same whether a model predicts the noise, v or the flow, since all are linear in the clean latents.

    Args:
        latents: (n, C, h, w), as the samplers leave them.
        batch: rows in one forward.
        forwards: what it costs is added here: `2 * len(levels)` for each row.
        levels: shares of the training schedule, 0 to 1.

    Returns:
        (n,) in fp32 on the CPU.
    """
    config = pair.scheduler_config
    last = config.get("num_train_timesteps", 1000) - 1
    timesteps = torch.tensor([round(level * last) for level in levels])
    alphas, sigmas = (value.to(pair.device) for value in noise_level(config, timesteps))
    _, channels, height, width = latents.shape
    noise = initial_noise([SEED], (channels, height, width), pair.device, pair.dtype)
    conditions = {
        False: pair.encode([""], tuned=False),
        True: pair.encode([prompt], tuned=True),
    }

    def error(clean: Tensor, index: int, *, tuned: bool) -> Tensor:
        alpha, sigma = alphas[index], sigmas[index]
        noisy = alpha.to(clean.dtype) * clean + sigma.to(clean.dtype) * noise
        rows = len(clean)
        told = conditions[tuned].expand(rows)
        prediction = pair.predict(noisy, timesteps[index].to(pair.device), told, tuned=tuned)
        guess = to_clean(prediction.float(), noisy.float(), alpha, sigma, pair.prediction_type)
        return (guess - clean.float()).square().flatten(1).mean(1)

    parts = []
    for part in torch.split(latents, batch):
        clean = part.to(pair.device, pair.dtype)
        ratios = [
            torch.log(error(clean, index, tuned=False) / error(clean, index, tuned=True))
            for index in range(len(levels))
        ]
        parts.append(torch.stack(ratios).mean(0))
        forwards.base += len(levels) * len(clean)
        forwards.tuned += len(levels) * len(clean)
    return torch.cat(parts).cpu()
