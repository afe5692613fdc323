"""diffusers' layout: "unet." or "text_encoder." and the layer's path, in today's and two older spellings.

A file's own alphas stand in tensors (older) or in the header under "lora_adapter_metadata" (newer).
"""

from __future__ import annotations

import re

from extraction.adapters import peft
from extraction.adapters.lowrank import Adapter, Layers, Scaling, assemble, unit_scaling
from extraction.extraction import LoadError
from extraction.header import parse_object
from extraction.weights import Weights, shorten

METADATA = "lora_adapter_metadata"
COMPONENTS = ("unet", "text_encoder")

SUFFIXES = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".alpha": "alpha",
}

PROCESSOR = re.compile(
    r"^(?P<attention>.+)\.processor\.to_(?P<which>q|k|v|out)_lora\.(?P<part>down|up)\.weight$"
)
"""The spelling of 2023: the pair belongs to the attention processor, not to the layer."""


def matches(names: list[str]) -> bool:
    return all(name.startswith(("unet.", "text_encoder.")) for name in names)


def split(name: str) -> tuple[str, str] | None:
    """("unet.<layer>", part) of a tensor's name; None when the spelling is not known."""
    name = name.replace("text_encoder.text_model.", "text_encoder.", 1)
    if old := PROCESSOR.match(name):
        which = "to_out.0" if old["which"] == "out" else f"to_{old['which']}"
        return f"{old['attention']}.{which}", old["part"]
    for suffix, part in SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), part
    return None


def read(weights: Weights, layers: Layers) -> Adapter:
    """Match a file in diffusers' layout to the base's layers.

    Raises:
        LoadError: "does_not_fit" for a layer that the base has not, half a pair or a wrong shape;
            "unsupported_kind" for settings whose effect is not known.
    """
    parts: dict[str, dict[str, str]] = {}
    for name in weights:
        found = split(name)
        if found is None or found[0] not in layers:
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' belongs to no layer of the base; it was made for another base",
            )
        layer, part = found
        if part in parts.setdefault(layer, {}):
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' stands there twice, in two spellings; make the file again",
            )
        parts[layer][part] = name
    return Adapter("diffusers", assemble(weights, parts, layers, _scaling(weights, parts)))


def _scaling(weights: Weights, parts: dict[str, dict[str, str]]) -> Scaling:
    """The scales that the header gives, by component."""
    if METADATA not in weights.metadata:
        return unit_scaling
    if any("alpha" in names for names in parts.values()):
        raise LoadError(
            "unsupported_kind",
            "the LoRA gives its alphas twice, as tensors and in its header; make the file again",
        )
    try:
        fields = parse_object(weights.metadata[METADATA].encode())
    except ValueError as error:
        raise LoadError(
            "unsupported_kind", f"the header's {METADATA} is not a JSON object ({shorten(error, 60)})"
        ) from error
    configs = {}
    for component in COMPONENTS:
        prefix = f"{component}."
        config = {
            name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)
        }
        if config:
            configs[component] = peft.Config.parse(config)

    def scaling(layer: str, rank: int) -> float:
        component, _, path = layer.partition(".")
        return configs[component].scale(path, rank) if component in configs else 1.0

    return scaling
