"""Which files of a pipeline folder are taken: all that a loader opens, one precision of each, no more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes_checkpoints import PIPELINES, fetched, listed, published

from crawler.checkpoint import RemoteFile, SkipReason
from crawler.huggingface.folder import COMPARED, fine_tune_files, folder_files, weights_bytes
from extraction.extraction import LoadError
from extraction.families import load_pair

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=list(PIPELINES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def hub(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(family, tmp_path_factory.mktemp(family))


def files(*paths: str, size: int = 100) -> dict[str, RemoteFile]:
    return {path: RemoteFile(path=path, url="", size=size, sha256=None) for path in paths}


def paths(chosen: tuple[RemoteFile, ...] | SkipReason) -> list[str]:
    assert not isinstance(chosen, SkipReason)
    return [file.path for file in chosen]


def test_no_part_can_be_left_out(family: str, hub: Path, tmp_path: Path):
    folder = fetched(folder_files(listed(hub)), tmp_path / "base")
    pair = load_pair(folder, device=CPU, dtype=torch.float32)
    assert pair.family == family
    assert set(pair.original.components[1:]) == set(COMPARED[family])
    needed = [
        *folder.rglob("*.safetensors"),
        *folder.rglob("config.json"),
        *folder.rglob("scheduler_config.json"),
    ]
    for path in needed:
        path.rename(path.with_suffix(".away"))
        with pytest.raises(LoadError):
            load_pair(folder, device=CPU, dtype=torch.float32)
        path.with_suffix(".away").rename(path)


def test_a_fine_tune_needs_what_is_compared(family: str, hub: Path):
    every = listed(hub)
    parts = {
        path.split("/")[0] for path in paths(fine_tune_files(every, family)) if path.endswith(".safetensors")
    }
    denoiser = "unet" if "unet/config.json" in every else "transformer"
    assert parts == {denoiser, *COMPARED[family]}
    assert set(paths(fine_tune_files(every, family))) <= set(paths(fine_tune_files(every)))
    assert set(paths(fine_tune_files(every))) <= set(paths(folder_files(every)))


SHARDS = [f"transformer/diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
INDEX = "transformer/diffusion_pytorch_model.safetensors.index.json"


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ("model.safetensors model.fp16.safetensors pytorch_model.bin", 1),
        ("model.fp16.safetensors model.bin", 1),
        ("model.bf16.safetensors", 1),
        ("model.safetensors model-00001-of-00001.safetensors model.safetensors.index.json", 1),
        ("model.safetensors.index.fp16.json model.fp16-00001-of-00001.safetensors model.ckpt", 2),
        ("model.safetensors.index.fp16.json model-00001-of-00001.fp16.safetensors model-x.safetensors", 2),
    ],
)
def test_one_precision_of_each(there: str, taken: int):
    names = [f"text_encoder/{name}" for name in there.split()]
    known = files("model_index.json", *SHARDS, INDEX, *names)
    chosen = [path for path in paths(fine_tune_files(known)) if path.startswith("text_encoder/")]
    assert chosen == names[:taken]
    assert weights_bytes(known.values()) == 200


def test_only_the_t5_that_is_not_compared_may_be_rounded():
    twice = ("model.safetensors", "model.fp16.safetensors")
    encoders = [f"text_encoder{suffix}/{name}" for suffix in ("", "_2", "_3") for name in twice]
    known = files(
        "model_index.json", "vae/model.safetensors", *SHARDS, INDEX, *encoders, "tokenizer_3/spiece.model"
    )
    chosen = paths(folder_files(known))
    assert [path for path in chosen if path.startswith("text_encoder")] == [
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
        "text_encoder_3/model.fp16.safetensors",
    ]
    assert "tokenizer_3/spiece.model" in chosen


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (["transformer/diffusion_pytorch_model.bin"], SkipReason.PICKLE_ONLY),
        (["transformer/config.json"], SkipReason.NO_WEIGHTS),
        (SHARDS, SkipReason.NO_WEIGHTS),
        ([*SHARDS, INDEX, "text_encoder/pytorch_model.bin"], SkipReason.PICKLE_ONLY),
        (["vae/diffusion_pytorch_model.safetensors"], SkipReason.NO_WEIGHTS),
    ],
)
def test_what_cannot_be_compared(there: list[str], reason: SkipReason):
    assert fine_tune_files(files("model_index.json", *there)) is reason


def test_a_base_has_to_be_whole():
    known = files("model_index.json", *SHARDS, INDEX, "text_encoder/model.safetensors")
    assert folder_files(known) is SkipReason.NO_WEIGHTS
    assert paths(fine_tune_files(known))
