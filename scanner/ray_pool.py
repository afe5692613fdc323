"""The pool on Ray: one actor a GPU or CPU core, on this machine or on a cluster.

Ray places actors and tells when one dies. It does not time out a running call, so a worker that hangs is
killed here; and nothing that must last is kept in it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from scanner.job import Job, Outcome, ScanError
from scanner.pool import AnyWorker, JobTimeout, MakeWorker, failed, timeout_detail
from scanner.prefetch import Ready
from scanner.settings import ScannerSettings

# Ray would report its use to its makers otherwise; it reads this when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

logger = logging.getLogger(__name__)

_POLL = 0.5
"""Seconds between two looks at time-outs and downloads; an outcome is seen at once."""
_START = 300.0
"""Seconds for all workers to start."""
_LOSSES = 5
"""Different jobs in a row that one place may lose its worker to, before the place is thought broken."""


class _Actor:
    """What runs on the other side: a worker, made there."""

    def __init__(self, make_worker: MakeWorker) -> None:
        self._make_worker = make_worker
        self._worker: AnyWorker | None = None

    def open(self) -> None:
        if self._worker is None:
            self._worker = self._make_worker()

    def run(self, job: Job, base: Path, weights: Path) -> Outcome:
        self.open()
        assert self._worker is not None
        return self._worker.run(job, base, weights)


@dataclass(slots=True, eq=False)
class _Place:
    """A GPU or core with the actor that has it now."""

    actor: Any
    lost_to: list[str] = field(default_factory=list)
    """Jobs that took a worker along since the last outcome, in order."""


@dataclass(frozen=True, slots=True)
class _Running:
    place: _Place
    job: Job
    begun: float


class RayPool:
    """Workers as Ray actors, replaced when they die, hang or lose their device."""

    def __init__(
        self,
        make_worker: MakeWorker,
        settings: ScannerSettings,
        *,
        stop: Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a pool of `settings.workers`; `clock` gives seconds from any beginning."""
        self._make_worker = make_worker
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._idle: list[_Place] = []
        self._running: dict[Any, _Running] = {}
        self._actor_class: Any = None

    def __enter__(self) -> Self:
        """Start or join the cluster, and the workers.

        Raises:
            ScanError: the cluster has too few GPUs or cores, or cannot be reached.
            Exception: what making a worker raised, such as a DescriptorError.
        """
        with ExitStack() as undo:
            undo.callback(ray.shutdown)
            _join(self._settings)
            self._actor_class = self._sized_actor()
            self._idle = [_Place(self._spawn()) for _ in range(self._settings.workers)]
            try:
                ray.get([place.actor.open.remote() for place in self._idle], timeout=_START)
            except RayTaskError as error:
                raise error.cause from None
            except RayError as error:
                raise ScanError(f"the Ray workers did not start ({error}); look at `ray status`") from error
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # On a shared cluster the actors would end with this driver anyway, but not before their job.
        for place in [*self._idle, *(running.place for running in self._running.values())]:
            ray.kill(place.actor)
        self._running.clear()
        ray.shutdown()

    def run(self, ready: Iterable[Ready | None]) -> Generator[Outcome]:
        """See `scanner.pool.Pool.run`.

        Raises:
            ScanError: no place is left that can keep a worker.
        """
        source = iter(ready)
        exhausted = False
        while not self._stop.is_set():
            while self._idle and not exhausted:
                try:
                    item = next(source)
                except StopIteration:
                    exhausted = True
                else:
                    if item is None:
                        break
                    self._begin(item)
            if self._running:
                yield from self._ended()
                yield from self._timed_out()
            elif exhausted:
                return
            elif not self._idle:
                raise ScanError(
                    f"every worker was lost to {_LOSSES} different jobs in a row: the devices or Ray are "
                    "broken; see the jobs' details in the ledger"
                )

    def _begin(self, item: Ready) -> None:
        place = self._idle.pop(0)
        call = place.actor.run.remote(item.job, item.base, item.weights)
        self._running[call] = _Running(place, item.job, self._clock())

    def _ended(self) -> Iterator[Outcome]:
        calls, _ = ray.wait(list(self._running), timeout=_POLL)
        for call in calls:
            running = self._running.pop(call)
            try:
                outcome: Outcome = ray.get(call)
            except RayTaskError as error:
                # The worker raised, which it does only when its process is of no use any more.
                outcome = failed(running.job, error.cause, seconds=self._seconds(running))
                self._replace(running)
            except RayError as error:
                detail = f"the worker died: {error}"[:2000]
                outcome = failed(running.job, error, detail=detail, seconds=self._seconds(running))
                self._replace(running)
            else:
                running.place.lost_to.clear()
                self._idle.append(running.place)
            yield outcome

    def _timed_out(self) -> Iterator[Outcome]:
        limit = self._settings.job_timeout_seconds
        late = [call for call, running in self._running.items() if self._seconds(running) > limit]
        for call in late:
            running = self._running.pop(call)
            self._replace(running)
            error = JobTimeout(timeout_detail(limit))
            yield failed(running.job, error, seconds=self._seconds(running))

    def _replace(self, running: _Running) -> None:
        """Give the place a new actor, unless job after job has lost its worker there."""
        place, job = running.place, running.job
        logger.warning("job %s: its worker was lost, and is replaced", job.id)
        ray.kill(place.actor)
        if job.id not in place.lost_to:
            place.lost_to.append(job.id)
        if len(place.lost_to) >= _LOSSES:
            logger.error("a worker was lost to %d different jobs in a row and is given up", _LOSSES)
            return
        place.actor = self._spawn()
        self._idle.append(place)

    def _seconds(self, running: _Running) -> float:
        return self._clock() - running.begun

    def _spawn(self) -> Any:
        return self._actor_class.remote(self._make_worker)

    def _sized_actor(self) -> Any:
        """The actor with what one of it needs.

        Raises:
            ScanError: there is not enough for all workers, who would wait for ever.
        """
        wanted = self._settings.workers
        have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = int(have.get("GPU", 0))
        on_gpus = self._settings.device == "cuda" or (self._settings.device == "auto" and gpus > 0)
        kind, there = ("GPUs", gpus) if on_gpus else ("CPU cores", int(have.get("CPU", 0)))
        if there < wanted:
            raise ScanError(
                f"scanner.workers is {wanted}, but Ray has {there} {kind}; lower it, or set scanner.device"
            )
        return ray.remote(num_cpus=1, num_gpus=1 if on_gpus else 0, max_restarts=0, max_task_retries=0)(
            _Actor
        )


def _join(settings: ScannerSettings) -> None:
    init = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    if settings.ray_address is None:
        # Ray's cores are a count, not real ones; with fewer than workers it would never start them all.
        init(include_dashboard=False, num_cpus=max(settings.workers, os.cpu_count() or 1))
        return
    try:
        init(address=settings.ray_address)
    except ConnectionError as error:
        raise ScanError(
            f"scanner.ray_address {settings.ray_address!r}: no Ray cluster answers ({error}); start it, or "
            "leave the setting out to use this machine"
        ) from error
