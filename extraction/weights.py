"""Tensors by name out of a safetensors file that a stranger made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from extraction.extraction import LoadError
from extraction.header import FLOATING, LIMITS, Header, Limits, read_header, shorten

__all__ = ["Limits", "Weights", "check_finite", "open_weights", "shorten"]


class Weights(Mapping[str, Tensor]):
    """The tensors of one checked file, each read from disk when it is asked for, onto the CPU."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.metadata = header.metadata
        """The header's strings, as the file's author wrote them."""
        self._header = header
        self._file: Any = None

    def __len__(self) -> int:
        return len(self._header.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._header.entries)

    def __contains__(self, name: object) -> bool:
        return name in self._header.entries

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor in its stored dtype.

        Raises:
            KeyError: no tensor has that name.
            LoadError: the file changed since it was checked.
        """
        if name not in self._header.entries:
            raise KeyError(name)
        try:
            if self._file is None:
                self._file = safe_open(self.path, framework="pt", device="cpu")
            tensor: Tensor = self._file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise LoadError(
                "unsafe_file", f"{shorten(self.path.name)}: {shorten(error)}; download it again"
            ) from error
        return tensor

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return self._header.entries[name].shape

    def is_floating(self, name: str) -> bool:
        """Whether a tensor holds floating-point numbers, without reading it."""
        return self._header.entries[name].dtype in FLOATING


def open_weights(path: Path, *, limits: Limits = LIMITS) -> Weights:
    """Check a safetensors file and open it.

    Raises:
        LoadError: "no_weights" when it is not there; "not_weights" when it is no safetensors file,
            whatever its name; "unsafe_file" when it is truncated or its header lies or is outside the limits.
    """
    return Weights(path, read_header(path, limits))


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise unless every element is a number.

    Raises:
        LoadError: "not_finite", naming the tensor.
    """
    if not bool(torch.isfinite(tensor).all()):
        raise LoadError(
            "not_finite",
            f"tensor '{shorten(name)}' holds NaN or infinity; training diverged or the file is broken",
        )
