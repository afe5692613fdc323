"""The parts of a pipeline with a UNet, read from its folder or made from configs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CLIPTokenizer

from extraction.families import clip, unet, vae
from extraction.families.build import check_parts, give_memory, make_on_meta, read_config
from extraction.folder import read_json
from extraction.pair import Components

Configs = Mapping[str, Mapping[str, Any]]
"""By component, "scheduler" and "model_index" included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a pair is assembled from."""

    components: Components
    """ "unet" and the text encoders."""
    tokenizers: tuple[CLIPTokenizer, ...]
    """One for each text encoder."""
    decoder: vae.Decoder
    settings: Configs
    """Of each component, what decides its output."""
    scheduler: Mapping[str, Any]
    index: Mapping[str, Any]
    """The pipeline's own settings, of model_index.json."""


def load(
    base: Path,
    encoders: tuple[str, ...],
    conditions: Mapping[str, Any],
    *,
    device: torch.device,
    dtype: torch.dtype,
    vae_dtype: torch.dtype,
) -> Parts:
    """Read a base's folder; raises what `extraction.families.load_pair` does.

    Args:
        conditions: settings of the UNet by which it is told more than latents, time and text.
    """
    tokenizers = tuple(encoder.replace("text_encoder", "tokenizer") for encoder in encoders)
    check_parts(base, ("unet", *encoders, "vae"), tokenizers)
    configs = {name: read_config(base / name) for name in ("unet", *encoders)}
    settings = {name: unet.read_settings(name, config) for name, config in configs.items()}
    unet.check_conditions(settings["unet"], conditions)
    loaded = {
        name: clip.load_encoder(
            base / name, settings[name], clip.end_of(configs[name]), device=device, dtype=dtype
        )
        for name in encoders
    }
    model = unet.load(base / "unet", configs["unet"], device=device, dtype=dtype)
    decoder = vae.load(base / "vae", read_config(base / "vae"), device=device, dtype=vae_dtype)
    return Parts(
        components={"unet": model, **loaded},
        tokenizers=tuple(
            clip.load_tokenizer(base / name, loaded[encoder])
            for name, encoder in zip(tokenizers, encoders, strict=True)
        ),
        decoder=vae.Decoder(decoder),
        settings=settings,
        scheduler=read_json(base / "scheduler" / "scheduler_config.json"),
        index=read_json(base / "model_index.json"),
    )


def make(
    configs: Configs,
    tokenizers: tuple[CLIPTokenizer, ...],
    *,
    device: torch.device,
    dtype: torch.dtype,
    vae_dtype: torch.dtype,
) -> Parts:
    """Make parts from configs, their weights without values; on the meta device even without memory.

    Raises:
        LoadError: "unsupported_family" for configs that cannot be built.
    """
    names = [name for name in configs if name == "unet" or name.startswith("text_encoder")]
    settings = {name: unet.read_settings(name, configs[name]) for name in names}
    components = {
        name: make_on_meta(partial(_make, name, configs[name], settings[name]), name) for name in names
    }
    for module in components.values():
        give_memory(module, device=device, dtype=dtype)
    decoder = make_on_meta(lambda: vae.make(configs["vae"]), "vae")
    give_memory(decoder, device=device, dtype=vae_dtype)
    return Parts(
        components=components,
        tokenizers=tokenizers,
        decoder=vae.Decoder(decoder),
        settings=settings,
        scheduler=configs["scheduler"],
        index=configs["model_index"],
    )


def _make(name: str, config: Mapping[str, Any], settings: Mapping[str, Any]) -> nn.Module:
    module: nn.Module = unet.make(config) if name == "unet" else clip.make(settings, clip.end_of(config))
    return module
