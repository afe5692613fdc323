"""LoRA: the change of a layer is `up @ down` (Hu et al. 2021), for a convolution also with a core between."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from extraction.original import Shape


def complete(parts: Collection[str]) -> bool:
    """Whether both halves are there."""
    return "down" in parts and "up" in parts


def expected(found: Mapping[str, Shape], shape: Shape) -> dict[str, Shape]:
    """Shapes that the parts must have to change a weight of `shape`, given the rank that "down" has."""
    rank = rank_of(found)
    # With a core the outer two are 1 x 1 convolutions: LyCORIS' CP form.
    kernel = (1,) * len(shape[2:]) if "mid" in found else shape[2:]
    return {"down": (rank, shape[1], *kernel), "up": (shape[0], rank), "mid": (rank, rank, *shape[2:])}


def rank_of(found: Mapping[str, Shape]) -> int:
    down = found["down"]
    return down[0] if down else 0


def product(parts: Mapping[str, Tensor], shape: Shape) -> Tensor:
    """The change, in the weight's shape (out, in) or (out, in, k, k), before it is scaled."""
    up, down = parts["up"].flatten(1), parts["down"].flatten(1)
    if "mid" not in parts:
        return (up @ down).reshape(shape)
    return torch.einsum("op,pq...,qi->oi...", up, parts["mid"], down).reshape(shape)
