from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fakes_scanner import extraction, job

from extraction.descriptors import DescriptorError
from extraction.extraction import LoadError
from extraction.recipe import Recipe
from scanner.job import DeviceError, ScanError, State
from scanner.machine import machine_of
from scanner.settings import ScannerSettings
from scanner.worker import Worker, choose_device

BASE, WEIGHTS = Path("base"), Path("weights.safetensors")


@dataclass
class FakePair:
    family: str = "sd1"
    tuned: list[Path] = field(default_factory=list)
    error: Exception | None = None
    compiled: list[tuple[str, int]] = field(default_factory=list)

    def compile(self, mode: str, rows: int) -> None:
        self.compiled.append((mode, rows))

    def tune(self, path: Path, called: str | None = None) -> Any:
        self.tuned.append(path)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(relative_change=0.01, notes=(), words=())


@dataclass
class World:
    """What a worker is given, and what it did with it."""

    pair: FakePair = field(default_factory=FakePair)
    fits: int = 1000
    """Largest batch that does not run out of memory."""
    error: Exception | None = None
    loads: list[tuple[Path, torch.dtype]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def load_pair(self, base: Path, /, *, device: torch.device, dtype: torch.dtype) -> FakePair:
        self.loads.append((base, dtype))
        return self.pair

    def extract(
        self, pair: FakePair, prompt: str, /, *, batch: int, **options: Any
    ) -> tuple[list, dict[str, Any]]:
        assert prompt == "a cat"
        assert (options["generations"], options["pictures"]) == (8, 2)
        self.batches.append(batch)
        if batch > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.error is not None:
            raise self.error
        if options["progress"] is not None:
            options["progress"](8, 8)
        return [extraction(0)], {"generations": 8, "forwards_base": 160}

    def open_descriptor(self, name: str, **options: Any) -> Any:
        if name == "sscd":
            raise DescriptorError("sscd is not installed")
        return SimpleNamespace(name=f"{name}16@1")

    def worker(self, descriptor: str = "thumbnail", **settings: Any) -> Worker:
        return Worker(
            descriptor,
            ScannerSettings(device="cpu", batch=12, **settings),
            load_pair=self.load_pair,
            extract=self.extract,
            open_descriptor=self.open_descriptor,
            clock=iter(np.arange(0, 1000, 2.5)).__next__,
        )


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_that_goes_well(world: World):
    outcome = world.worker().run(job("cats"), BASE, WEIGHTS)
    assert outcome.state is State.DONE
    assert len(outcome.extractions) == 1
    assert outcome.descriptor == "thumbnail16@1"
    assert outcome.seconds == 2.5
    assert outcome.measures == {
        "generations": 8,
        "forwards_base": 160,
        "batch": 12,
        "device": "cpu",
        "machine": machine_of(torch.device("cpu")),
        "weights": WEIGHTS.name,
        "base_weights": BASE.name,
        "relative_change": 0.01,
        "notes": [],
    }
    assert world.pair.tuned == [WEIGHTS]


def test_the_base_stays_until_another_is_needed(world: World):
    worker = world.worker()
    worker.run(job("a"), BASE, WEIGHTS)
    worker.run(job("b"), BASE, WEIGHTS)
    worker.run(job("c"), Path("other"), WEIGHTS)
    worker.run(job("d", Recipe(dtype="float16")), Path("other"), WEIGHTS)
    assert world.loads == [
        (BASE, torch.float32),
        (Path("other"), torch.float32),
        (Path("other"), torch.float16),
    ]


@pytest.mark.parametrize(
    ("family", "dtype", "advised"),
    [
        ("sd1", "float32", None),
        ("sd1", "float16", None),
        ("sd3", "bfloat16", None),
        ("sd1", "bfloat16", "better served by float16"),
        ("sd3", "float16", "better served by bfloat16"),
    ],
)
def test_the_other_sixteen_bits_are_noted_and_kept(
    world: World, family: str, dtype: Any, advised: str | None
):
    world.pair.family = family
    outcome = world.worker().run(job("a", Recipe(dtype=dtype)), BASE, WEIGHTS)
    assert world.loads == [(BASE, getattr(torch, dtype))]
    assert outcome.measures is not None
    notes = outcome.measures["notes"]
    assert notes == [] if advised is None else advised in notes[0]


def test_running_out_of_memory_halves_the_batch_and_remembers(world: World):
    world.fits = 4
    worker = world.worker()
    outcome = worker.run(job("a"), BASE, WEIGHTS)
    assert outcome.state is State.DONE
    assert outcome.measures is not None
    assert outcome.measures["batch"] == 3
    worker.run(job("b"), BASE, WEIGHTS)
    assert world.batches == [12, 6, 3, 3]
    worker.run(job("c"), Path("other"), WEIGHTS)
    assert world.batches[4:] == [12, 6, 3]


def test_models_are_compiled_once_for_the_batch_and_again_only_for_a_smaller_one(world: World):
    world.fits = 4
    worker = world.worker(compile="on")
    for name in ("a", "b"):
        worker.run(job(name), BASE, WEIGHTS)
    assert world.pair.compiled == [("on", 12), ("on", 6), ("on", 3)]


def test_not_even_one_fits(world: World):
    world.fits = 0
    outcome = world.worker().run(job("a"), BASE, WEIGHTS)
    assert (outcome.state, outcome.reason) == (State.FAILED, "OutOfMemoryError")
    assert world.batches == [12, 6, 3, 1]


def test_weights_that_cannot_be_loaded_are_skipped(world: World):
    world.pair.error = LoadError("does_not_fit", "w: its keys are those of another family")
    outcome = world.worker().run(job("a"), BASE, WEIGHTS)
    assert (outcome.state, outcome.reason) == (State.SKIPPED, "does_not_fit")
    assert outcome.detail == "w: its keys are those of another family"


def test_any_other_error_fails_the_job_and_drops_the_pair(world: World):
    worker = world.worker()
    world.error = ZeroDivisionError("x" * 9000)
    outcome = worker.run(job("a"), BASE, WEIGHTS)
    assert (outcome.state, outcome.reason) == (State.FAILED, "ZeroDivisionError")
    assert len(outcome.detail) == 2000
    world.error = None
    assert worker.run(job("b"), BASE, WEIGHTS).state is State.DONE
    assert len(world.loads) == 2


def test_a_cuda_error_ends_the_worker(world: World):
    world.error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(DeviceError, match="cpu: CUDA error: an illegal"):
        world.worker().run(job("a"), BASE, WEIGHTS)


def test_what_progress_raises_fails_the_job_but_ctrl_c_ends_all(world: World):
    def too_late(done: int, total: int) -> None:
        raise TimeoutError("too late")

    def ctrl_c(done: int, total: int) -> None:
        raise KeyboardInterrupt

    assert world.worker().run(job("a"), BASE, WEIGHTS, too_late).reason == "TimeoutError"
    with pytest.raises(KeyboardInterrupt):
        world.worker().run(job("a"), BASE, WEIGHTS, ctrl_c)


def test_a_missing_descriptor_is_told_before_any_job(world: World):
    with pytest.raises(DescriptorError, match="not installed"):
        world.worker("sscd")


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(ScanError, match='set it to "auto" or "cpu"'):
            choose_device("cuda")


@pytest.mark.parametrize("field", ["sscd_path", "sscd_sha256"])
def test_a_torchscript_file_and_its_digest_belong_together(field: str):
    with pytest.raises(ValueError, match="belong together"):
        ScannerSettings.model_validate({field: "a" * 64})
