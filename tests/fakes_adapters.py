"""A module of one layer of each shape that adapters meet, as a base; files of adapters for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from extraction.adapters import Adapter, read_adapter
from extraction.original import Original
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
