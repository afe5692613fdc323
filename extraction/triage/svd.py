"""Singular values without the full decomposition: of two thin factors, or of the largest channels only."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Svd(NamedTuple):
    """`left @ diag(values) @ right.T`, in fp32 or wider."""

    left: Tensor
    """(out, r), orthonormal columns."""
    values: Tensor
    """(r,), largest first."""
    right: Tensor
    """(in, r), orthonormal columns."""


def of_factors(up: Tensor, down: Tensor, scale: float = 1.0) -> Svd:
    """Exact decomposition of `scale * up @ down` from two QR and one r x r SVD.

    Costs O((out + in) r^2), where the product's own would cost O(out in min(out, in)).

    Args:
        up: (out, r).
        down: (r, in).

    Raises:
        ValueError: the ranks differ.
    """
    if up.shape[1] != down.shape[0]:
        raise ValueError(f"up {tuple(up.shape)} and down {tuple(down.shape)} have no rank in common")
    left, left_triangle = torch.linalg.qr(up)
    right, right_triangle = torch.linalg.qr(down.T)
    core_left, values, core_right = torch.linalg.svd(scale * left_triangle @ right_triangle.T)
    # A core that is not square (a rank above a side) has as many values as its shorter side.
    count = len(values)
    return Svd(left @ core_left[:, :count], values, right @ core_right.T[:, :count])


def largest(matrix: Tensor, count: int, *, oversampling: int = 8, powers: int = 3, seed: int = 0) -> Svd:
    """The `count` largest channels of a matrix, by a randomised range finder.

    Halko, Martinsson and Tropp (2011), Algorithms 4.4 and 5.1, with `powers` subspace iterations. The
    test matrix comes from a CPU generator of its own, so that a matrix always gives the same answer.

    Args:
        matrix: (out, in).
    """
    width = min(*matrix.shape, count + oversampling)
    generator = torch.Generator().manual_seed(seed)
    test = torch.randn(matrix.shape[1], width, generator=generator).to(matrix)
    basis = torch.linalg.qr(matrix @ test).Q
    for _ in range(powers):
        basis = torch.linalg.qr(matrix @ torch.linalg.qr(matrix.T @ basis).Q).Q
    left, values, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    count = min(count, len(values))
    return Svd(basis @ left[:, :count], values[:count], right[:count].T)
