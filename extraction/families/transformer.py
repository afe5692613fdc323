"""What the families of diffusion transformers with a language model have in common: loading and layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from extraction.condition import Condition
from extraction.extraction import ExtractionError, LoadError
from extraction.families.build import Module, build, read_config
from extraction.families.language_model import Tokens
from extraction.weights import shorten

PARTS = (
    "transformer/config.json",
    "text_encoder/config.json",
    "vae/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer",
)
"""What a base's folder must hold."""


def check_parts(base: Path) -> None:
    """Raise unless all parts of a base are there.

    Raises:
        LoadError: "missing_base".
    """
    for part in PARTS:
        if not (base / part).exists():
            raise LoadError("missing_base", f"{shorten(base)}: no {part} there; download the base again")


def load_module(
    make: Callable[..., Module], folder: Path, *, device: torch.device, dtype: torch.dtype
) -> Module:
    """Build a transformer or VAE of diffusers from its folder's config, and fill it.

    Raises:
        LoadError: see `extraction.families.build.build`.
    """
    given = {name: value for name, value in read_config(folder).items() if not name.startswith("_")}
    return build(lambda: make(**given), folder, rename=str, device=device, dtype=dtype)


def read_settings(cls: type[nn.Module], config: Mapping[str, Any]) -> dict[str, Any]:
    """What in a transformer's config decides what it computes, defaults filled in."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if name != "self"
    }
    values = defaults | {name: value for name, value in config.items() if name in defaults}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def refuse_unless(settings: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise when a transformer wants to be told more than latents, time and text.

    Raises:
        LoadError: "unsupported_family".
    """
    for name, value in expected.items():
        if settings[name] != value:
            raise LoadError(
                "unsupported_family",
                f"its transformer has {name} {shorten(settings[name])}; only {shorten(value)} is read: "
                "it is a variant for other uses than text to picture",
            )


def layers_of(transformer: nn.Module) -> dict[str, tuple[int, ...]]:
    """Every linear layer, as an adapter may change it: "transformer.proj_out" -> its weight's shape."""
    return {
        f"transformer.{path}": tuple(layer.weight.shape)
        for path, layer in transformer.named_modules()
        if isinstance(layer, nn.Linear)
    }


def group(layers: Iterable[str], original_name: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    """Layers of the original layout that have another name or hold several of ours, in order."""
    groups: dict[str, tuple[str, ...]] = {}
    for layer in layers:
        name = original_name(layer)
        if name != layer:
            groups[name] = (*groups.get(name, ()), layer)
    return groups


def condition(states: Tensor, tokens: Tokens, *, skipped: int = 0) -> Condition:
    """ "states" (B, T, D), zero behind each prompt's end, and "lengths" (B,) on the CPU.

    Lengths stay on the CPU because they decide shapes: a device would have to be waited for at every step.

    Args:
        states: of all tokens, (B, skipped + T, D).
        skipped: leading tokens, of a template, whose states are not used.
    """
    states = (states * tokens.mask[..., None])[:, skipped:]
    return Condition({"states": states, "lengths": torch.tensor(tokens.lengths) - skipped})


def check_even(latents: Tensor) -> None:
    """Raise unless latents can be cut into patches of 2 x 2.

    Raises:
        ExtractionError: naming the setting to change.
    """
    if latents.shape[2] % 2 or latents.shape[3] % 2:
        raise ExtractionError(
            f"latents of {latents.shape[2]} x {latents.shape[3]} cannot be cut into patches of 2 x 2; "
            "set the recipe's size to a multiple of 16"
        )


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures of -1 to 1 as uint8, on their device."""
    return pictures.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
