"""LoHa: the change of a layer is the product, element by element, of two of low rank (FedPara, Hyeon-Woo
et al. 2022; LyCORIS, Yeh et al. 2024). For a convolution each may have a core (Tucker's form)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from extraction.original import Shape

HALVES = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}
CORES = {"hada_t1", "hada_t2"}


def complete(parts: Collection[str]) -> bool:
    """Whether both pairs are there, and both cores or none."""
    return HALVES.issubset(parts) and len(CORES.intersection(parts)) != 1


def expected(found: Mapping[str, Shape], shape: Shape) -> dict[str, Shape]:
    """Shapes that the parts must have to change a weight of `shape`, given each side's rank."""
    shapes: dict[str, Shape] = {}
    cored = "hada_t1" in found
    for side in ("1", "2"):
        inner = found[f"hada_w{side}_b"]
        rank = inner[0] if inner else 0
        if cored:
            shapes |= {f"hada_w{side}_a": (rank, shape[0]), f"hada_w{side}_b": (rank, shape[1])}
            shapes[f"hada_t{side}"] = (rank, rank, *shape[2:])
        else:
            shapes[f"hada_w{side}_a"] = (shape[0], rank)
            shapes[f"hada_w{side}_b"] = (rank, math.prod(shape[1:]))
    return shapes


def rank_of(found: Mapping[str, Shape]) -> int:
    inner = found["hada_w1_b"]
    return inner[0] if inner else 0


def product(parts: Mapping[str, Tensor], shape: Shape) -> Tensor:
    """The change, in the weight's shape, before it is scaled."""
    return (_side(parts, "1") * _side(parts, "2")).reshape(shape)


def _side(parts: Mapping[str, Tensor], side: str) -> Tensor:
    outer, inner = parts[f"hada_w{side}_a"], parts[f"hada_w{side}_b"]
    if f"hada_t{side}" not in parts:
        return outer @ inner
    return torch.einsum("pq...,po,qi->oi...", parts[f"hada_t{side}"], outer, inner)
