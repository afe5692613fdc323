"""Guidance between two models: step from the base's prediction through the tuned model's, and past it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a recipe asks for the schedule, and needs no torch
    from torch import Tensor


def extrapolate(base: Tensor, tuned: Tensor, scale: float, correction: float = 0.0) -> Tensor:
    """Combine the two predictions: `(1 - scale + correction) * base + scale * tuned`.

    Model guidance of FineXtract (Wu et al., ICML 2025). Both published forms are this sum and
    differ only in what the base was asked: the empty prompt (with `correction`, the paper's k), or
    the same prompt as the tuned model (without). A scale of 0 gives the base model, 1 the tuned
    model, and above 1 goes past it. With the tuned model's own unconditional prediction in place
    of `base` it is classifier-free guidance (Ho and Salimans, 2022).

    Args:
        base, tuned: predictions of one kind (epsilon or v) and shape (B, C, H, W).
        scale: the paper's w'.
        correction: the paper's k.

    Raises:
        ValueError: the shapes differ.
    """
    if base.shape != tuned.shape:
        raise ValueError(f"base {tuple(base.shape)} and tuned {tuple(tuned.shape)} must have one shape")
    return (1 - scale + correction) * base + scale * tuned


def schedule(start: float, end: float, steps: int, guidance_from: float = 0.0) -> list[float]:
    """The scale of each step: 1 at first, then on a straight line from pure noise to the picture.

    Args:
        start: of the line at the first step.
        end: of the line at the last step.
        guidance_from: share of the trajectory before which the scale is 1: the tuned model alone.
            Guidance at high noise drives many seeds into the same picture; later it sharpens what a
            seed has found by itself, and until then no forward of the base is needed.
    """
    scales = []
    for step in range(steps):
        done = step / (steps - 1) if steps > 1 else 1.0
        scales.append(1.0 if done < guidance_from else start + (end - start) * done)
    return scales
