"""What fetched files tell of a job: the size of its training set, from the header on the disk."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fakes_scanner import RECIPE, lora
from safetensors.torch import save_file

from crawler.checkpoint import Prompt, PromptOrigin, SkipReason, Training
from crawler.store.refusal import DownloadError
from scanner.job import Job, State
from scanner.prefetch import Fetcher, Ready, informed, read_ahead

TRAINING = {"ss_dataset_dirs": json.dumps({"10_sks dog": {"n_repeats": 10, "img_count": 7}})}


@pytest.fixture
def job() -> Job:
    return Job(
        checkpoint=replace(lora("one"), training=Training()),
        recipe=RECIPE,
        prompt=Prompt(text="a photo", origin=PromptOrigin.TRIGGER_WORDS),
        base_repo="owner/base",
        generations=RECIPE.generations(None),
        pictures=RECIPE.pictures,
    )


def weights(folder: Path, metadata: dict[str, str]) -> Path:
    save_file({"weight": torch.zeros(2)}, folder / "lora.safetensors", metadata)
    return folder / "lora.safetensors"


def test_the_header_sets_the_budget_where_the_hub_told_nothing(job: Job, tmp_path: Path):
    known = informed(job, weights(tmp_path, TRAINING))
    assert (known.pictures, known.generations) == (7, RECIPE.generations(7))
    assert known.id == job.id


def test_what_the_hub_told_stands(job: Job, tmp_path: Path):
    told = replace(job, checkpoint=replace(job.checkpoint, training=Training(images=3)))
    assert informed(told, weights(tmp_path, TRAINING)) is told


def test_a_silent_header_or_a_broken_file_changes_nothing(job: Job, tmp_path: Path):
    assert informed(job, weights(tmp_path, {})) is job
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x80pickle")
    assert informed(job, broken) is job
    assert informed(job, tmp_path) is job


def test_what_is_read_ahead_stays_within_the_limit(tmp_path: Path):
    first = weights(tmp_path, {})
    size = first.stat().st_size
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.safetensors").write_bytes(first.read_bytes())
    (tmp_path / "notes.txt").write_text("not weights")
    assert read_ahead(first) == size
    assert read_ahead(tmp_path) == 2 * size
    assert read_ahead(tmp_path, limit=2 * size - 1) == size
    assert read_ahead(tmp_path / "gone.safetensors") == 0


def test_a_job_is_handed_over_with_its_weights_read_ahead(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, asked = weights(tmp_path, {}), []
    monkeypatch.setattr(os, "posix_fadvise", lambda handle, start, size, advice: asked.append(size))
    files = SimpleNamespace(fetch=lambda file, hub: path, fetch_folder=lambda files, hub: tmp_path)
    base = SimpleNamespace(files=())
    ready = Fetcher(files, lambda repo: base)(job)
    assert isinstance(ready, Ready)
    assert asked == [path.stat().st_size]


def test_what_was_taken_down_is_not_asked_for(job: Job) -> None:
    def fetch(*args: object) -> None:
        raise AssertionError("no file may be asked for")

    files = SimpleNamespace(fetch=fetch, fetch_folder=fetch)
    outcome = Fetcher(files, lambda repo: None, lambda checkpoint: "2026-11-24: a request")(job)
    assert (outcome.state, outcome.reason) == (State.SKIPPED, "taken_down")
    assert "a request" in outcome.detail


def test_a_base_without_room_is_tried_again_and_a_lost_one_is_not(job: Job) -> None:
    asked: list[str] = []

    def lacking(reason: SkipReason) -> Fetcher:
        def fetch_folder(*args: object) -> None:
            asked.append(reason)
            raise DownloadError(reason, "no")

        return Fetcher(SimpleNamespace(fetch_folder=fetch_folder), lambda repo: SimpleNamespace(files=()))

    for reason in (SkipReason.BUDGET, SkipReason.GATED):
        fetcher = lacking(reason)
        assert [fetcher(job).reason for _ in range(2)] == [reason, reason]
    assert asked == [SkipReason.BUDGET, SkipReason.BUDGET, SkipReason.GATED]
