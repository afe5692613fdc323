"""A worker: one device, one checkpoint at a time, extractions out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from crawler.checkpoint import Kind, SkipReason
from extraction.descriptors import Descriptor, open_descriptor
from extraction.extract import extract
from extraction.extraction import Extraction, LoadError
from extraction.families import load_pair
from extraction.families.precision import advice
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.rounds import Progress
from scanner.climb import Climber
from scanner.job import DeviceError, Job, Outcome, ScanError, State
from scanner.machine import machine_of
from scanner.prompts import spoken, word_of
from scanner.settings import ScannerSettings
from scanner.shares import Found, extract_shared
from scanner.triage import reason_to_set_aside, recorded

logger = logging.getLogger(__name__)

_DETAIL = 2000
"""Characters of an error's text that are kept."""


class LoadPair(Protocol):
    """`extraction.families.load_pair`."""

    def __call__(self, base: Path, /, *, device: torch.device, dtype: torch.dtype) -> Pair: ...


class Extract(Protocol):
    """`extraction.extract.extract`."""

    def __call__(
        self,
        pair: Pair,
        prompt: str,
        /,
        *,
        recipe: Recipe,
        generations: int,
        pictures: int,
        describe: Descriptor,
        batch: int,
        progress: Progress | None = None,
    ) -> tuple[list[Extraction], dict[str, Any]]: ...


class Worker:
    """Scans checkpoints on one device, and keeps the base model and the descriptor from job to job."""

    def __init__(
        self,
        descriptor: str,
        settings: ScannerSettings,
        *,
        load_pair: LoadPair = load_pair,
        extract: Extract = extract,
        open_descriptor: Callable[..., Descriptor] = open_descriptor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the descriptor, so that a scan that cannot describe fails before its first job.

        Args:
            descriptor: what the recipe names.
            clock: seconds, from any beginning.

        Raises:
            DescriptorError: the descriptor cannot be had.
            ScanError: the settings ask for CUDA and there is none.
        """
        if settings.threads_per_worker:
            torch.set_num_threads(settings.threads_per_worker)
        self._device = choose_device(settings.device)
        self._load_pair = load_pair
        self._extract = extract
        self._describe = open_descriptor(
            descriptor,
            sscd_path=settings.sscd_path,
            sscd_sha256=settings.sscd_sha256,
            threads=settings.threads_per_worker,
        )
        self._clock = clock
        self._triage = settings.triage
        self._climb = Climber(settings.triage, self._describe, clock)
        self._compile = settings.compile
        self._largest_batch = settings.batch
        self._batch = settings.batch
        self._pair: Pair | None = None
        self._loaded: tuple[Path, str] | None = None

    def run(self, job: Job, base: Path, weights: Path, progress: Progress | None = None) -> Outcome:
        """Try a job.

        Weights that cannot be loaded are SKIPPED with their reason, any other error is FAILED.

        Args:
            base: the base model's diffusers folder.
            weights: the checkpoint's file or folder.
            progress: called between batches; what it raises ends the job like any other error.

        Raises:
            DeviceError: the process has to end.
        """
        begun = self._clock()
        try:
            outcome = self._scan(job, base, weights, progress)
        except LoadError as error:
            outcome = _gave_up(job, State.SKIPPED, error.reason, error)
        except Exception as error:  # one bad checkpoint must not end the sweep
            logger.warning("job %s: %s", job.id, job.checkpoint.id, exc_info=True)
            if _is_device_lost(error):
                raise DeviceError(f"{self._device}: {error}") from error
            # Who knows what it did to the pair.
            self._pair = None
            outcome = _gave_up(job, State.FAILED, type(error).__name__, error)
        return replace(outcome, seconds=self._clock() - begun)

    def _scan(self, job: Job, base: Path, weights: Path, progress: Progress | None) -> Outcome:
        pair = self._pair_of(base, job.recipe.dtype)
        change = pair.tune(weights, word_of(job.checkpoint))
        alone = job.checkpoint.kind is Kind.TEXTUAL_INVERSION
        prompts = spoken((prompt.text for prompt in job.prompts), change.words, alone=alone)
        readings = self._climb(pair, weights, job, prompts[0], self._batch)
        if why := reason_to_set_aside(readings, self._triage):
            return Outcome(
                job_id=job.id,
                state=State.SKIPPED,
                reason=SkipReason.SET_ASIDE_BY_TRIAGE,
                detail=why,
                measures={"triage": recorded(readings)},
            )
        while True:
            found = self._try_extract(pair, job, prompts, progress)
            if found is not None:
                break
            self._batch //= 2
            if self._compile != "off":
                pair.compile(self._compile, self._batch)
            logger.info("job %s: out of memory, trying batches of %d", job.id, self._batch)
        extractions, measures = found
        advised = advice(pair.family, getattr(torch, job.recipe.dtype))
        return Outcome(
            job_id=job.id,
            state=State.DONE,
            extractions=tuple(extractions),
            descriptor=self._describe.name,
            measures={
                **measures,
                "batch": self._batch,
                "device": str(self._device),
                "machine": machine_of(self._device),
                # The download store names files by content: what the pictures can be made again from.
                "weights": weights.name,
                "base_weights": base.name,
                "relative_change": change.relative_change,
                "notes": [*change.notes, *([advised] if advised else [])],
                **({"words": list(change.words)} if change.words else {}),
                **({"triage": recorded(readings)} if readings else {}),
            },
        )

    def _try_extract(
        self, pair: Pair, job: Job, prompts: Sequence[str], progress: Progress | None
    ) -> Found | None:
        """None when memory ran out and a smaller batch is left to try."""

        def ask(prompt: str, generations: int, progress: Progress) -> Found:
            return self._extract(
                pair,
                prompt,
                recipe=job.recipe,
                generations=generations,
                pictures=job.pictures,
                describe=self._describe,
                batch=self._batch,
                progress=progress,
            )

        try:
            return extract_shared(
                ask,
                prompts,
                recipe=job.recipe,
                generations=job.generations,
                pictures=job.pictures,
                progress=progress,
            )
        except torch.OutOfMemoryError:
            if self._batch == 1:
                raise
        # Out here the traceback is gone, and with it what it kept from being freed.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _pair_of(self, base: Path, dtype: str) -> Pair:
        if self._pair is None or self._loaded != (base, dtype):
            # The old pair goes before the new one comes: two would not fit.
            self._pair = None
            self._batch = self._largest_batch
            self._pair = self._load_pair(base, device=self._device, dtype=getattr(torch, dtype))
            self._loaded = base, dtype
            if self._compile != "off":
                self._pair.compile(self._compile, self._batch)
        return self._pair


def choose_device(name: str) -> torch.device:
    """The device that the settings name; "auto" takes CUDA where there is any.

    Raises:
        ScanError: CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ScanError(
            'scanner.device is "cuda", but torch finds no CUDA device here; set it to "auto" or "cpu"'
        )
    return torch.device("cuda" if name in ("auto", "cuda") and available else "cpu")


def _gave_up(job: Job, state: State, reason: str, error: Exception) -> Outcome:
    return Outcome(job_id=job.id, state=state, reason=reason, detail=str(error)[:_DETAIL])


def _is_device_lost(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
