"""The layouts that published fine-tunes come in, written from one LoRA or one model.

Each writer puts down everything that a reader needs, the strength included: without it a LoRA whose
alpha is not its rank is silently loaded at another strength.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffusers import AutoencoderKL, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel

from extraction.adapters.places import kohya_name
from extraction.families.ldm import to_ldm


class Layer(NamedTuple):
    """A LoRA of one layer: `alpha / rank * up @ down`."""

    down: Tensor
    """(r, in) or (r, in, k, k)."""
    up: Tensor
    """(out, r) or (out, r, 1, 1)."""
    alpha: float


Lora = Mapping[str, Layer]
"""By layer, such as "unet.mid_block.resnets.0.conv1" or "text_encoder.encoder.layers.0.mlp.fc1"."""


def gather(weights: Mapping[str, Tensor], alpha: float) -> dict[str, Layer]:
    """The LoRA in a table of peft's tensor names, "<layer>.lora_A.weight" and "<layer>.lora_B.weight"."""
    layers = sorted(
        name.removesuffix(".lora_A.weight") for name in weights if name.endswith(".lora_A.weight")
    )
    return {
        name: Layer(weights[f"{name}.lora_A.weight"], weights[f"{name}.lora_B.weight"], alpha)
        for name in layers
    }


def write_kohya(path: Path, lora: Lora, metadata: Mapping[str, str] | None = None) -> None:
    """One file with kohya's names; `metadata` takes the `ss_*` strings of its trainer."""
    tensors = {}
    for name, layer in lora.items():
        tensors[f"{kohya_name(name)}.lora_down.weight"] = layer.down.contiguous()
        tensors[f"{kohya_name(name)}.lora_up.weight"] = layer.up.contiguous()
        tensors[f"{kohya_name(name)}.alpha"] = layer.down.new_tensor(layer.alpha)
    save_file(tensors, path, {"format": "pt", **(metadata or {})})


def write_diffusers(path: Path, lora: Lora) -> None:
    """One file as save_lora_weights writes it, with the adapters' configs in its header."""
    tensors: dict[str, Tensor] = {}
    header: dict[str, Any] = {}
    for component in ("unet", "text_encoder"):
        own = _component(lora, component)
        # Published files still have the text model's prefix, which newer transformers have dropped.
        prefix = "text_encoder.text_model." if component == "text_encoder" else "unet."
        for name, layer in own.items():
            tensors[f"{prefix}{name}.lora_A.weight"] = layer.down.contiguous()
            tensors[f"{prefix}{name}.lora_B.weight"] = layer.up.contiguous()
        if own:
            header |= {f"{component}.{name}": value for name, value in _config(own).items()}
    save_file(tensors, path, {"format": "pt", "lora_adapter_metadata": json.dumps(header, sort_keys=True)})


def write_peft(folder: Path, lora: Lora) -> None:
    """A peft folder for the one component that the LoRA changes.

    Raises:
        ValueError: it changes two.
    """
    components = {name.partition(".")[0] for name in lora}
    if len(components) != 1:
        raise ValueError(f"a peft folder holds one component, not {len(components)}")
    own = _component(lora, components.pop())
    tensors = {}
    for name, layer in own.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = layer.down.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = layer.up.contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(_config(own), indent=2, sort_keys=True) + "\n")


def write_single_file(
    path: Path,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel | None = None,
    vae: AutoencoderKL | None = None,
) -> None:
    """A full model in the original single-file layout."""
    save_file(to_ldm(unet, text_encoder, vae), path, {"format": "pt"})


def _component(lora: Lora, component: str) -> dict[str, Layer]:
    return {
        name.removeprefix(f"{component}."): layer
        for name, layer in lora.items()
        if name.startswith(f"{component}.")
    }


def _config(layers: Mapping[str, Layer]) -> dict[str, Any]:
    """peft's config of a LoRA: the first layer's rank and alpha, and patterns for the others."""
    first = next(iter(layers.values()))
    rank, alpha = first.down.shape[0], first.alpha
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=sorted(layers),
        rank_pattern={
            name: layer.down.shape[0] for name, layer in layers.items() if layer.down.shape[0] != rank
        },
        alpha_pattern={name: layer.alpha for name, layer in layers.items() if layer.alpha != alpha},
    )
    fields: dict[str, Any] = config.to_dict()
    return fields | {"peft_type": "LORA", "target_modules": sorted(layers)}
