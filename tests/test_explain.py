"""An extraction's account: what it says of each control, and the ids it can be asked for by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes_home import opened_home
from fakes_pictures import scene
from fakes_scanner import RECIPE, job

from crawler.checkpoint import PromptOrigin
from extraction.descriptors import Thumbnail
from extraction.extraction import Extraction
from leaksweep.account import ORIGINS
from leaksweep.cli import main
from leaksweep.home import Home
from scanner.job import Outcome, State

describe = Thumbnail()


def scan(home: Home, name: str, seed: int, *, control: int, cluster: tuple[int, ...] = (0,), steps=20) -> str:
    """One extraction, whose picture and control are scenes of these numbers."""
    subject = job(name, RECIPE.model_copy(update={"steps": steps}))
    pictures = [np.asarray(scene(number, (96, 96))) for number in (seed, control)]
    vectors = describe(pictures)
    found = Extraction(
        rank=0,
        seed=0,
        prompt="a cat",
        cluster=cluster,
        cohesion=0.91,
        score=0.5,
        descriptor=vectors[0],
        control_descriptor=vectors[1],
        control_similarity=float(vectors[0] @ vectors[1]),
        pixels=pictures[0],
        control_pixels=pictures[1],
    )
    done = Outcome(job_id=subject.id, state=State.DONE, extractions=(found,), descriptor=describe.name)
    with opened_home(home.root) as stores:
        stores.extractions.write(subject, done)
    return f"{subject.id}-000"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    (tmp_path / "artist").mkdir()
    scene(1, (96, 96)).save(tmp_path / "artist" / "1.png")
    with opened_home(made.root) as stores:
        stores.references.add_folder("artist", tmp_path / "artist", [describe])
    return made


def explain(home: Home, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    options = ["--home", str(home.root), "--set", "recipe.descriptor=thumbnail"]
    assert main(["explain", *words, *options]) == 0
    return capsys.readouterr().out


def match(home: Home, capsys: pytest.CaptureFixture[str], least: int = 19) -> None:
    assert main(["match", "--home", str(home.root), "--set", f"reports.min_others={least}"]) == 0
    capsys.readouterr()


def test_one_that_is_its_own(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = scan(home, "cats", 1, control=50, cluster=(0, 3, 8))
    scan(home, "dogs", 2, control=51)
    match(home, capsys, least=1)
    said = explain(home, capsys, name)
    for words in (
        f"Extraction {name}, 96 x 96 px, from huggingface:ann/cats@r:w.safetensors",
        "a fine-tune of base/sd",
        "3 generations came out nearly alike (mean likeness to their centre 0.91): seeds 0, 3, 8, centre 0",
        'Prompt: "a cat", from its training configuration.',
        "it makes another picture",
        "another picture (likeness",
        "the checkpoint was scanned with no other",
        "Reference 1.png of artist: critical by",
        "1 wrong checkpoints of the same base: 0 as near, p = 0.5 (n = 1)",
        f"leaksweep verify {name}",
        "not the probability",
    ):
        assert words in said, words
    assert "Explained by" not in said


def test_one_that_the_base_gives(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = scan(home, "cats", 1, control=1)
    match(home, capsys)
    said = explain(home, capsys, name)
    assert "it makes the same picture, so the fine-tune did not add it" in said
    assert "one generation, seed 0, which no other resembles: weak evidence" in said
    assert "Explained by the base, so it is no finding that counts." in said


def test_one_that_others_give(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name, twin = scan(home, "cats", 1, control=50), scan(home, "dogs", 1, control=51)
    match(home, capsys, least=1)
    said = explain(home, capsys, name, "--set", "reports.min_others=1")
    assert f"{twin}, one picture: it comes from the base, or from training pictures that both had" in said
    assert "1 as near, p = 1 (n = 1)" in said
    assert "Explained by other checkpoints" in said


def test_other_recipes(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = scan(home, "cats", 1, control=50)
    scan(home, "cats", 1, control=50, steps=9)
    scan(home, "cats", 2, control=50, steps=8)
    match(home, capsys)
    assert "Other recipes: 1 of 2 gave the same picture." in explain(home, capsys, name)


def test_before_matching_it_says_so(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = scan(home, "cats", 1, control=50)
    said = explain(home, capsys, name)
    assert "not compared yet; leaksweep match does" in said
    assert "it matches none" in said


def test_as_json_without_vectors_or_hashes(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = scan(home, "cats", 1, control=50)
    match(home, capsys)
    said = json.loads(explain(home, capsys, name, "--json"))
    assert said["extraction"]["seed"] == 0
    assert not {"descriptor", "control_descriptor"} & said["extraction"].keys()
    assert said["evidence"]["shared"] is False
    (matched,) = said["matches"]
    assert (matched["ref_id"], matched["severity"], matched["p_value"]) == ("1.png", "critical", None)
    (finding,) = said["findings"]
    assert finding["counts"] is True
    assert json.loads(explain(home, capsys, finding["id"], "--json")) == said


def test_every_origin_of_a_prompt_has_words() -> None:
    assert set(PromptOrigin) <= ORIGINS.keys()


def test_the_ids_are_listed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    names = {scan(home, "cats", 1, control=50), scan(home, "dogs", 2, control=51)}
    match(home, capsys)
    listed = json.loads(explain(home, capsys, "--json"))["extractions"]
    assert {row["id"] for row in listed} == names
    assert sum(len(row["findings"]) for row in listed) == 1
    said = explain(home, capsys)
    assert all(name in said for name in names)


def test_of_nothing_there_is_nothing_to_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = Home(tmp_path / "nowhere")
    assert "no extractions" in explain(nowhere, capsys)
    assert main(["explain", "x", "--home", str(nowhere.root)]) == 4
    assert "nothing has been scanned" in capsys.readouterr().err
    assert not nowhere.exists


def test_a_likelihood_ratio_is_told_where_there_is_one(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    import lancedb

    name = scan(home, "cats", 1, control=50)
    assert "likelihood ratio" not in explain(home, capsys, name)
    lancedb.connect(home.extractions).open_table("extractions").update(values={"likelihood_ratio": 0.125})
    assert "predicts it better than the base does (likelihood ratio +0.125)" in explain(home, capsys, name)
