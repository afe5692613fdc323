"""File lists of repositories as plain data: which files become checkpoints, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from crawler.checkpoint import Kind, Layout, RemoteFile, Skip, SkipReason
from crawler.huggingface.candidates import Candidate, candidates, series_of
from crawler.huggingface.listed import Facts, Listed

FOLDER = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
)


def files(*paths: str, size: int = 100) -> dict[str, RemoteFile]:
    return {path: RemoteFile(path=path, url=f"https://hub/{path}", size=size, sha256=None) for path in paths}


def listed(**facts: Any) -> Listed:
    return Listed(repo="me/mine", revision="a" * 40, facts=Facts(**facts))


def found(*paths: str, limit: int = 1000, **facts: Any) -> list[Candidate | Skip]:
    return list(candidates(listed(**facts), files(*paths), limit))


def test_a_folder_is_one_candidate_and_its_copies_are_none() -> None:
    (folder,) = found(*FOLDER, "v1-5-pruned.safetensors", "safety_checker/model.safetensors", "model.ckpt")
    assert isinstance(folder, Candidate)
    assert (folder.path, folder.layout, folder.kind) == ("", Layout.FOLDER, Kind.FULL)
    assert sorted(file.path for file in folder.files) == sorted(FOLDER)


def test_an_adapter_beside_a_folder_is_another_candidate() -> None:
    everything = files(*FOLDER) | files("pytorch_lora_weights.safetensors", size=10)
    _, adapter = candidates(listed(), everything, 1000)
    assert isinstance(adapter, Candidate)
    assert (adapter.path, adapter.kind) == ("pytorch_lora_weights.safetensors", Kind.LORA)


@pytest.mark.parametrize(
    ("instead", "reason"), [("unet/model.bin", SkipReason.PICKLE_ONLY), ("README.md", SkipReason.NO_WEIGHTS)]
)
def test_a_folder_without_its_denoiser(instead: str, reason: SkipReason) -> None:
    rest = [path for path in FOLDER if not path.startswith("unet/")]
    (skip,) = found(*rest, instead)
    assert isinstance(skip, Skip)
    assert skip.reason is reason


def test_several_adapters_in_one_repository() -> None:
    rows = found("style_lora.safetensors", "checkpoint-500/pytorch_lora_weights.safetensors", "README.md")
    assert {row.kind for row in rows} == {Kind.LORA}
    assert len(rows) == 2


def test_only_a_header_can_tell_an_unmarked_file() -> None:
    assert [row.kind for row in found("weights.safetensors")] == [None]
    assert [row.kind for row in found("weights.safetensors", adapter=True)] == [Kind.LORA]


def test_embeddings_are_told_by_their_name() -> None:
    assert [row.kind for row in found("learned_embeds.safetensors")] == [Kind.TEXTUAL_INVERSION]
    assert [row.kind for row in found("learned_embeds-steps-500.safetensors", adapter=True)] == [
        Kind.TEXTUAL_INVERSION
    ]


def test_a_peft_folder_brings_its_config() -> None:
    (adapter,) = found("adapter_model.safetensors", "adapter_config.json")
    assert isinstance(adapter, Candidate)
    assert [file.path for file in adapter.files] == ["adapter_model.safetensors", "adapter_config.json"]


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (("unet/diffusion_pytorch_model.safetensors",), SkipReason.NO_WEIGHTS),
        (("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"), SkipReason.NO_WEIGHTS),
        (("README.md",), SkipReason.NO_WEIGHTS),
        (("model.ckpt",), SkipReason.PICKLE_ONLY),
        ((), SkipReason.NO_WEIGHTS),
    ],
)
def test_repositories_without_a_checkpoint(paths: tuple[str, ...], reason: SkipReason) -> None:
    (skip,) = found(*paths)
    assert isinstance(skip, Skip)
    assert skip.reason is reason


def test_limits() -> None:
    (skip,) = found("weights.safetensors", limit=99)
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.TOO_LARGE
    assert "max_file_bytes" in skip.detail
    many = found(*(f"{chr(97 + n % 26)}{n}.safetensors" for n in range(60)))
    assert sum(isinstance(one, Candidate) for one in many) == 50
    assert isinstance(many[-1], Skip)


def test_what_a_training_ended_with_comes_before_its_steps() -> None:
    rows = found(
        "sks-000002.safetensors",
        "sks-000010.safetensors",
        "sks.safetensors",
        "sks-000004.safetensors",
        "other.safetensors",
    )
    assert [row.path for row in rows] == [
        "other.safetensors",
        "sks.safetensors",
        "sks-000010.safetensors",
        "sks-000004.safetensors",
        "sks-000002.safetensors",
    ]
    series = {row.series for row in rows if isinstance(row, Candidate)}
    assert len(series) == 2


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("a-000010.safetensors", 10),
        ("a-step00000500.safetensors", 500),
        ("a_000002000.safetensors", 2000),
        ("a-epoch-3.safetensors", 3),
        ("a_e12.safetensors", 12),
        ("checkpoint-500/pytorch_lora_weights.safetensors", 500),
        ("runs/checkpoint-1000/pytorch_lora_weights.safetensors", 1000),
        ("learned_embeds-steps-750.safetensors", 750),
    ],
)
def test_steps_as_trainers_write_them(path: str, step: int) -> None:
    assert series_of(path)[1] == step


@pytest.mark.parametrize(
    "path",
    [
        "style_v2.safetensors",
        "a-2.safetensors",
        "sd15.safetensors",
        "a_1024.safetensors",
        "1.5/a.safetensors",
    ],
)
def test_numbers_that_are_no_steps(path: str) -> None:
    assert series_of(path) == (path, float("inf"))


def test_a_name_that_cannot_be_shown_is_a_skip() -> None:
    odd = {"a\\u202e.safetensors": RemoteFile(path="a\\u202e.safetensors", url="", size=1, sha256=None)}
    first, *_ = candidates(listed(), odd, 1000)
    assert isinstance(first, Skip)
    assert first.reason is SkipReason.MALFORMED
