"""A fine-tune as it lies on disk, opened and matched to its base: new values, parameter by parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from extraction.adapters import (
    is_adapter,
    is_textual_inversion,
    peft,
    read_adapter,
    read_textual_inversion,
    refuse_foreign,
    refuse_unsupported,
)
from extraction.folder import no_weights
from extraction.full import read_file, read_folder
from extraction.original import Original, check_prediction_type
from extraction.weights import open_weights

LORA_FILE = "pytorch_lora_weights.safetensors"
"""As diffusers' save_lora_weights names it."""


class FineTune(Protocol):
    """A change of the base that fits it, by its names and shapes; the numbers are read by `values`."""

    @property
    def kind(self) -> str:
        """ "full", or of an adapter; see `extraction.adapters.Adapter`."""
        ...

    @property
    def layout(self) -> str: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the files has no say in the prediction."""
        ...

    def values(self, base: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield (parameter, new value), not yet in the model's dtype; raises LoadError "not_finite"."""
        ...


def open_fine_tune(path: Path, original: Original, called: str | None = None) -> FineTune:
    """Open what lies at `path`, a file or a folder, and match it to the base.

    Args:
        called: the word of a textual inversion that does not say it; None is the file's own name.

    Raises:
        LoadError: see `extraction.pair.Pair.tune`.
    """
    if not path.is_dir():
        return _open_file(path, original, called)
    if peft.is_folder(path, original):
        return peft.read(path, original)
    if (path / LORA_FILE).is_file():
        return _open_file(path / LORA_FILE, original, called)
    if (path / original.components[0]).is_dir():
        return read_folder(path, original)
    raise no_weights(path)


def _open_file(path: Path, original: Original, called: str | None) -> FineTune:
    weights = open_weights(path)
    refuse_unsupported(weights)
    check_prediction_type(weights.metadata.get("modelspec.prediction_type"), original)
    if is_textual_inversion(weights, original):
        return read_textual_inversion(weights, original, called)
    if is_adapter(weights):
        return read_adapter(weights, original)
    refuse_foreign(weights, list(weights), original)
    return read_file(weights, original)
