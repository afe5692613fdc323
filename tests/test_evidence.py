"""Evidence without a model: p-values against their closed form, neighbours against a loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.evidence import nearest_elsewhere, p_value, stability, wrong_checkpoints


def units(rng, count, sides=6):
    rows = rng.normal(size=(count, sides)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("as_near", "others", "expected"),
    [(0, 19, 0.05), (0, 99, 0.01), (1, 19, 0.1), (19, 19, 1.0), (0, 0, 1.0)],
)
def test_a_p_value(as_near, others, expected):
    assert p_value(as_near, others) == pytest.approx(expected)


@pytest.mark.parametrize(("as_near", "others"), [(-1, 3), (4, 3)])
def test_counts_that_cannot_be(as_near, others):
    with pytest.raises(ValueError, match="cannot be as near"):
        p_value(as_near, others)


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=40, unique=True))
def test_without_a_leak_every_p_value_is_as_likely_as_any_other(reached):
    """Exchangeable checkpoints, each held against the rest: 1/(n+1), 2/(n+1), ..., 1, each once."""
    values = np.array(reached)
    n = len(values) - 1
    found = sorted(
        wrong_checkpoints(value, np.delete(values, row), least=1).p_value for row, value in enumerate(values)
    )
    np.testing.assert_allclose(found, np.arange(1, n + 2) / (n + 1))


@given(st.lists(st.floats(-1, 1, width=16), min_size=2, max_size=40), st.floats(0.01, 1))
def test_ties_make_it_stricter_and_never_laxer(reached, alpha):
    values = np.array(reached)
    low = [
        wrong_checkpoints(value, np.delete(values, row), least=1).p_value <= alpha
        for row, value in enumerate(values)
    ]
    assert np.mean(low) <= alpha + 1e-9


def test_too_few_others_give_no_number():
    few = wrong_checkpoints(0.9, np.full(18, 0.1), least=19)
    assert (few.others, few.as_near, few.typical, few.p_value) == (18, 0, None, None)
    enough = wrong_checkpoints(0.9, np.full(19, 0.1), least=19)
    assert (enough.typical, enough.p_value) == (pytest.approx(0.1), pytest.approx(0.05))
    assert wrong_checkpoints(0.9, np.array([]), least=1).p_value is None


@given(st.integers(0, 30), st.integers(0, 10_000))
def test_the_nearest_of_another_checkpoint_is_what_a_loop_finds(count, seed):
    rng = np.random.default_rng(seed)
    rows, owner = units(rng, count), rng.integers(0, 4, count)
    index, similarity = nearest_elsewhere(rows, owner)
    for row in range(count):
        others = [
            (float(rows[row] @ rows[other]), other) for other in range(count) if owner[other] != owner[row]
        ]
        if not others:
            assert (index[row], similarity[row]) == (-1, -2)
            continue
        assert similarity[row] == pytest.approx(max(others)[0], abs=1e-6)
        assert owner[index[row]] != owner[row]


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    rows, owner = units(rng, 50), rng.integers(0, 5, 50)
    whole = nearest_elsewhere(rows, owner)
    monkeypatch.setattr("extraction.evidence._ROWS", 7)
    monkeypatch.setattr("extraction.evidence._COLUMNS", 5)
    parts = nearest_elsewhere(rows, owner)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_allclose(whole[1], parts[1], atol=1e-6)


def test_which_recipes_gave_it_too():
    rng = np.random.default_rng(1)
    one, two, three = units(rng, 3, sides=64)
    rows = np.stack([one, two, one, three])
    found = stability(rows, ["a", "a", "b", "c"], np.full(4, 0.9, np.float32))
    assert [(each.recipes, each.agreeing) for each in found] == [(2, ("b",)), (2, ()), (2, ("a",)), (2, ())]


def test_each_recipe_has_its_own_threshold():
    rows = np.array([[1, 0], [0.8, 0.6]], np.float32)
    found = stability(rows, ["loose", "strict"], np.array([0.7, 0.9], np.float32))
    assert [each.agreeing for each in found] == [("strict",), ()]


def test_one_recipe_tells_nothing_of_stability():
    (alone,) = stability(np.ones((1, 1), np.float32), ["a"], np.array([0.5], np.float32))
    assert (alone.recipes, alone.agreeing) == (0, ())
