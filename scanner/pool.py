"""Where workers live: in this process, or as Ray actors. Results come back here; nothing is written there."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from scanner.job import DeviceError, Job, Outcome, State
from scanner.prefetch import Ready
from scanner.settings import ScannerSettings

if TYPE_CHECKING:
    from extraction.extract import Progress


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


def open_pool(settings: ScannerSettings, make_worker: MakeWorker, stop: Event) -> Pool:
    """The pool that the settings ask for, not entered yet.

    Args:
        stop: when set, running jobs are given up without an outcome.
    """
    if settings.workers == 0:
        return LocalPool(make_worker, timeout=settings.job_timeout_seconds, stop=stop)
    from scanner.ray_pool import RayPool  # importing Ray takes a second, which one process need not pay

    return RayPool(make_worker, settings, stop=stop)


class LocalPool:
    """One worker in this process. It can be stopped or timed out between two batches only."""

    def __init__(
        self,
        make_worker: MakeWorker,
        *,
        timeout: float,
        stop: Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a worker; `timeout` is in seconds, `clock` from any beginning."""
        self._make_worker = make_worker
        self._timeout = timeout
        self._stop = stop
        self._clock = clock
        self._worker: AnyWorker | None = None

    def __enter__(self) -> Self:
        self._worker = self._make_worker()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker = None

    def run(self, ready: Iterable[Ready | None]) -> Generator[Outcome]:
        """See `Pool.run`.

        Raises:
            DeviceError: after the outcome of the job that lost the device, because this process lost it.
        """
        if self._worker is None:
            raise RuntimeError("the pool is used outside of its with block")
        for item in ready:
            if self._stop.is_set():
                return
            if item is None:
                continue
            try:
                yield self._worker.run(item.job, item.base, item.weights, self._watch())
            except Stopped:
                return
            except DeviceError as error:
                yield failed(item.job, error)
                raise

    def _watch(self) -> Progress:
        deadline = self._clock() + self._timeout

        def check(_done: int, _total: int) -> None:
            if self._stop.is_set():
                raise Stopped
            if self._clock() > deadline:
                raise JobTimeout(timeout_detail(self._timeout))

        return check


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
