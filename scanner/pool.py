"""Where workers live: in this process, or as Ray actors. Results come back here; nothing is written there."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scanner.attempt import AnyWorker, JobTimeout, MakeWorker, Pool, Stopped, failed, timeout_detail
from scanner.job import DeviceError, Outcome
from scanner.prefetch import Ready
from scanner.settings import ScannerSettings

if TYPE_CHECKING:
    from extraction.rounds import Progress


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
