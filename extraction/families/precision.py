"""Which 16-bit type a family stands; a recipe's own choice is never overruled."""

from __future__ import annotations

from types import MappingProxyType

import torch

HALF = MappingProxyType({"sd1": torch.float16, "sd2": torch.float16, "sdxl": torch.float16})
"""float16 has three more bits than bfloat16 for a merged delta, whose rounding guidance multiplies by its
scale; and the numbers of these UNets stay within its range."""

OTHERS = torch.bfloat16
"""The transformers were trained in bfloat16, and their text encoders' activations leave float16's range."""


def advice(family: str, dtype: torch.dtype) -> str | None:
    """What to tell of a recipe's dtype, if its 16 bits are not the family's."""
    suited = HALF.get(family, OTHERS)
    if dtype in (torch.float32, suited):
        return None
    name, better = (str(kind).removeprefix("torch.") for kind in (dtype, suited))
    return f"scanned in {name}, where {family} is better served by {better}; set recipe.dtype"
