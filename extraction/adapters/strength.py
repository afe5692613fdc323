"""How strong a low-rank change is, where its file or folder says so beside the tensors: peft's configs.

A layer with an alpha tensor of its own is scaled by alpha / rank and needs none of this.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from extraction.extraction import LoadError
from extraction.header import parse_object
from extraction.weights import Weights, shorten

Value = TypeVar("Value", int, float)

METADATA = "lora_adapter_metadata"
"""Where diffusers' save_lora_weights puts the configs of a file's adapters, in its header."""

HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA", "LOHA", "LOKR"),
    "bias": ("none",),
    "use_qalora": (False,),
    "use_bdlora": (False, None),
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
    """What one adapter's config says of its strength."""

    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    by_root: bool
    """alpha / sqrt(rank) instead of alpha / rank: peft's use_rslora."""
    decomposed: bool
    """Whether every layer has a magnitude: peft's use_dora."""

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
        # LoHa's and LoKr's configs call it "alpha".
        rank, alpha = fields.get("r", 8), fields.get("lora_alpha", fields.get("alpha", 8))
        ranks, alphas = fields.get("rank_pattern") or {}, fields.get("alpha_pattern") or {}
        if not (
            _counts({"r": rank}) and _positive({"lora_alpha": alpha}) and _counts(ranks) and _positive(alphas)
        ):
            raise LoadError("unsupported_kind", "the adapter's ranks and alphas are not all positive numbers")
        return cls(
            rank=rank,
            alpha=alpha,
            rank_pattern=ranks,
            alpha_pattern=alphas,
            by_root=_flag(fields, "use_rslora"),
            decomposed=_flag(fields, "use_dora"),
        )

    def scale(self, path: str, rank: int | None) -> float:
        """What the change of the layer at `path` is multiplied by.

        Args:
            rank: of its tensors; None where they do not tell, as in a LoKr of two whole factors.

        Raises:
            LoadError: "does_not_fit" when the config gives the layer another rank than its tensors have.
        """
        said = _lookup(self.rank_pattern, path, self.rank)
        if rank is not None and said != rank:
            raise LoadError(
                "does_not_fit",
                f"layer '{shorten(path)}' has rank {rank} and the config says {said}: "
                "they are not of one adapter",
            )
        return _lookup(self.alpha_pattern, path, self.alpha) / (math.sqrt(said) if self.by_root else said)


@dataclass(frozen=True, slots=True)
class Strength:
    """The configs of a file, by component of the base."""

    configs: Mapping[str, Config] = field(default_factory=dict)

    def scale(self, component: str, path: str, rank: int | None) -> float:
        """Without config and alpha the alpha is the rank: so every reader of these layouts takes it."""
        config = self.configs.get(component)
        return 1.0 if config is None else config.scale(path, rank)

    def decomposed(self, component: str) -> bool:
        config = self.configs.get(component)
        return config is not None and config.decomposed


def in_header(weights: Weights, components: tuple[str, ...]) -> Strength | None:
    """The strength that a file's own header gives, for each component or, unprefixed, for the first.

    Raises:
        LoadError: "unsupported_kind".
    """
    if METADATA not in weights.metadata:
        return None
    try:
        fields = parse_object(weights.metadata[METADATA].encode())
    except ValueError as error:
        raise LoadError(
            "unsupported_kind", f"the header's {METADATA} is not a JSON object ({shorten(error, 60)})"
        ) from error
    configs = {}
    for component in components:
        prefix = f"{component}."
        own = {key.removeprefix(prefix): value for key, value in fields.items() if key.startswith(prefix)}
        if own:
            configs[component] = Config.parse(own)
    if not configs and "r" in fields:
        configs[components[0]] = Config.parse(fields)
    return Strength(configs)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise LoadError("unsupported_kind", f"the adapter's {name} is neither true nor false")
    return value


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
