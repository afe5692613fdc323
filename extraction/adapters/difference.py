"""A full difference: the change of a layer as it is, as LyCORIS writes it and extraction tools do."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from extraction.original import Shape


def complete(parts: Collection[str]) -> bool:
    return "diff" in parts


def expected(found: Mapping[str, Shape], shape: Shape) -> dict[str, Shape]:
    """The shape that the difference must have: the weight's own."""
    return {"diff": shape}


def rank_of(found: Mapping[str, Shape]) -> None:
    """It has none, and so no scale."""
    return None


def product(parts: Mapping[str, Tensor], shape: Shape) -> Tensor:
    """The change, in the weight's shape."""
    return parts["diff"].reshape(shape)
