"""Adapters: a file in one of many layouts to one change a layer. Each layout is a module of its own."""

from __future__ import annotations

from extraction.adapters import diffusers, kohya, peft
from extraction.adapters.lowrank import Adapter, Layers
from extraction.adapters.recognise import is_low_rank, refuse_foreign, refuse_unsupported
from extraction.extraction import LoadError
from extraction.weights import Weights, shorten

LAYOUTS = {"kohya": kohya, "diffusers": diffusers}
"""The layouts that a single file may have; peft's needs the folder around it."""


def read_adapter(weights: Weights, layers: Layers) -> Adapter:
    """Match an adapter file to the base's layers, whatever its layout.

    Raises:
        LoadError: "does_not_fit" or "unsupported_kind"; see the layouts.
    """
    names = list(weights)
    for layout in LAYOUTS.values():
        if layout.matches(names):
            return layout.read(weights, layers)
    if peft.matches(names):
        raise LoadError(
            "unsupported_kind",
            f"{shorten(weights.path.name)} is in peft's layout without its {peft.CONFIG}, so that its strength is not known; "
            f"give the folder with both",
        )
    prefixes = sorted({shorten(name.partition(".")[0], 40) for name in names})[:3]
    raise LoadError(
        "does_not_fit",
        f"{shorten(weights.path.name)}: no layout is known whose names begin with {', '.join(prefixes)}; it was made for another base",
    )


__all__ = ["LAYOUTS", "Adapter", "Layers", "is_low_rank", "read_adapter", "refuse_foreign", "refuse_unsupported"]
