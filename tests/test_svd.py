"""Singular values without the full decomposition, held against numpy's full one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extraction.triage.svd import Svd, largest, of_factors


def product(found: Svd) -> torch.Tensor:
    return found.left @ torch.diag(found.values) @ found.right.T


def planted(rows: int, columns: int, values: list[float], seed: int = 0) -> torch.Tensor:
    """A matrix of known singular values, in fp64."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(side, len(values), generator=generator, dtype=torch.float64)).Q
        for side in (rows, columns)
    )
    return left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right.T


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31), st.floats(0.1, 8))
def test_two_thin_factors_have_the_spectrum_of_their_product(rows, columns, rank, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    up = torch.randn(rows, rank, generator=generator, dtype=torch.float64)
    down = torch.randn(rank, columns, generator=generator, dtype=torch.float64)
    found = of_factors(up, down, scale)
    whole = scale * (up @ down).numpy()
    full = np.linalg.svd(whole, compute_uv=False)
    count = len(found.values)
    assert count == min(rank, rows, columns)
    assert found.values.numpy() == pytest.approx(full[:count], rel=1e-9, abs=1e-9)
    assert product(found).numpy() == pytest.approx(whole, rel=1e-9, abs=1e-9)
    for basis in (found.left, found.right):
        assert (basis.T @ basis).numpy() == pytest.approx(np.eye(count), abs=1e-9)


def test_factors_without_a_rank_in_common():
    with pytest.raises(ValueError, match="no rank in common"):
        of_factors(torch.zeros(4, 2), torch.zeros(3, 4))


def test_the_largest_channels_of_a_matrix_of_known_spectrum():
    values = [9.0, 5.0, 3.0, *(0.05 * 0.9**index for index in range(30))]
    found = largest(planted(60, 80, values), 3)
    assert found.values.tolist() == pytest.approx([9, 5, 3], rel=1e-8)
    assert found.left.shape == (60, 3)
    assert found.right.shape == (80, 3)


def test_a_flat_spectrum_is_not_overstated():
    """Where no channel stands out, each found value is still the length of something real."""
    matrix = torch.randn(50, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    full = np.linalg.svd(matrix.numpy(), compute_uv=False)
    found = largest(matrix, 5).values.numpy()
    assert (found <= full[:5] + 1e-9).all()
    assert found == pytest.approx(full[:5], rel=0.02)


def test_a_matrix_always_gives_the_same_answer():
    matrix = torch.randn(30, 30, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    first = largest(matrix, 4)
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for one, other in zip(first, largest(matrix, 4), strict=True))


def test_more_channels_than_the_matrix_has():
    assert largest(planted(3, 9, [2.0, 1.0, 0.5]), 32).values.tolist() == pytest.approx([2, 1, 0.5])
