"""Adapters: a file in one of many layouts to one change a layer. Each layout is a module of its own."""

from __future__ import annotations

from extraction.adapters import diffusers, kohya, peft
from extraction.adapters.lowrank import Adapter, Layers
from extraction.adapters.recognise import is_low_rank, refuse_foreign, refuse_unsupported
from extraction.extraction import LoadError
from extraction.weights import Weights, shorten


def read_adapter(weights: Weights, layers: Layers) -> Adapter:
    """Match an adapter file to the base's layers, whatever its layout.

    Raises:
        LoadError: "does_not_fit" or "unsupported_kind"; see the layouts.
    """
    names = list(weights)
    title = shorten(weights.path.name)
    if kohya.matches(names):
        return kohya.read(weights, layers)
    if diffusers.matches(names):
        return diffusers.read(weights, layers)
    if peft.matches(names):
        raise LoadError(
            "unsupported_kind",
            f"{title} is in peft's layout without its {peft.CONFIG}, so that its strength is not known; "
            "give the folder with both",
        )
    prefixes = sorted({shorten(name.partition(".")[0], 40) for name in names})[:3]
    raise LoadError(
        "does_not_fit",
        f"{title}: no layout is known whose names begin with {', '.join(prefixes)}; leave it out",
    )


__all__ = ["Adapter", "Layers", "is_low_rank", "read_adapter", "refuse_foreign", "refuse_unsupported"]
