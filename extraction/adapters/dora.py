"""DoRA: a changed weight is brought to a trained magnitude, row by row or column by column.

`W' = m * (W + D) / |W + D|` (Liu et al. 2024). The paper takes the norm over what goes into an output.
peft does so; LyCORIS of today does so (`wd_on_output`) where it once took it over what an input goes
to, and OneTrainer writes either. The magnitude's shape says which.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from extraction.original import Shape


def direction(magnitude: Shape, shape: Shape, *, of_peft: bool) -> int | None:
    """The dimension of the weight along which magnitudes lie, 0 (outputs) or 1 (inputs); None for no fit.

    Args:
        of_peft: peft writes (out,) for a linear layer and (1, out, 1, 1) for a convolution, which in
            LyCORIS' form would lie along the inputs.
    """
    if of_peft:
        return 0 if math.prod(magnitude) == shape[0] == max(magnitude, default=0) else None
    rest = (1,) * (len(shape) - 1)
    if magnitude in ((shape[0],), (shape[0], 1), (shape[0], *rest)):
        return 0
    return 1 if magnitude in ((1, shape[1]), (1, shape[1], *rest[1:])) else None


def decompose(weight: Tensor, magnitude: Tensor, along: int) -> Tensor:
    """Bring a weight (out, in, ...) to its magnitudes; rows or columns of zeros stay zeros."""
    others = [dimension for dimension in range(weight.dim()) if dimension != along]
    norm: Tensor = torch.linalg.vector_norm(weight, dim=others, keepdim=True)
    norm = norm.clamp_min(torch.finfo(weight.dtype).eps)
    return weight * (magnitude.reshape(norm.shape) / norm)
