"""Noise that is steered away keeps what is orthogonal and points away from every picture found."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extraction.steering import steer_away

SHAPE = (4, 5, 3)


def gaussian(rows: int, seed: int) -> torch.Tensor:
    return torch.randn((rows, *SHAPE), generator=torch.Generator().manual_seed(seed))


@given(count=st.integers(1, 6), strength=st.floats(0, 5), seed=st.integers(0, 1000))
def test_the_component_along_the_basis_is_set_and_the_rest_is_kept(count, strength, seed):
    noise, found = gaussian(3, seed), gaussian(count, seed + 1) + 0.3
    steered = steer_away(noise, found, strength)
    basis, _ = torch.linalg.qr(found.flatten(1).double().T)
    along = steered.flatten(1).double() @ basis
    torch.testing.assert_close(along.abs(), torch.full_like(along, strength), atol=1e-5, rtol=1e-5)
    rest = [
        rows.flatten(1).double() - rows.flatten(1).double() @ basis @ basis.T for rows in (noise, steered)
    ]
    torch.testing.assert_close(rest[0], rest[1], atol=1e-5, rtol=1e-5)


@given(strength=st.floats(0.1, 5), seed=st.integers(0, 1000))
def test_one_picture_is_pushed_to_the_far_side(strength, seed):
    found = gaussian(1, seed)
    unit = found.flatten(1) / found.norm()
    along = steer_away(gaussian(2, seed + 1), found, strength).flatten(1) @ unit.T
    torch.testing.assert_close(along, torch.full_like(along, -strength), atol=1e-4, rtol=1e-4)


def test_without_pictures_the_noise_is_untouched():
    noise = gaussian(2, 0)
    assert steer_away(noise, gaussian(0, 1), 2.0) is noise


def test_latents_of_another_size_are_refused():
    with pytest.raises(ValueError, match="not of one size"):
        steer_away(gaussian(2, 0), torch.zeros(1, 4, 5, 4), 2.0)
