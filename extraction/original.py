"""The base model as fine-tunes are matched to it: names, shapes and settings, no numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from extraction.extraction import LoadError
from extraction.weights import shorten

Shape = tuple[int, ...]
Layers = Mapping[str, Shape]
"""Layers by name, such as "unet.conv_in", with their weights' shapes."""
Turn = Callable[[Tensor], Tensor]
Settings = Mapping[str, Any]
"""Those values of a component's config that decide what it computes."""

PREDICTION_TYPES = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
"""How files name what a UNet predicts, and diffusers' word for it. Transformers predict a "flow"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What a fine-tune has to fit."""

    family: str
    shapes: Mapping[str, tuple[int, ...]]
    """Every parameter, as "unet.conv_in.weight"."""
    layers: Layers
    """What an adapter may change."""
    file_names: Mapping[str, str]
    """Parameter -> its tensor in the family's single-file layout. Parameters that share a tensor lie in it
    one under the other (along dimension 0), in this order."""
    spared: Collection[str] = ()
    """Parameters that single files may leave out, though they hold the rest of the component."""
    turned: Mapping[str, Turn] = field(default_factory=dict)
    """Parameters that the single-file layout keeps in another form: what makes ours of theirs."""
    ignored: re.Pattern[str]
    """Tensors of a single file that have no say in the prediction."""
    settings: Mapping[str, Settings]
    """Of each component."""
    read_settings: Callable[[str, Mapping[str, Any]], Settings]
    """(component, a stranger's config) -> the same of a fine-tune's component."""
    prediction_type: str
    """ "epsilon", "v_prediction" or "flow"."""

    @property
    def components(self) -> tuple[str, ...]:
        """The first one is what every full fine-tune must bring."""
        return tuple(self.settings)


def check_prediction_type(said: object, original: Original) -> None:
    """Raise unless a fine-tune, as far as it says, predicts what its base predicts.

    The difference of an epsilon and a v prediction is no direction in which to extrapolate. Where the base
    predicts a flow nothing else can fit it, and kohya's trainers still write "epsilon" there.

    Raises:
        LoadError: "does_not_fit".
    """
    if original.prediction_type == "flow":
        return
    if said is not None and PREDICTION_TYPES.get(str(said)) != original.prediction_type:
        raise LoadError(
            "does_not_fit",
            f"it predicts '{shorten(said, 40)}', its base {original.prediction_type}; these do not compare",
        )
