"""The first rung: how often training saw each picture, by what the header tells. No torch, no weights."""

from __future__ import annotations

from dataclasses import dataclass

HALF = 200.0
"""Samples a picture at which the score is one half: what the published checkpoints were trained with
(FineXtract, Trainer.py: 200 steps of one picture for each picture of the set)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What the header tells of a training; None where it tells nothing."""

    kind: str
    """ "lora", "full", ..."""
    pictures: int | None
    """N_0, repeats not counted."""
    steps: int | None
    """Optimiser steps."""
    batch: int | None
    """Pictures in one step; a header that tells the steps alone is taken to mean 1, the least."""
    rank: int | None
    """Of a LoRA."""

    @property
    def samples_per_picture(self) -> float | None:
        """steps x batch / pictures."""
        if not self.steps or not self.pictures:
            return None
        return self.steps * (self.batch or 1) / self.pictures

    @property
    def score(self) -> float | None:
        """0 to 1: n / (n + HALF) for n samples a picture, so that its order is theirs.

        Rank and kind are not in it: nothing that we measured says what they are worth.
        """
        samples = self.samples_per_picture
        return None if samples is None else samples / (samples + HALF)

    @property
    def why(self) -> str:
        samples = self.samples_per_picture
        shape = self.kind if self.rank is None else f"{self.kind} of rank {self.rank}"
        if samples is None:
            missing = [name for name in ("steps", "pictures") if not getattr(self, name)]
            return f"{shape}; the header does not tell the number of {' and '.join(missing)}"
        return f"{shape}; each of {self.pictures} pictures was seen {samples:.0f} times"
