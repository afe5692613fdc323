"""What the scanner's tests share: jobs, extractions, and a worker that needs no model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crawler.catalog.engine import open_engine
from crawler.checkpoint import (
    BaseClaim,
    Checkpoint,
    Grade,
    Hub,
    Kind,
    Layout,
    Prompt,
    PromptOrigin,
    RemoteFile,
)
from crawler.store.refusal import DownloadError
from extraction.extraction import Extraction
from extraction.recipe import Recipe
from scanner.extraction_store import ExtractionStore
from scanner.job import DeviceError, Job, Outcome, State
from scanner.picture_keys import PictureKeys
from scanner.vault import Vault

RECIPE = Recipe(descriptor="thumbnail")
BASE = "base/sd"


def lora(name: str) -> Checkpoint:
    """A LoRA of its own repository. The local worker below does what the name begins with."""
    weights = RemoteFile(path="w.safetensors", url=f"http://hub.test/{name}", size=1, sha256=None)
    return Checkpoint(
        hub=Hub.HUGGINGFACE,
        repo=f"ann/{name}",
        revision="r",
        path="w.safetensors",
        kind=Kind.LORA,
        layout=Layout.FILE,
        family="sd1",
        files=(weights,),
        claims=(BaseClaim(repo=BASE, family="sd1", source="card", grade=Grade.DECLARED),),
        prompts=(Prompt(text="a cat", origin=PromptOrigin.INSTANCE_PROMPT),),
    )


def job(name: str, recipe: Recipe = RECIPE) -> Job:
    checkpoint = lora(name)
    return Job(
        checkpoint=checkpoint,
        recipe=recipe,
        prompt=checkpoint.prompts[0],
        base_repo=BASE,
        generations=8,
        pictures=2,
    )


def extraction(rank: int, seed: int = 0, side: int = 48) -> Extraction:
    """Noise that is the same for the same rank and seed; higher than wide it is not."""
    random = np.random.default_rng((seed, rank))
    pixels = random.integers(0, 256, (2, side, side + 8, 3), dtype=np.uint8)
    vector = random.standard_normal((2, 16)).astype(np.float32)
    return Extraction(
        rank=rank,
        seed=rank + 40,
        prompt="a cat",
        cluster=(rank + 40, rank + 41),
        cohesion=0.75,
        score=0.5,
        descriptor=vector[0],
        control_descriptor=vector[1],
        control_similarity=0.25,
        pixels=pixels[0],
        control_pixels=pixels[1],
    )


def outcome(subject: Job, count: int = 2, seed: int = 0, side: int = 48) -> Outcome:
    found = tuple(extraction(rank, seed, side) for rank in range(count))
    return Outcome(job_id=subject.id, state=State.DONE, extractions=found, descriptor="thumbnail16@1")


class FakeWorker:
    """Does what the repository's name says: die, hang, lose the device, or scan in `seconds`."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        """`folder` keeps one line an attempt, across processes."""
        self._folder = folder
        self._seconds = seconds

    def run(
        self, subject: Job, base: Path, weights: Path, progress: Callable[[int, int], None] | None = None
    ) -> Outcome:
        name = subject.checkpoint.repo.removeprefix("ann/")
        with (self._folder / f"{name}.attempts").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if name.startswith("die"):
            os.kill(os.getpid(), 9)
        if name.startswith("hang"):
            time.sleep(3600)
        if name.startswith("device"):
            raise DeviceError("cuda: CUDA error: an illegal memory access was encountered")
        for done in range(4):
            time.sleep(self._seconds / 4)
            if progress is not None:
                progress(done + 1, 4)
        return outcome(subject, seed=sum(name.encode()))


class FakeFiles:
    """A store in which every file is there, but for those of repositories named in `lost`."""

    def __init__(self, lost: dict[str, DownloadError] | None = None) -> None:
        self.lost = lost or {}
        self.asked: list[str] = []

    def fetch(self, file: RemoteFile, hub: Hub) -> Path:
        self.asked.append(file.url)
        for name, error in self.lost.items():
            if file.url.endswith(name):
                raise error
        return Path(file.path)

    def fetch_folder(self, files: Sequence[RemoteFile], hub: Hub) -> Path:
        for file in files:
            self.fetch(file, hub)
        return Path("folder")


VAULT = Vault(bytes(32), origin="the tests' key")


def extraction_store(folder: Path, **options: Any) -> ExtractionStore:
    """A store with its keys in a database beside it."""
    engine = open_engine(f"sqlite:///{folder.parent / 'keys.db'}")
    return ExtractionStore(folder, PictureKeys(engine, VAULT), **options)
