"""What a file holds for one layer, checked against the layer's shape, and the change that it makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from extraction.adapters import difference, dora, loha, lokr, lora
from extraction.extraction import LoadError
from extraction.original import Shape
from extraction.weights import Weights, check_finite, shorten


class Form(Protocol):
    """How a change is made of its parts; each form is a module."""

    def complete(self, parts: Collection[str], /) -> bool: ...

    def expected(self, found: Mapping[str, Shape], shape: Shape, /) -> dict[str, Shape]: ...

    def rank_of(self, found: Mapping[str, Shape], /) -> int | None: ...

    def product(self, parts: Mapping[str, Tensor], shape: Shape, /) -> Tensor: ...


FORMS: Mapping[str, Form] = {"lora": lora, "loha": loha, "lokr": lokr, "difference": difference}

PREFIXES = {"hada_": "loha", "lokr_": "lokr", "diff": "difference"}
"""Of a part's name; every other part is a LoRA's."""

MAGNITUDES = ("dora_scale", "magnitude")
BESIDE = ("alpha", *MAGNITUDES, "up_bias", "diff_b")
"""Parts that go with a change of any form."""

Scaling = Callable[[int | None], float]
"""Rank, or None where there is none -> what a change without an alpha of its own is multiplied by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChange:
    """The change of one layer's weight, bias or both; the tensors stay on disk until they are needed."""

    weights: Weights
    names: Mapping[str, str]
    """Part -> tensor."""
    form: str
    """A key of `FORMS`, or "bias" where the weight does not change."""
    shape: Shape
    """Of the layer's weight: (out, in) or (out, in, k, k), or (n,) for a norm."""
    scale: float
    along: int | None
    """The dimension along which a DoRA's magnitudes lie."""

    def delta(self, stored: Tensor) -> Tensor:
        """The change of the weight in fp32, in its own shape.

        Args:
            stored: the base's weight in fp32; a DoRA's change depends on it.

        Raises:
            LoadError: "not_finite".
        """
        parts = {part: self._read(part, stored.device) for part in self.names if part not in BESIDE}
        delta = FORMS[self.form].product(parts, self.shape).mul_(self.scale)
        if self.along is None:
            return delta
        magnitude = self._read("magnitude" if "magnitude" in self.names else "dora_scale", stored.device)
        return dora.decompose(stored + delta, magnitude, self.along).sub_(stored)

    def bias_delta(self, stored: Tensor) -> Tensor:
        """The change of the bias in fp32, (out,); raises as `delta`."""
        if "diff_b" in self.names:
            return self._read("diff_b", stored.device).reshape(stored.shape)
        return self._read("up_bias", stored.device).mul_(self.scale).reshape(stored.shape)

    def factors(self, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """Two matrices (out, r) and (r, in) whose product is the change; None when it is no such product."""
        if self.form != "lora" or "mid" in self.names or self.along is not None:
            return None
        up, down = self._read("up", device).flatten(1), self._read("down", device).flatten(1)
        return up.mul_(self.scale), down

    def _read(self, part: str, device: torch.device) -> Tensor:
        name = self.names[part]
        # A copy even of fp32, as it is changed in place: what is read may be a view of the file.
        tensor = self.weights[name].to(device=device, dtype=torch.float32, copy=True)
        check_finite(name, tensor)
        return tensor


def check_layer(
    weights: Weights, names: Mapping[str, str], layer: str, shape: Shape, scaling: Scaling
) -> LayerChange:
    """Hold the parts of one layer against its shape.

    Args:
        names: part -> tensor.
        layer: for messages.
        shape: of the layer's weight.

    Raises:
        LoadError: "does_not_fit" for half a pair, two changes at once or a wrong shape; "unsupported_kind"
            for whole numbers or an alpha that scales nothing; "not_finite" for an alpha that is no number.
    """
    form = _form(names)
    _check_floating(weights, names)
    found = {part: weights.shape(name) for part, name in names.items()}
    expected: dict[str, Shape] = {"diff_b": shape[:1], "up_bias": shape[:1]}
    if form != "bias":
        if not FORMS[form].complete(names):
            raise _half(next(name for part, name in names.items() if part not in BESIDE))
        expected |= FORMS[form].expected(found, shape)
    for part in expected.keys() & found.keys():
        if _squeezed(found[part]) != _squeezed(expected[part]):
            raise _misfit(names[part], found[part], expected[part], layer, shape)
    scale = 1.0
    if form not in ("bias", "difference"):
        scale = _scale(weights, names, FORMS[form].rank_of(found), scaling)
    along = _along(names, found, layer, shape)
    return LayerChange(weights=weights, names=names, form=form, shape=shape, scale=scale, along=along)


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


def _form(names: Mapping[str, str]) -> str:
    forms = {
        next((form for prefix, form in PREFIXES.items() if part.startswith(prefix)), "lora")
        for part in names
        if part not in BESIDE
    }
    twice = any(names.keys() >= pair for pair in (set(MAGNITUDES), {"diff_b", "up_bias"}))
    if len(forms) > 1 or twice:
        some = " and ".join(f"'{shorten(name)}'" for name in list(names.values())[:2])
        raise LoadError(
            "does_not_fit",
            f"{some} change one layer in two ways at once; the file was put together wrongly, leave it out",
        )
    if not forms and "diff_b" not in names:
        raise _half(next(iter(names.values())))
    return next(iter(forms), "bias")


def _check_floating(weights: Weights, names: Mapping[str, str]) -> None:
    for part, name in names.items():
        if part != "alpha" and not weights.is_floating(name):
            raise LoadError(
                "unsupported_kind",
                f"tensor '{shorten(name)}' holds whole numbers; quantised adapters are not read",
            )


def _scale(weights: Weights, names: Mapping[str, str], rank: int | None, scaling: Scaling) -> float:
    if "alpha" not in names:
        return scaling(rank)
    # LyCORIS gives a LoKr of two whole factors an alpha, and no say to it.
    return 1.0 if rank is None else alpha(weights, names["alpha"]) / rank


def _along(names: Mapping[str, str], found: Mapping[str, Shape], layer: str, shape: Shape) -> int | None:
    for part in MAGNITUDES:
        if part in names:
            along = dora.direction(found[part], shape, of_peft=part == "magnitude")
            if along is None:
                raise _misfit(names[part], found[part], (shape[0], 1), layer, shape)
            return along
    return None


def _half(name: str) -> LoadError:
    return LoadError(
        "does_not_fit",
        f"tensor '{shorten(name)}' lacks the other half of its pair; download the file again",
    )


def _misfit(name: str, found: Shape, needed: Shape, layer: str, shape: Shape) -> LoadError:
    return LoadError(
        "does_not_fit",
        f"tensor '{shorten(name)}' has shape {found}; the base's layer '{shorten(layer)}' of shape {shape} "
        f"needs {needed}: it was made for another base",
    )


def _squeezed(shape: Shape) -> Shape:
    """A linear layer and a 1 x 1 convolution are the same product: either may be written for the other."""
    return shape[:2] if shape[2:] == (1, 1) else shape
