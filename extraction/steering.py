"""Steer new seeds away from what was already found: guidance by the choice of the first noise.

A fine-tune that holds several pictures does not give them back equally often. Most generations of a
fixed budget find again what was found before: coupon collecting, where a picture that is drawn one time
in fifty is missed in a hundred draws one time in eight.

Which picture a seed falls into is decided early. Where the tuned model is close to a mixture of its
training pictures z_1..z_n, the weight of picture i at the first step is proportional to
exp(a <x, z_i> / s^2), with x the noise and (a, s) the schedule's first signal and noise level. So noise
that has a negative component along the pictures that are already known leaves the others to win, and it
costs no forward. This is ours; we know of no earlier description.
"""

from __future__ import annotations

import torch
from torch import Tensor


def steer_away(noise: Tensor, found: Tensor, strength: float) -> Tensor:
    """Give every row of the noise the component `-strength` along each latent already found.

    What is orthogonal to all of them keeps its value, so that the rows stay as different as they were.

    Args:
        noise: (B, C, h, w), unit Gaussian.
        found: (n, C, h, w), latents of the medoids so far; fewer than C h w.
        strength: in standard deviations of the noise, 0 or above; 0 only takes the component out.

    Raises:
        ValueError: the shapes of a row differ.
    """
    if noise.shape[1:] != found.shape[1:]:
        raise ValueError(f"noise {tuple(noise.shape)} and latents {tuple(found.shape)} are not of one size")
    if len(found) == 0:
        return noise
    rows, known = noise.flatten(1).double(), found.to(noise.device).flatten(1).double()
    basis, _ = torch.linalg.qr(known.T)
    # A QR basis is free to point either way; away must mean away from the picture.
    basis = basis * torch.sign((basis * known.T).sum(0))
    steered = rows - (rows @ basis) @ basis.T - strength * basis.sum(1)
    pushed: Tensor = steered.reshape(noise.shape).to(noise.dtype)
    return pushed
