"""What a denoiser is told beside latents and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Condition:
    """Tensors by name, each with one row a prompt: "states" (B, T, D), and what else a family needs.

    Every family names at least "states", its text encoder's hidden states. SDXL adds "pooled" (B, D)
    and its micro-conditioning, FLUX "pooled" and "guidance".
    """

    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    @property
    def rows(self) -> int:
        return next(iter(self.tensors.values())).shape[0]

    def told(self, name: str, value: float) -> Condition:
        """The condition with one tensor filled with a number; the same where a family has none so named."""
        if name not in self.tensors:
            return self
        return Condition({**self.tensors, name: torch.full_like(self.tensors[name], value)})

    def expand(self, rows: int) -> Condition:
        """The condition of one prompt for so many latents, without a copy.

        Raises:
            ValueError: it holds several prompts.
        """
        if self.rows != 1:
            raise ValueError(f"a condition of {self.rows} prompts cannot be expanded to {rows} rows")
        return Condition(
            {name: tensor.expand(rows, *tensor.shape[1:]) for name, tensor in self.tensors.items()}
        )
