"""What is known of a training beside its base: captions, sizes, and what leaked. Each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PromptOrigin(StrEnum):
    """Where a prompt was found, best first."""

    INSTANCE_PROMPT = "instance_prompt"
    KOHYA_TAGS = "kohya_tags"
    TRIGGER_WORDS = "trigger_words"
    EXAMPLE = "example"
    """The author shows a picture for it, or the trainer sampled with it."""
    OPERATOR = "operator"
    """Given on the command line."""
    NAME = "name"
    """Guessed from its title, its repository's or its file's name."""
    NONE = "none"
    """Nothing is known: the empty prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A caption the checkpoint was, or may have been, trained with."""

    text: str
    origin: PromptOrigin
    source: str = ""
    """The field that it was read from, such as "header ss_tag_frequency"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is known of a fine-tune's training; None where nothing is."""

    images: int | None = None
    """Distinct training pictures, repeats and regularisation not counted (N_0)."""
    steps: int | None = None
    """Optimiser steps."""
    epochs: int | None = None
    repeats: float | None = None
    """How often one epoch shows a picture, on average over the pictures."""
    resolution: int | None = None
    """Shorter side in pixels."""
    batch: int | None = None
    """Pictures in one optimiser step, over all devices and accumulated steps."""
    rank: int | None = None
    """Of a LoRA, as its trainer noted it; the tensors may say otherwise."""
    purpose: str | None = None
    """"character", "style", "concept", "clothing", "object" or "effect"."""
    sources: tuple[tuple[str, str], ...] = ()
    """For each field that is known, the field of a header or a card that tells it."""

    @property
    def exposure(self) -> float | None:
        """How often training showed one picture: by steps and batch, else by epochs and repeats.

        By steps alone, as if one showed one picture, where nothing else is known: at least so often.
        """
        if self.batch is None and self.epochs and self.repeats:
            return self.epochs * self.repeats
        if self.images and self.steps:
            return self.steps * (self.batch or 1) / self.images
        return self.epochs * self.repeats if self.epochs and self.repeats else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something private that a header gives away. Kept to count and to recognise, not to read."""

    what: str
    """"path", "user name", "machine name", "e-mail address", "session", "comment" or "subject"."""
    source: str
    """The key that it stands under, such as "ss_training_comment"."""
    digest: str
    """32 hex digits of a keyed hash: equal for equal texts of one home, and of no use outside of it."""
    text: str = ""
    """What it says, under crawler.keep_leaks = "plain" only."""
