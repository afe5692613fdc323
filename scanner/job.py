"""The scan's records: a Job to do and the Outcome of having tried."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crawler.checkpoint import Checkpoint, Prompt
from extraction.extraction import Extraction
from extraction.recipe import Recipe


class ScanError(Exception):
    """Base of this package's errors."""


class DeviceError(ScanError):
    """The device gave an error after which its process cannot use it any more."""


class State(StrEnum):
    """Where a job stands in the ledger."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    SKIPPED = "skipped"
    """Not scanned, with a `crawler.SkipReason`: not tried again, unless it was set aside by triage and the
    settings have changed, or `scan --retry-skipped` asks for it."""
    FAILED = "failed"
    """Gave an error; tried again until its attempts are spent."""
    QUARANTINED = "quarantined"
    """Its attempts are spent: killed workers, time-outs or errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One checkpoint to be scanned with one recipe."""

    checkpoint: Checkpoint
    recipe: Recipe
    prompt: Prompt
    """The best, and the only one for most."""
    base_repo: str
    generations: int
    """N_G."""
    pictures: int
    """N_0: the most extractions that are kept."""
    more_prompts: tuple[Prompt, ...] = ()
    """Others that share the generations with the first, in equal parts."""

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All of them, best first."""
        return (self.prompt, *self.more_prompts)

    @property
    def id(self) -> str:
        """16 hex digits; the same checkpoint, recipe, prompts and base make the same job."""
        texts = (prompt.text for prompt in self.prompts)
        parts = (self.checkpoint.id, self.recipe.id, *texts, self.base_repo)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt at a job."""

    job_id: str
    state: State
    """DONE, SKIPPED or FAILED."""
    reason: str = ""
    """A `crawler.SkipReason` when SKIPPED, the error's class name when FAILED."""
    detail: str = ""
    extractions: tuple[Extraction, ...] = ()
    descriptor: str = ""
    """Name and maker of the descriptor, such as "sscd_disc_mixup@onnx-int8"."""
    seconds: float = 0.0
    measures: dict[str, Any] | None = None
    """Numbers for the report: generations, forwards, relative weight change, batch size in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """A job as the ledger remembers it: what reports read of a scan."""

    job_id: str
    checkpoint_id: str
    recipe_id: str
    state: State
    reason: str
    detail: str
    attempts: int
    seconds: float
    extractions: int
    measures: dict[str, Any]
    updated_at: str
    """ISO 8601, UTC."""
