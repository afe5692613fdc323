"""Recipes: ids, ranges and the number of generations."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from extraction.recipe import REFERENCE, Recipe


def test_the_id_is_the_content_without_the_name():
    assert Recipe(name="a").id == Recipe(name="b").id
    assert Recipe(steps=21).id != Recipe().id


def test_the_id_is_the_same_in_another_process():
    code = "from extraction.recipe import Recipe; print(Recipe().id)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == Recipe().id


@pytest.mark.parametrize("bad", [{"scale": 0}, {"steps": 0}, {"cluster_similarity": 1}, {"scalee": 3}])
def test_a_bad_value_is_refused(bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        Recipe(**bad)


def test_the_published_quirks_belong_to_their_sampler():
    with pytest.raises(ValidationError, match='set sampler = "ddim"'):
        Recipe(published_quirks=True, sampler="dpmpp_2m")


def test_the_reference_draws_fifty_for_each_picture():
    assert REFERENCE.generations(10) == 500
    assert Recipe(max_images=60, images_per_picture=25).generations(4) == 60
    assert Recipe(pictures=3, images_per_picture=25).generations(None) == 75
