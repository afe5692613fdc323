"""Adapters: a file in one of many layouts to one change a layer.

A tensor's name is split into a layer and a part (`parts`), the layer is looked up in the base by every
spelling (`places`), the parts of a layer are checked against its shape (`layer`) and multiplied out as
their form says (`lora`, `loha`, `lokr`, `difference`, and `dora` over any of them).
"""

from __future__ import annotations

from extraction.adapters.adapter import Adapter, layout_of, match
from extraction.adapters.parts import split
from extraction.adapters.places import Places
from extraction.adapters.recognise import is_adapter, refuse_foreign, refuse_unsupported
from extraction.adapters.strength import Strength, in_header
from extraction.adapters.textual_inversion import Word, is_textual_inversion, read_words
from extraction.extraction import LoadError
from extraction.original import Original
from extraction.weights import Weights, shorten

PEFT_CONFIG = "adapter_config.json"


def read_adapter(weights: Weights, original: Original) -> Adapter:
    """Match an adapter file to the base's layers, whatever its layout.

    Raises:
        LoadError: "does_not_fit", "unsupported_kind" or "not_finite"; see `adapter.match`.
    """
    strength = in_header(weights, original.components)
    if strength is None and all(layout_of(name) == "peft" for name in weights) and not _has_alphas(weights):
        raise LoadError(
            "unsupported_kind",
            f"{shorten(weights.path.name)} is in peft's layout without its {PEFT_CONFIG}, so that its "
            "strength is not known; give the folder with both",
        )
    places = Places(original)
    return match(weights, original, places.find, places, strength or Strength())


def read_textual_inversion(weights: Weights, original: Original, called: str | None = None) -> Adapter:
    """Match a file of words' vectors to the base's text encoders; raises what `read_words` does."""
    words = read_words(weights, list(weights), original, called)
    return Adapter("textual inversion", "textual_inversion", {}, words=words)


def _has_alphas(weights: Weights) -> bool:
    return any((found := split(name)) is not None and found[1] == "alpha" for name in weights)


__all__ = [
    "PEFT_CONFIG",
    "Adapter",
    "Word",
    "is_adapter",
    "is_textual_inversion",
    "read_adapter",
    "read_textual_inversion",
    "refuse_foreign",
    "refuse_unsupported",
]
