"""Guidance: fixed points and closed forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extraction.guidance import extrapolate, schedule

BASE = torch.tensor([[[[1.0, -2.0]]]])
TUNED = torch.tensor([[[[3.0, 5.0]]]])


@pytest.mark.parametrize(("scale", "expected"), [(0.0, BASE), (1.0, TUNED)])
def test_scale_0_is_the_base_and_1_the_tuned_model(scale, expected):
    assert torch.equal(extrapolate(BASE, TUNED, scale), expected)


def test_the_published_weights():
    # (1 - w' + k) e0 + w' e1 with w' = 3, k = -0.02 (FineXtract, DreamBooth).
    expected = (1 - 3 - 0.02) * BASE + 3 * TUNED
    torch.testing.assert_close(extrapolate(BASE, TUNED, 3.0, -0.02), expected)


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_it_is_linear_in_the_predictions(scale, factor):
    scaled = extrapolate(BASE * factor, TUNED * factor, scale)
    torch.testing.assert_close(scaled, factor * extrapolate(BASE, TUNED, scale))


def test_equal_models_are_left_alone_whatever_the_scale():
    torch.testing.assert_close(extrapolate(BASE, BASE, 7.0), BASE)


def test_another_shape_is_named():
    with pytest.raises(ValueError, match=r"\(1, 1, 1, 2\).*\(2,\)"):
        extrapolate(BASE, torch.zeros(2), 1.0)


def test_a_schedule_begins_and_ends_where_asked():
    assert schedule(1, 5, 5) == [1, 2, 3, 4, 5]
    assert schedule(3, 3, 4) == [3, 3, 3, 3]
    assert schedule(1, 5, 1) == [5]


def test_late_guidance_leaves_the_first_steps_to_the_tuned_model():
    assert schedule(4, 4, 4, guidance_from=0.5) == [1, 1, 4, 4]
    assert schedule(1, 5, 5, guidance_from=0.6) == [1, 1, 1, 4, 5]
