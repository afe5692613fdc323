"""kohya's layout: "lora_unet_" or "lora_te_" and the layer's path with underscores for dots.

Written by sd-scripts and its descendants, read by every web UI. An underscore in a path cannot be told
from a dot, so names are not taken apart but looked up among the base's own layers.
"""

from __future__ import annotations

from extraction.adapters.lowrank import Adapter, Layers, assemble, unit_scaling
from extraction.extraction import LoadError
from extraction.weights import Weights, shorten

PARTS = {"lora_down.weight": "down", "lora_up.weight": "up", "lora_mid.weight": "mid", "alpha": "alpha"}


def stem(layer: str) -> str:
    """The name that kohya's layout gives a layer: "unet.conv_in" is "lora_unet_conv_in"."""
    component, _, path = layer.partition(".")
    # The text model's own prefix is part of the name, though newer transformers have dropped it.
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}[component]
    return prefix + path.replace(".", "_")


def matches(names: list[str]) -> bool:
    return all(name.startswith("lora_") for name in names)


def read(weights: Weights, layers: Layers) -> Adapter:
    """Match a file in kohya's layout to the base's layers.

    Raises:
        LoadError: "does_not_fit" for a layer that the base has not, half a pair or a wrong shape.
    """
    known = {stem(layer): layer for layer in layers}
    parts: dict[str, dict[str, str]] = {}
    for name in weights:
        layer_name, _, suffix = name.partition(".")
        if layer_name not in known or suffix not in PARTS:
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' belongs to no layer of the base; "
                "it was made for another base or with parts that are not read",
            )
        parts.setdefault(known[layer_name], {})[PARTS[suffix]] = name
    return Adapter("kohya", assemble(weights, parts, layers, unit_scaling))
