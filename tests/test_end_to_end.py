"""The whole way on loopback: a hub with trained checkpoints, swept by the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from leaksweep.cli import main
from leaksweep.demo.settings import write_settings
from leaksweep.hub import HubContent, LocalHub
from leaksweep.zoo.catalogue import DECOYS, ZOO, picture
from leaksweep.zoo.stock import BASE_REPO, stock

QUICK = ["--set", "scanner.workers=0", "--set", "recipe.steps=10", "--set", "recipe.images_per_picture=6"]
PLANTED = {tune.name: tune.pictures for tune in ZOO}


@dataclass(frozen=True)
class World:
    """A hub that runs, a settings file that names it, and folders of pictures."""

    config: Path
    pictures: Path
    home: Path

    def call(self, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
        """Run a command with --json: its exit code and what it printed."""
        options = [] if words[0] == "refs" else QUICK
        code = main([*words, "--config", str(self.config), "--home", str(self.home), "--json", *options])
        return code, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> HubContent:
    """A hub of few: two that leak, a clean one, and the cases of every day."""
    kept = {BASE_REPO, "zoo/lora-over", "zoo/full-clean", "zoo/same-as-base", "zoo/pickle-only", "zoo/gated"}
    kept |= {"zoo/lies-about-its-base", "zoo/another-family"}
    whole = stock(tmp_path_factory.mktemp("stock"))
    return replace(
        whole, repos=tuple(repo for repo in whole.repos if repo.id in kept), civitai=whole.civitai[1:]
    )


@pytest.fixture
def world(content: HubContent, tmp_path: Path) -> Iterator[World]:
    pictures = tmp_path / "pictures"
    for name, chosen in {"planted": PLANTED["lora-over"] + PLANTED["lora-kohya"], "decoys": DECOYS}.items():
        (pictures / name).mkdir(parents=True)
        for one in chosen:
            picture(one).save(pictures / name / f"{one}.png")
    with LocalHub(content) as hub:
        config = write_settings(tmp_path / "config.toml", hub.url, hub.civitai_url, tmp_path / "home")
        yield World(config, pictures, tmp_path / "home")


def test_the_whole_way(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("planted", "decoys"):
        assert world.call("refs", "add", name, str(world.pictures / name), capsys=capsys)[0] == 0

    code, first = world.call("sweep", capsys=capsys)
    assert code == 1, first
    report = world.home / "report"
    findings = pd.read_csv(report / "findings.csv")
    assert set(findings["set"]) == {"planted"}
    # What a checkpoint gave back is what it was trained on, and the clean one gave nothing.
    for row in findings.itertuples():
        name = row.repo.removeprefix("zoo/") if row.hub == "huggingface" else "lora-kohya"
        assert Path(row.ref_id).stem in PLANTED[name]
    assert not (findings["repo"] == "zoo/full-clean").any()

    checkpoints = pd.read_csv(report / "checkpoints.csv").set_index("repo")
    reasons = checkpoints["reason"].dropna().to_dict()
    assert reasons["zoo/pickle-only"] == "pickle_only"
    assert reasons["zoo/gated"] == "gated"
    assert reasons["zoo/another-family"] == "unsupported_family"
    assert reasons["zoo/same-as-base"] == "same_as_base"
    assert reasons["zoo/lies-about-its-base"] == "does_not_fit"
    assert {"findings.sarif", "report.html", "extractions.parquet"} <= {
        path.name for path in report.iterdir()
    }

    # A second night finds the same and scans nothing again.
    code, second = world.call("sweep", capsys=capsys)
    assert code == 1
    assert second["scan"]["done"] == 0
    again = pd.read_csv(report / "findings.csv")
    assert list(again["id"]) == list(findings["id"])
    assert set(again["state"]) == {"known"}

    # Nobody's pixels stay but those of findings.
    code, status = world.call("status", capsys=capsys)
    held = status["extractions"]
    assert 0 < held["images"] < held["extractions"]
    assert held["images"] <= len(set(findings["extraction_id"]))
