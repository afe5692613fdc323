"""peft's own folder: adapter_config.json beside adapter_model.safetensors.

The scale of a layer stands in the config alone: without it a file's strength is not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from extraction.adapters.lowrank import Adapter, Layers, LowRank, assemble
from extraction.adapters.recognise import refuse_unsupported
from extraction.extraction import LoadError
from extraction.folder import no_weights, read_json
from extraction.weights import Weights, open_weights, shorten

Value = TypeVar("Value", int, float)

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
COMPONENTS = ("unet", "text_encoder")
PREFIX = "base_model.model."
PARTS = {".lora_A.weight": "down", ".lora_B.weight": "up"}

HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False,),
    "use_qalora": (False,),
    "use_bdlora": (False, None),
    "lora_bias": (False,),
    "fan_in_fan_out": (False,),
    "modules_to_save": (None, []),
    "layer_replication": (None, []),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None, []),
    "arrow_config": (None, {}),
    "velora_config": (None, {}),
    "kasa_config": (None, {}),
    # The other initialisations take their start out of the base's weights, which a file cannot say.
    "init_lora_weights": (True, False, None, "gaussian"),
}
"""Values that leave the change at `scale * up @ down`. Settings that are not named here have no say in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What an adapter's config says of its scale."""

    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    by_root: bool
    """alpha / sqrt(rank) instead of alpha / rank: peft's use_rslora."""

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Config:
        """Read a stranger's config.

        Raises:
            LoadError: "unsupported_kind" for a setting that changes more than the scale, or makes no sense.
        """
        for name, values in HARMLESS.items():
            if name in fields and not any(fields[name] is value or fields[name] == value for value in values):
                raise LoadError(
                    "unsupported_kind",
                    f"the adapter's {name} is '{shorten(fields[name])}', which is not read",
                )
        rank, alpha = fields.get("r", 8), fields.get("lora_alpha", 8)
        ranks, alphas = fields.get("rank_pattern") or {}, fields.get("alpha_pattern") or {}
        if not (
            _counts({"r": rank}) and _positive({"lora_alpha": alpha}) and _counts(ranks) and _positive(alphas)
        ):
            raise LoadError("unsupported_kind", "the adapter's ranks and alphas are not all positive numbers")
        by_root = fields.get("use_rslora", False)
        if not isinstance(by_root, bool):
            raise LoadError("unsupported_kind", "the adapter's use_rslora is neither true nor false")
        return cls(rank=rank, alpha=alpha, rank_pattern=ranks, alpha_pattern=alphas, by_root=by_root)

    def scale(self, path: str, rank: int) -> float:
        """What `up @ down` of the layer at `path` is multiplied by.

        Raises:
            LoadError: "does_not_fit" when the config gives the layer another rank than its tensors have.
        """
        said = _lookup(self.rank_pattern, path, self.rank)
        if said != rank:
            raise LoadError(
                "does_not_fit",
                f"layer '{path}' has rank {rank} and the config says {said}: they are not of one adapter",
            )
        return _lookup(self.alpha_pattern, path, self.alpha) / (math.sqrt(rank) if self.by_root else rank)


def _counts(values: object) -> bool:
    return isinstance(values, dict) and all(
        type(value) is int and 0 < value < 2**20 for value in values.values()
    )


def _positive(values: object) -> bool:
    return isinstance(values, dict) and all(
        type(value) in (int, float) and math.isfinite(value) and value > 0 for value in values.values()
    )


def _lookup(pattern: Mapping[str, Value], path: str, default: Value) -> Value:
    """The value of the first key that names the layer or the end of its path, as peft matches them."""
    for key, value in pattern.items():
        # peft reads keys as regular expressions. A stranger's expression is not run: plain names only.
        name = key.removeprefix("^")
        if not re.fullmatch(r"[\w.]+", name):
            raise LoadError(
                "unsupported_kind", f"the adapter's pattern '{shorten(key)}' is not a layer's plain name"
            )
        if path == name or (name == key and path.endswith(f".{name}")):
            return value
    return default


def matches(names: list[str]) -> bool:
    return all(name.startswith(PREFIX) for name in names)


def read(folder: Path, layers: Layers, *, limit: int = 1_000_000) -> Adapter:
    """Match a peft folder to the base's layers.

    The folder holds the adapter of one component, or has a folder for each ("unet", "text_encoder").

    Raises:
        LoadError: "does_not_fit", "unsupported_kind", or what `open_weights` says of the file.
    """
    whole = (folder / CONFIG).is_file()
    folders = [folder] if whole else [folder / component for component in COMPONENTS]
    low_ranks = {}
    for part in folders:
        if (part / CONFIG).is_file():
            config = Config.parse(read_json(part / CONFIG, limit=limit))
            if not (part / WEIGHTS).is_file():
                raise no_weights(part)
            components = COMPONENTS if part == folder else (part.name,)
            low_ranks.update(_read_component(open_weights(part / WEIGHTS), config, layers, components))
    return Adapter("peft", low_ranks)


def _read_component(
    weights: Weights, config: Config, layers: Layers, components: tuple[str, ...]
) -> dict[str, LowRank]:
    """Match one adapter to the layers of the components that it may be of."""
    refuse_unsupported(weights)
    parts: dict[str, dict[str, str]] = {}
    for name in weights:
        path, part = _split(name)
        layer = next((f"{c}.{path}" for c in components if f"{c}.{path}" in layers), None)
        if layer is None:
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' belongs to no layer of the base's {' or '.join(components)}; "
                "it was made for another base",
            )
        parts.setdefault(layer, {})[part] = name

    def scaling(layer: str, rank: int) -> float:
        return config.scale(layer.partition(".")[2], rank)

    return assemble(weights, parts, layers, scaling)


def _split(name: str) -> tuple[str, str]:
    """(path, part) of a tensor's name; a path of no layer when the name is none of peft's."""
    for suffix, part in PARTS.items():
        if name.startswith(PREFIX) and name.endswith(suffix):
            return name.removeprefix(PREFIX).removesuffix(suffix).removeprefix("text_model."), part
    return "", ""
