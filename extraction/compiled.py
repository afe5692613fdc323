"""One compiled graph for a family, a size of picture and a number of rows: what keeps it one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from extraction.condition import Condition

Mode = Literal["off", "on", "cuda_graphs"]
"""Not at all; torch.compile; or its mode "reduce-overhead", which records CUDA graphs."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """How a pair's denoisers are compiled.

    Parameters are inputs of a graph: what is copied into them keeps it valid.
    """

    mode: Mode = "off"
    rows: int = 0
    """Latents of one forward."""

    def compile(self, module: nn.Module) -> None:
        """Let a denoiser compile at its next forward, as a whole; inductor's freezing stays off."""
        if self.mode == "off":
            return
        module.compile(
            fullgraph=True, dynamic=False, mode="reduce-overhead" if self.mode == "cuda_graphs" else None
        )

    def padded(
        self, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> tuple[Tensor, Tensor, Condition]:
        """What goes into a forward, filled up to `rows` with zeros where a last batch is shorter.

        Args:
            latents: (B, C, h, w).
            timestep: () or (B,).
            condition: of B rows.
        """
        if self.mode == "off":
            return latents, timestep, condition
        if self.mode == "cuda_graphs":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        missing = self.rows - latents.shape[0]
        if missing > 0:
            latents = _filled(latents, missing)
            timestep = _filled(timestep, missing) if timestep.dim() else timestep
        # Always a copy: rows that share their memory have other strides than rows of their own.
        tensors = {name: _filled(tensor, max(0, missing)) for name, tensor in condition.tensors.items()}
        return latents, timestep, Condition(tensors)

    def kept(self, prediction: Tensor, rows: int) -> Tensor:
        """The rows that were asked for, where the next forward does not overwrite them."""
        prediction = prediction[:rows]
        return prediction.clone() if self.mode == "cuda_graphs" else prediction


def _filled(tensor: Tensor, missing: int) -> Tensor:
    """(B + missing, ...), the new rows zero, in the layout that the tensor has."""
    return torch.cat([tensor, tensor.new_zeros((missing, *tensor.shape[1:]))])
