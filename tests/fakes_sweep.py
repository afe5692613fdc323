"""The whole way on loopback: a hub of few trained checkpoints, and the command that sweeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
        options = [] if words[0] in {"refs", "erase"} else QUICK
        code = main([*words, "--config", str(self.config), "--home", str(self.home), "--json", *options])
        return code, json.loads(capsys.readouterr().out)


def few(folder: Path) -> HubContent:
    """A hub of few: two that leak, a clean one, and the cases of every day."""
    kept = {BASE_REPO, "zoo/lora-over", "zoo/full-clean", "zoo/same-as-base", "zoo/pickle-only", "zoo/gated"}
    kept |= {"zoo/lies-about-its-base", "zoo/another-family"}
    whole = stock(folder)
    return replace(
        whole, repos=tuple(repo for repo in whole.repos if repo.id in kept), civitai=whole.civitai[1:]
    )


@contextmanager
def served(content: HubContent, tmp_path: Path) -> Iterator[World]:
    """Serve a hub, and write settings and folders of pictures for it."""
    pictures = tmp_path / "pictures"
    for name, chosen in {"planted": PLANTED["lora-over"] + PLANTED["lora-kohya"], "decoys": DECOYS}.items():
        (pictures / name).mkdir(parents=True)
        for one in chosen:
            picture(one).save(pictures / name / f"{one}.png")
    with LocalHub(content) as hub:
        config = write_settings(tmp_path / "config.toml", hub.url, hub.civitai_url, tmp_path / "home")
        yield World(config, pictures, tmp_path / "home")
