"""Catalogs of any size on both hubs, of which nothing is held in memory."""

from __future__ import annotations

from dataclasses import dataclass

from leaksweep.hub.synthetic_civitai import SyntheticCivitai
from leaksweep.hub.synthetic_huggingface import SyntheticHuggingFace


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """How many rows each hub has, and the seed that everything about them follows from."""

    repos: int = 0
    """On Hugging Face."""
    models: int = 0
    """On Civitai."""
    seed: int = 0
    ties: int = 3
    """Rows that share a date, or a number of downloads. Above 100, Civitai's Oldest leads in a circle."""

    def huggingface(self) -> SyntheticHuggingFace | None:
        """Return the repositories, if there are any."""
        return SyntheticHuggingFace(self.repos, self.seed, self.ties) if self.repos else None

    def civitai(self) -> SyntheticCivitai | None:
        """Return the models, if there are any."""
        return SyntheticCivitai(self.models, self.seed, self.ties) if self.models else None
