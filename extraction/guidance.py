"""Guidance between two models: step from the base's prediction through the tuned model's, and past it."""

from __future__ import annotations

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


def rising(start: float, end: float, steps: int) -> list[float]:
    """The scale of each step, in a straight line from `start` (pure noise) to `end` (the picture)."""
    if steps == 1:
        return [end]
    return [start + (end - start) * step / (steps - 1) for step in range(steps)]
