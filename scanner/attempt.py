"""An attempt at a job: who makes it, and what becomes of one that took its worker along."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scanner.job import Job, Outcome, State
from scanner.prefetch import Ready

if TYPE_CHECKING:
    from extraction.rounds import Progress


class AnyWorker(Protocol):
    """`scanner.worker.Worker`."""

    def run(self, job: Job, base: Path, weights: Path, progress: Progress | None = None) -> Outcome: ...


MakeWorker = Callable[[], AnyWorker]
"""Makes a worker where it is called; has to be picklable for Ray."""


class Pool(AbstractContextManager["Pool"], Protocol):
    """Workers that are there from enter to exit."""

    def run(self, ready: Iterable[Ready | None]) -> Generator[Outcome]:
        """Yield outcomes as jobs end, taking the next job when a worker is free; None is "not yet"."""


class JobTimeout(Exception):
    """A job took longer than the settings allow."""


class Stopped(BaseException):
    """The scan has been asked to stop. Not an Exception: a worker must not take it for a job's error."""


def failed(job: Job, error: BaseException, *, seconds: float = 0.0) -> Outcome:
    """The outcome of an attempt that took its worker along."""
    return Outcome(
        job_id=job.id,
        state=State.FAILED,
        reason=type(error).__name__,
        detail=str(error)[:2000],
        seconds=seconds,
    )


def timeout_detail(seconds: float) -> str:
    """What the ledger says of a job that took too long."""
    return f"took longer than scanner.job_timeout_seconds, {seconds:g} s"
