"""A tiny base model of every family as a folder, and fine-tunes of it of every kind, with random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from fakes_families import sd2, sdxl
from fakes_flow import flux_pipeline, sd3_pipeline
from fakes_models import random_pipeline
from fakes_transformers import qwen_image_pipeline, z_image_pipeline
from safetensors.torch import save_file
from torch import Tensor

from crawler.checkpoint import Kind, RemoteFile, SkipReason
from crawler.huggingface.folder import Files, folder_files
from extraction.original import Original

PIPELINES: dict[str, Callable[[Path, int], DiffusionPipeline]] = {
    "sd1": lambda folder, seed: random_pipeline(folder, seed),
    "sd2": lambda folder, seed: sd2("epsilon", seed),
    "sdxl": lambda folder, seed: sdxl("epsilon", seed),
    "sd3": lambda folder, seed: sd3_pipeline(folder, seed=seed),
    "flux": lambda folder, seed: flux_pipeline(folder, seed=seed),
    "qwen-image": lambda folder, seed: qwen_image_pipeline(seed),
    "z-image": lambda folder, seed: z_image_pipeline(seed),
}
"""By family: (folder for a tokenizer's files, seed) -> a pipeline."""


def published(family: str, folder: Path, seed: int = 0) -> Path:
    """A pipeline as it lies on a hub."""
    PIPELINES[family](folder / "made", seed).save_pretrained(folder / "hub")
    return folder / "hub"


def listed(folder: Path) -> Files:
    """The files of a folder as a hub lists them."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        name: RemoteFile(path=name, url=str(path), size=path.stat().st_size, sha256=None)
        for path in paths
        for name in [path.relative_to(folder).as_posix()]
    }


def fetched(files: tuple[RemoteFile, ...] | SkipReason, folder: Path) -> Path:
    """A folder with those files alone."""
    assert not isinstance(files, SkipReason)
    for file in files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.url, target)
    return folder


def base(family: str, folder: Path) -> Path:
    """A base model's folder with what the crawler takes of it and nothing else."""
    return fetched(folder_files(listed(published(family, folder))), folder / "base")


def adapter(kind: Kind, original: Original, path: Path) -> Path:
    """An adapter of the first three matrices of a base's denoiser, or of its words, in diffusers' names."""
    generator = torch.Generator().manual_seed(7)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.1

    if kind is Kind.TEXTUAL_INVERSION:
        widths = {
            name.partition(".")[0]: shape[1]
            for name, shape in original.shapes.items()
            if name.endswith("token_embedding.weight")
        }
        keys = ["clip_l", "clip_g"] if len(widths) > 1 else ["emb_params"]
        save_file({key: random(2, width) for key, width in zip(keys, widths.values(), strict=True)}, path)
        return path
    first = original.components[0]
    chosen = [name for name, shape in original.layers.items() if name.startswith(first) and len(shape) == 2][
        :3
    ]
    tensors: dict[str, Tensor] = {}
    for name in chosen:
        out, into = original.layers[name]
        if kind in (Kind.LORA, Kind.DORA):
            tensors |= {f"{name}.lora_A.weight": random(2, into), f"{name}.lora_B.weight": random(out, 2)}
            tensors[f"{name}.alpha"] = torch.tensor(2.0)
        if kind is Kind.DORA:
            tensors[f"{name}.dora_scale"] = 1 + random(out, 1).abs()
        if kind is Kind.LOHA:
            for which in ("w1", "w2"):
                tensors |= {
                    f"{name}.hada_{which}_a": random(out, 2),
                    f"{name}.hada_{which}_b": random(2, into),
                }
            tensors[f"{name}.alpha"] = torch.tensor(2.0)
        if kind is Kind.LOKR:
            tensors |= {f"{name}.lokr_w1": random(2, 2), f"{name}.lokr_w2": random(out // 2, into // 2)}
        if kind is Kind.DIFFERENCE:
            tensors[f"{name}.diff"] = random(out, into)
    save_file(tensors, path)
    return path
