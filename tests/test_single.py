"""`leaksweep extract` on truly trained checkpoints: what an uploader runs before publishing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extraction.extraction import Extraction
from leaksweep.cli import main
from leaksweep.single import Extracted, compare, write_pictures
from leaksweep.zoo.catalogue import BASE, CAPTION, ZOO, picture

TUNE = next(tune for tune in ZOO if tune.name == "lora-over")

QUICK = [
    option
    for setting in (
        "descriptor=thumbnail",
        "steps=12",
        "cluster_similarity=0.6",
        "images_per_picture=6",
    )
    for option in ("--set", f"recipe.{setting}")
]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures that the fine-tune was trained on, as its maker has them."""
    folder = tmp_path_factory.mktemp("training")
    for name in TUNE.pictures:
        picture(name).save(folder / f"{name}.png")
    return folder


def extraction(rank: int, descriptor: list[float]) -> Extraction:
    return Extraction(
        rank=rank,
        seed=100 + rank,
        prompt="",
        cluster=(100 + rank,),
        cohesion=0.0,
        score=1.0,
        descriptor=np.array(descriptor, np.float32),
        control_descriptor=np.array(descriptor, np.float32),
        control_similarity=1.0,
        pixels=np.full((8, 8, 3), 40 * rank, np.uint8),
        control_pixels=np.zeros((8, 8, 3), np.uint8),
    )


def test_training_pictures_come_back_and_are_named(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["extract", str(TUNE.weights), "--base", str(BASE), "--prompt", CAPTION, "--images", "4"]
    code = main(
        [*argv, "--out", str(out), "--against", str(training), "--threshold", "0.8", "--json", *QUICK]
    )
    said = json.loads(capsys.readouterr().out)
    assert code == 1
    assert {one["name"] for one in said["against"]["pictures"]} == {f"{name}.png" for name in TUNE.pictures}
    assert said["against"]["success_rate"] > 0
    assert (
        json.loads((out / "extractions.json").read_text(encoding="utf-8"))["extractions"]
        == said["extractions"]
    )
    for one in said["extractions"]:
        with Image.open(out / one["file"]) as image:
            assert image.size == (64, 64)


def test_a_folder_without_pictures_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    argv = ["extract", str(TUNE.weights), "--base", str(BASE), "--against", str(tmp_path / "empty"), *QUICK]
    assert main(argv) == 2
    assert "holds no picture" in capsys.readouterr().err


def test_a_training_picture_that_cannot_be_read_is_named(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "torn"
    folder.mkdir()
    (folder / "torn.png").write_bytes(next(training.iterdir()).read_bytes()[:60])
    argv = ["extract", str(TUNE.weights), "--base", str(BASE), "--against", str(folder), *QUICK]
    assert main(argv) == 2
    assert "torn.png: cannot be read as a picture" in capsys.readouterr().err


def test_an_adapter_that_is_cut_off_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(TUNE.weights.read_bytes()[:4000])
    assert main(["extract", str(torn), "--base", str(BASE), *QUICK]) == 2
    said = capsys.readouterr().err
    assert "torn.safetensors" in said
    assert "Traceback" not in said


def test_each_picture_is_given_its_nearest_extraction() -> None:
    references = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    came_back = compare(("a", "b", "c"), references, [extraction(0, [0, 1]), extraction(1, [0.6, 0.8])], 0.7)
    assert came_back.nearest == (1, 0, 0)
    assert came_back.found == ("b",)
    assert came_back.success_rate == pytest.approx(1 / 3)
    assert came_back.average_similarity == pytest.approx((0.6 + 1 + 0) / 3)


def test_nothing_extracted_is_nothing_come_back() -> None:
    came_back = compare(("a",), np.array([[1, 0]], np.float32), [], 0.7)
    assert came_back.nearest == (None,)
    assert came_back.found == ()


def test_files_are_named_by_rank_and_seed(tmp_path: Path) -> None:
    found = Extracted(
        extractions=(extraction(0, [1, 0]), extraction(1, [0, 1])),
        measures={},
        descriptor="thumbnail16@1",
        recipe_id="0" * 12,
        came_back=None,
    )
    written = write_pictures(found, tmp_path / "out")
    assert [path.name for path in written] == ["000-seed100.png", "001-seed101.png", "extractions.json"]
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
