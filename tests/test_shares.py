"""Generations shared among prompts, and what came back put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes_scanner import RECIPE, extraction
from hypothesis import given
from hypothesis import strategies as st

from extraction.extraction import Extraction
from scanner.shares import extract_shared, merge, shares


def found(rank: int, score: float, axis: int, prompt: str = "") -> Extraction:
    return replace(
        extraction(rank), score=score, prompt=prompt, descriptor=np.eye(16, dtype=np.float32)[axis]
    )


@given(st.integers(2, 10_000), st.integers(1, 16))
def test_every_generation_is_given_out_once(generations: int, prompts: int):
    parts = shares(generations, prompts)
    assert sum(parts) == generations
    assert len(parts) == prompts
    assert max(parts[1:], default=0) <= parts[0]
    assert all(part == 0 or part >= 2 for part in parts)


def test_one_prompt_is_the_plain_extraction():
    given_back = ([found(0, 1.0, 0)], {"generations": 9})
    told: list[tuple[int, int]] = []

    def extract(prompt: str, generations: int, progress: Any) -> Any:
        assert (prompt, generations) == ("a", 9)
        progress(9, 9)
        return given_back

    again = extract_shared(
        extract, ["a"], recipe=RECIPE, generations=9, pictures=2, progress=lambda *seen: told.append(seen)
    )
    assert again is given_back
    assert told == [(9, 9)]


def test_two_prompts_share_generations_and_the_best_of_both_stay():
    told: list[tuple[int, int]] = []
    answers = {
        "a": [found(0, 0.9, 0, "a"), found(1, 0.2, 1, "a")],
        "": [found(0, 0.8, 2), found(1, 0.7, 0)],
    }

    def extract(prompt: str, generations: int, progress: Any) -> Any:
        progress(generations, generations)
        measures = {"generations": generations, "forwards_base": 10, "mean_similarity": 0.5, "avoided": [1]}
        return answers[prompt], measures

    extractions, measures = extract_shared(
        extract, ["a", ""], recipe=RECIPE, generations=9, pictures=2, progress=lambda *seen: told.append(seen)
    )
    assert [(one.rank, one.score, one.prompt) for one in extractions] == [(0, 0.9, "a"), (1, 0.8, "")]
    assert measures == {
        "generations": 9,
        "forwards_base": 20,
        "mean_similarity": 0.5,
        "avoided": [1, 1],
        "prompts": 2,
    }
    assert told == [(5, 9), (9, 9)]


def test_a_picture_that_two_prompts_found_is_kept_once():
    kept = merge([[found(0, 0.5, 0, "a")], [found(0, 0.6, 0, "b"), found(1, 0.1, 3, "b")]], 0.5, None)
    assert [(one.rank, one.prompt, one.score) for one in kept] == [(0, "b", 0.6), (1, "b", 0.1)]


@pytest.mark.parametrize("limit", [1, 2, None])
def test_no_more_than_the_limit(limit: int | None):
    rows = [[found(rank, 1 - rank / 10, rank) for rank in range(3)]]
    assert len(merge(rows, 0.5, limit)) == (limit or 3)
