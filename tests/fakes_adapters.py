"""A module of one layer of each shape that adapters meet, as a base; files of adapters for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, FluxPipeline
from fakes_models import random_lora
from safetensors.torch import save_file
from torch import Tensor, nn

from extraction.adapters import Adapter, read_adapter
from extraction.families import load_pair
from extraction.original import Original, Shape
from extraction.pair import Pair, parameters_of
from extraction.weights import Weights, open_weights

LAYERS = ("wide", "square", "convolution", "point")


def new_model() -> nn.Module:
    """Layers with random weights: taller than wide, square, a 3 x 3 and a 1 x 1 convolution, and a norm."""
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "wide": nn.Linear(16, 24),
            "square": nn.Linear(16, 16, bias=False),
            "convolution": nn.Conv2d(8, 12, 3),
            "point": nn.Conv2d(8, 12, 1),
            "norm": nn.GroupNorm(2, 8),
        }
    )


def original_of(model: nn.Module, **changes: object) -> Original:
    """The model as a base whose one component is a UNet, in no original layout but as `changes` say."""
    fields: dict[str, object] = {
        "family": "tiny",
        "shapes": {f"unet.{name}": tuple(value.shape) for name, value in model.named_parameters()},
        "layers": {
            f"unet.{name}": tuple(layer.weight.shape)
            for name, layer in model.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)
        },
        "file_names": {},
        "ignored": re.compile("$^"),
        "settings": {"unet": {}},
        "read_settings": lambda component, config: {},
        "prediction_type": "epsilon",
    }
    return Original(**{**fields, **changes})


def base_of(model: nn.Module) -> dict[str, Tensor]:
    return {f"unet.{name}": value.data for name, value in model.named_parameters()}


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Weights:
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, path, metadata)
    return open_weights(path)


def merged(
    model: nn.Module, path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> tuple[Adapter, dict[str, Tensor]]:
    """The adapter that a file of these tensors is, and the parameters that it changes."""
    adapter = read_adapter(write(path, tensors, metadata), original_of(model))
    return adapter, dict(adapter.values(base_of(model)))


def loaded(pipeline: DiffusionPipeline, folder: Path) -> tuple[Path, Pair]:
    pipeline.save_pretrained(folder)
    return folder, load_pair(folder, device=torch.device("cpu"), dtype=torch.float32)


def pairs(shapes: dict[str, Shape], down: str, up: str, alpha: str | None = ".alpha") -> dict[str, Tensor]:
    """A LoRA's tensors by layer's name in a file and the parts' endings."""
    tensors = {}
    for name, layer in random_lora(shapes).items():
        tensors |= {f"{name}{down}": layer.down, f"{name}{up}": layer.up}
        if alpha is not None:
            tensors[f"{name}{alpha}"] = torch.tensor(2.0)
    return tensors


def fused_by_diffusers(kind: type[DiffusionPipeline], base: Path, file: Path) -> dict[str, Tensor]:
    """Every parameter after diffusers has loaded the file and fused it."""
    pipeline = kind.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    pipeline.load_lora_weights(file.parent, weight_name=file.name, local_files_only=True)
    components = ["transformer"] if kind is FluxPipeline else ["unet", "text_encoder", "text_encoder_2"]
    pipeline.fuse_lora(components=components)
    pipeline.unload_lora_weights()
    return parameters_of({name: getattr(pipeline, name) for name in components})


def assert_merged(pair: Pair, reference: dict[str, Tensor], expected: int) -> None:
    changed = 0
    for name, value in reference.items():
        theirs = value - pair.base_parameters[name]
        ours = pair.tuned_parameters[name] - pair.base_parameters[name]
        changed += bool(ours.any())
        assert float((ours - theirs).norm()) <= 1e-5 * float(theirs.norm()), name
    assert changed == expected
