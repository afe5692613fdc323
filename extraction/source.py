"""One parameter's new value, and how it is made of a tensor in a stranger's file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from extraction.extraction import LoadError
from extraction.original import Turn
from extraction.weights import Weights, check_finite, shorten

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a parameter's value lies."""

    weights: Weights
    name: str
    """Of the tensor."""
    shape: Shape
    """Of the parameter."""
    rows: tuple[int, int] | None = None
    """First row and the row after the last, where the tensor holds several parameters."""
    turn: Turn | None = None
    """What makes the parameter's form of the tensor's."""
    scale: str | None = None
    """Tensor with the one number that an 8-bit value is multiplied by."""

    def read(self, device: torch.device) -> Tensor:
        """The value in the file's dtype, or in fp32 if that is one of 8 bits.

        Raises:
            LoadError: "not_finite".
        """
        value = self.weights[self.name].to(device)
        if value.element_size() == 1:
            value = value.float()  # The 8-bit types have hardly any arithmetic.
        if self.scale is not None:
            value = value * self.weights[self.scale].to(device=device, dtype=torch.float32)
        check_finite(self.name, value)
        if self.rows is not None:
            value = value[slice(*self.rows)]
        if self.turn is not None:
            value = self.turn(value)
        return value.reshape(self.shape)


def check(source: Source, parameter: str, *, total: int | None = None) -> Source:
    """Hold a tensor's shape and dtype, as the header tells them, against the parameter's.

    Args:
        total: rows of the tensor, where it holds several parameters.

    Raises:
        LoadError: "does_not_fit" or "unsupported_kind".
    """
    stored = source.weights.shape(source.name)
    needed = source.shape if total is None else (total, *source.shape[1:])
    found = stored if source.turn is None else _after(source.turn, stored)
    # A linear layer and a 1 x 1 convolution are the same product: either is written for the other.
    if found is None or _without_unit_kernel(found) != _without_unit_kernel(needed):
        raise LoadError(
            "does_not_fit",
            f"tensor '{shorten(source.name)}' has the shape {stored} and the base's '{parameter}' has "
            f"{needed}; it is a fine-tune of another base",
        )
    if not source.weights.is_floating(source.name):
        raise LoadError(
            "unsupported_kind",
            f"tensor '{shorten(source.name)}' holds whole numbers; quantised weights are not read",
        )
    return source


def _after(turn: Turn, shape: Shape) -> Shape | None:
    """The shape that a tensor has after its turn; None when it cannot be turned."""
    try:
        return tuple(turn(torch.empty(shape, device="meta")).shape)
    except (RuntimeError, IndexError, ValueError):
        return None


def _without_unit_kernel(shape: Shape) -> Shape:
    return shape[:2] if shape[2:] == (1, 1) else shape
