"""What SD3 and FLUX share: transformers with one stream for the picture and one for the text.

Their original layouts hold queries, keys and values one under the other, and give the shift of an
adaptive norm before its scale where diffusers gives the scale first.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from extraction.families.vae import Decodes
from extraction.original import Original
from extraction.pair import Components, Pair, Speaker, layers_of, parameters_of

TRANSFORMER = "model.diffusion_model."
"""Before the names of the transformer in single files."""

Table = tuple[tuple[str, str], ...]
"""Expressions for parts of our names and what the original layout calls them; all are applied, in order."""

STACKED = re.compile(r"\.(?:to|add)_([qkv])(?=_proj|\.|$)|\.proj_mlp(?=\.|$)")


def spell(name: str, table: Table) -> str:
    """A layer's or parameter's name in the original layout."""
    for ours, theirs in table:
        name = re.sub(ours, theirs, name)
    return name


def stacked(names: Iterable[str]) -> list[str]:
    """Names in the order in which the original layout stacks them: query, key, value, feed-forward."""

    def place(name: str) -> int:
        match = STACKED.search(name)
        return 0 if match is None else " qkv".index(match[1]) if match[1] else 4

    return sorted(names, key=place)


def swap_halves(tensor: Tensor) -> Tensor:
    """Shift and scale of an adaptive norm to scale and shift."""
    shift, scale = tensor.chunk(2)
    return torch.cat([scale, shift])


def pair_of(
    family: str,
    speaker: Speaker,
    components: Components,
    decoder: Decodes,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    read_settings: Callable[[str, Mapping[str, Any]], Mapping[str, Any]],
    scheduler: Mapping[str, Any],
    table: Table,
    encoder_names: Mapping[str, str] = MappingProxyType({}),
    swapped: Iterable[str] = (),
    ignored: re.Pattern[str],
    spared: Collection[str] = (),
    side: int,
) -> Pair:
    """Put loaded parts together as a pair.

    Args:
        table: of the transformer's names.
        encoder_names: parameter of a text encoder -> tensor of the single file.
        swapped: layers of the transformer whose halves the original layout swaps.
        side: of the latents at the model's own size.
    """
    shapes = {name: tuple(value.shape) for name, value in parameters_of(components).items()}
    own = stacked(name for name in shapes if name.startswith("transformer."))
    swapped = tuple(f"transformer.{layer}" for layer in swapped)
    original = Original(
        family=family,
        shapes=shapes,
        layers=layers_of(components),
        file_names={name: TRANSFORMER + spell(name, table)[len("transformer.") :] for name in own}
        | dict(encoder_names),
        spared=spared,
        turned={f"{layer}.{kind}": swap_halves for layer in swapped for kind in ("weight", "bias")},
        ignored=ignored,
        settings=settings,
        read_settings=read_settings,
        prediction_type="flow",
    )
    return Pair(
        speaker=speaker,
        base=components,
        tuned={name: copy.deepcopy(module) for name, module in components.items()},
        original=original,
        latent_shape=(decoder.channels, side, side),
        size=side * decoder.factor,
        scheduler_config=scheduler,
    )
