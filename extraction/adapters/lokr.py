"""LoKr: the change of a layer is the Kronecker product of a small and a large matrix (LyCORIS, Yeh et al.
2024), each whole or of low rank; for a convolution the large one may have a core (Tucker's form)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from extraction.original import Shape

FACTORS = ("lokr_w1", "lokr_w2")


def complete(parts: Collection[str]) -> bool:
    """Whether each factor is there, whole or as its two halves."""
    return all((factor in parts) != {f"{factor}_a", f"{factor}_b"}.issubset(parts) for factor in FACTORS)


def expected(found: Mapping[str, Shape], shape: Shape) -> dict[str, Shape]:
    """Shapes that the parts must have to change a weight of `shape`, given those of the small factor."""
    if "lokr_w1" in found:
        rows, columns = (*found["lokr_w1"], 0, 0)[:2]
    else:
        rows, columns = (*found["lokr_w1_a"], 0)[0], (*found["lokr_w1_b"], 0, 0)[1]
    # A small factor that does not divide the layer is asked for as one that does: 1 x 1.
    rows = rows if rows and shape[0] % rows == 0 else 1
    columns = columns if columns and shape[1] % columns == 0 else 1
    out, into, kernel = shape[0] // rows, shape[1] // columns, shape[2:]
    first, second = _rank(found, "lokr_w1_b"), _rank(found, "lokr_w2_b")
    shapes: dict[str, Shape] = {
        "lokr_w1": (rows, columns),
        "lokr_w1_a": (rows, first),
        "lokr_w1_b": (first, columns),
        "lokr_w2": (out, into, *kernel),
        "lokr_w2_a": (out, second),
        "lokr_w2_b": (second, into * math.prod(kernel)),
    }
    if "lokr_t2" in found:
        shapes |= {"lokr_w2_a": (second, out), "lokr_w2_b": (second, into)}
        shapes["lokr_t2"] = (second, second, *kernel)
    return shapes


def rank_of(found: Mapping[str, Shape]) -> int | None:
    """What alpha is divided by; None when both factors are whole and nothing is."""
    for half in ("lokr_w2_b", "lokr_w1_b"):
        if half in found:
            return _rank(found, half)
    return None


def product(parts: Mapping[str, Tensor], shape: Shape) -> Tensor:
    """The change, in the weight's shape, before it is scaled."""
    small = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        large = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        large = torch.einsum("pq...,po,qi->oi...", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        large = parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    large = large.reshape(large.shape[0], shape[1] // small.shape[1], *shape[2:]).contiguous()
    small = small.reshape(*small.shape[:2], *(1 for _ in shape[2:]))
    return torch.kron(small, large).reshape(shape)


def _rank(found: Mapping[str, Shape], half: str) -> int:
    return (*found.get(half, ()), 0)[0]
