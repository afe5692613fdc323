"""The records of the method: a generation's measures, and the centre of a cluster of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture as (H, W, 3) RGB bytes."""
Vector = NDArray[np.float32]
"""A descriptor: one dimension, unit norm."""


class ExtractionError(Exception):
    """Base of this package's errors."""


class LoadError(ExtractionError):
    """Weights cannot be loaded safely or do not belong here; `reason` is a `crawler.SkipReason` value."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A part of the budget, whose noise was steered away from what was found before it."""

    first: int
    """Its first seed; it ends before the next round's."""
    avoided: tuple[int, ...]
    """Seeds of the pictures it was steered away from, all of earlier rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The medoid of a cluster of near-identical generations, with its control."""

    rank: int
    """0 is the best of its checkpoint."""
    seed: int
    """Of the medoid."""
    prompt: str
    cluster: tuple[int, ...]
    """Seeds of the members, the medoid's included."""
    cohesion: float
    """Mean cosine similarity of the medoid to the other members, -1 to 1; 0 for a cluster of one."""
    score: float
    """What it was ranked by; higher is better. Comparable within one recipe only."""
    descriptor: Vector
    control_descriptor: Vector
    """The same measure of the base model's picture from the same prompt and noise."""
    control_similarity: float
    """Cosine similarity of medoid and control, -1 to 1. Near 1: the base gives this picture by itself."""
    likelihood_ratio: float | None = None
    """How much better the tuned model explains the picture than the base, in nats (`extraction.likelihood`);
    above 0 speaks for the fine-tune. None where the recipe does not ask for it."""
    rounds: tuple[Round, ...] = ()
    """The rounds up to the medoid's own: with the recipe, all that is needed to make it again."""
    pixels: Pixels
    control_pixels: Pixels
