"""A low-rank change of one layer, as every LoRA layout holds it in the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from extraction.extraction import LoadError
from extraction.weights import Weights, check_finite, shorten

Shape = tuple[int, ...]
Layers = Mapping[str, Shape]
"""Every layer of the base that an adapter may change, such as "unet.conv_in", with its weight's shape."""
Scaling = Callable[[str, int], float]
"""(layer, rank) -> what `up @ down` is multiplied by, usually alpha / rank."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """`scale * up @ down` for one layer; the matrices stay on disk until they are needed."""

    weights: Weights
    down: str
    """Tensor (r, in) or (r, in, k, k)."""
    up: str
    """Tensor (out, r) or (out, r, 1, 1)."""
    mid: str | None
    """Tensor (r, r, k, k) between two 1 x 1 convolutions: LyCORIS' CP form."""
    scale: float

    def delta(self, shape: Shape, device: torch.device) -> Tensor:
        """The change in fp32, in the layer's own shape (out, in) or (out, in, k, k).

        Raises:
            LoadError: "not_finite".
        """
        down, up = self._read(self.down, device).flatten(1), self._read(self.up, device).flatten(1)
        if self.mid is None:
            return (up @ down).mul_(self.scale).reshape(shape)
        mid = self._read(self.mid, device)
        return torch.einsum("op,pqkl,qi->oikl", up, mid, down).mul_(self.scale).reshape(shape)

    def _read(self, name: str, device: torch.device) -> Tensor:
        tensor = self.weights[name].to(device=device, dtype=torch.float32)
        check_finite(name, tensor)
        return tensor


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA file matched to the base's layers."""

    layout: str
    low_ranks: Mapping[str, LowRank]
    """By layer."""
    notes: tuple[str, ...] = ()
    kind: str = "lora"

    def values(self, base: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield each changed parameter of the base with its new value in fp32.

        The change is added to the base's stored values, whatever their dtype, so that only one
        rounding, the caller's, enters the difference between the two models.
        """
        for layer, low_rank in self.low_ranks.items():
            name = f"{layer}.weight"
            stored = base[name]
            yield name, stored.float() + low_rank.delta(tuple(stored.shape), stored.device)


def assemble(
    weights: Weights, parts: Mapping[str, Mapping[str, str]], layers: Layers, scaling: Scaling
) -> dict[str, LowRank]:
    """Pair the tensors of each layer and check that they fit it.

    Args:
        parts: layer -> part ("down", "up", "mid", "alpha") -> tensor name.
        scaling: asked for the scale of a layer that has no alpha of its own.

    Raises:
        LoadError: "does_not_fit" for half a pair or a wrong shape, "not_finite" or "unsupported_kind"
            for an alpha that scales nothing.
    """
    low_ranks = {}
    for layer, names in parts.items():
        if "down" not in names or "up" not in names:
            first = next(iter(names.values()))
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(first)}' lacks the other half of its pair; download the file again",
            )
        rank = _check_shapes(weights, names, layer, layers[layer])
        scale = alpha(weights, names["alpha"]) / rank if "alpha" in names else scaling(layer, rank)
        low_ranks[layer] = LowRank(weights, names["down"], names["up"], names.get("mid"), scale)
    return low_ranks


def alpha(weights: Weights, name: str) -> float:
    """Read an alpha: one positive number.

    Raises:
        LoadError: "not_finite" or "unsupported_kind".
    """
    if math.prod(weights.shape(name)) != 1:
        raise LoadError(
            "unsupported_kind", f"tensor '{shorten(name)}' is not the one number that an alpha is"
        )
    value = float(weights[name].item())
    if not math.isfinite(value):
        raise LoadError(
            "not_finite",
            f"tensor '{shorten(name)}' is {value}, not a number; the file is broken, leave it out",
        )
    if value <= 0:
        raise LoadError(
            "unsupported_kind",
            f"tensor '{shorten(name)}' is {value:g}; what a trainer means by that is not known",
        )
    return value


def unit_scaling(layer: str, rank: int) -> float:
    """A file that gives no alpha means alpha = rank: so every reader of these layouts takes it."""
    return 1.0


def _check_shapes(weights: Weights, names: Mapping[str, str], layer: str, shape: Shape) -> int:
    """Hold the parts of one layer against its shape; returns the rank."""
    down = weights.shape(names["down"])
    rank = down[0] if down else 0
    # A linear layer and a 1 x 1 convolution are the same product: either may be written for the other.
    kernel = (1, 1) if "mid" in names else shape[2:]
    expected = {"down": (rank, shape[1], *kernel), "up": (shape[0], rank), "mid": (rank, rank, *shape[2:])}
    for part, name in names.items():
        if part == "alpha":
            continue
        found = weights.shape(name)
        if _without_unit_kernel(found) != _without_unit_kernel(expected[part]):
            raise LoadError(
                "does_not_fit",
                f"tensor '{shorten(name)}' has shape {found}; the base's layer '{layer}' of shape {shape} "
                f"needs {expected[part]}: it was made for another base",
            )
        if not weights.is_floating(name):
            raise LoadError(
                "unsupported_kind",
                f"tensor '{shorten(name)}' holds whole numbers; quantised adapters are not read",
            )
    return rank


def _without_unit_kernel(shape: Shape) -> Shape:
    return shape[:2] if shape[2:] == (1, 1) else shape
