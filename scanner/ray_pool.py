"""The pool on Ray: one actor a GPU or CPU core, on this machine or on a cluster.

Ray places actors and tells when one dies. It does not time out a running call, so a worker that hangs is
killed here; and nothing that must last is kept in it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from scanner.attempt import AnyWorker, JobTimeout, MakeWorker, failed, timeout_detail
from scanner.job import Job, Outcome, ScanError
from scanner.prefetch import Ready
from scanner.settings import ScannerSettings

# Ray would report its use to its makers otherwise; it reads this when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

from scanner.ray_private import Sealer, new_pool_key, private_folder, told_nothing

logger = logging.getLogger(__name__)

_POLL = 0.5
"""Seconds between two looks at time-outs and downloads; an outcome is seen at once."""
_START = 300.0
"""Seconds for a worker to start."""


class _Actor:
    """What runs on the other side: a worker, made there."""

    def __init__(self, make_worker: MakeWorker, key: bytes) -> None:
        self._make_worker = make_worker
        self._sealer = Sealer(key)
        self._worker: AnyWorker | None = None

    def open(self) -> None:
        if self._worker is None:
            self._worker = self._make_worker()

    def run(self, job: Job, base: Path, weights: Path) -> bytes:
        """Try a job; the outcome is sealed, since Ray may write it to a disk."""
        self.open()
        assert self._worker is not None
        return self._sealer.seal(job, self._worker.run(job, base, weights))


@dataclass(slots=True, eq=False)
class _Place:
    """A GPU or core with the actor that has it now."""

    actor: Any
    lost_to: list[str] = field(default_factory=list)
    """Different jobs that took a worker along since the last outcome."""


@dataclass(frozen=True, slots=True)
class _Call:
    """What an actor is doing."""

    place: _Place
    job: Job | None
    """None while it starts."""
    begun: float


class RayPool:
    """Workers as Ray actors, replaced when they die, hang or lose their device."""

    def __init__(
        self,
        make_worker: MakeWorker,
        settings: ScannerSettings,
        *,
        stop: Event,
        losses: int = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a pool of `settings.workers`.

        Args:
            losses: different jobs in a row that one place may lose its worker to, before the place is
                thought broken and not used any more. Without it, one bad GPU would ruin every job.
            clock: seconds, from any beginning.
        """
        self._make_worker = make_worker
        self._settings = settings
        self._stop = stop
        self._losses = losses
        self._clock = clock
        self._key = new_pool_key()
        self._sealer = Sealer(self._key)
        self._idle: list[_Place] = []
        self._calls: dict[Any, _Call] = {}
        self._actor_class: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start or join the cluster, and the workers.

        Raises:
            ScanError: the cluster has too few GPUs or cores, or cannot be reached.
            Exception: what making a worker raised, such as a DescriptorError.
        """
        with ExitStack() as undo:
            # Ray prints to stdout that a worker died; there, a caller may wait for JSON.
            undo.enter_context(redirect_stdout(sys.stderr))
            folder = undo.enter_context(private_folder())
            undo.callback(ray.shutdown)
            _join(self._settings, folder)
            gpus = gpus_each(self._settings, ray.cluster_resources())  # type: ignore[no-untyped-call]
            self._actor_class = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)(
                _Actor
            )
            for _ in range(self._settings.workers):
                self._start(_Place(None))
            try:
                ray.get(list(self._calls), timeout=_START)
            except RayTaskError as error:
                raise error.cause from None
            except RayError as error:
                raise ScanError(f"the Ray workers did not start ({error}); look at `ray status`") from error
            self._open = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # On a shared cluster the actors would end with this driver anyway, but not before their job.
        for place in [*self._idle, *(call.place for call in self._calls.values())]:
            ray.kill(place.actor)
        self._calls.clear()
        self._open.close()

    def run(self, ready: Iterable[Ready | None]) -> Generator[Outcome]:
        """See `scanner.attempt.Pool.run`.

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
            if exhausted and all(call.job is None for call in self._calls.values()):
                return
            if not self._calls and not self._idle:
                raise ScanError("no device is left that keeps a worker; see the jobs' details in the ledger")
            yield from self._ended()
            yield from self._timed_out()

    def _begin(self, item: Ready) -> None:
        place = self._idle.pop(0)
        call = place.actor.run.remote(item.job, item.base, item.weights)
        self._calls[call] = _Call(place, item.job, self._clock())

    def _ended(self) -> Iterator[Outcome]:
        """Wait a moment for calls to end; give the outcomes of those that were jobs."""
        if not self._calls:
            return
        ended, _ = ray.wait(list(self._calls), timeout=_POLL)
        for ref in ended:
            call = self._calls.pop(ref)
            try:
                sealed: bytes | None = ray.get(ref)
            except RayTaskError as error:
                # The worker raised, which it does only when its process is of no use any more.
                yield from self._lost(call, error.cause)
            except RayError as error:
                yield from self._lost(call, error)
            else:
                self._idle.append(call.place)
                if call.job is not None and sealed is not None:
                    call.place.lost_to.clear()
                    yield self._sealer.open(call.job, sealed)

    def _timed_out(self) -> Iterator[Outcome]:
        limit = self._settings.job_timeout_seconds
        for ref, call in list(self._calls.items()):
            if self._seconds(call) > (limit if call.job else _START):
                del self._calls[ref]
                yield from self._lost(call, JobTimeout(timeout_detail(limit)))

    def _lost(self, call: _Call, error: BaseException) -> Iterator[Outcome]:
        """Replace the worker that a job, or its own start, has cost."""
        place, job = call.place, call.job
        ray.kill(place.actor)
        if job is None:
            logger.error("a worker did not start again, its device is given up: %s", error)
            return
        logger.warning("job %s: its worker was lost: %s", job.id, error)
        if job.id not in place.lost_to:
            place.lost_to.append(job.id)
        if len(place.lost_to) < self._losses:
            self._start(place)
        else:
            logger.error("a device lost its worker to %d jobs in a row and is given up", self._losses)
        yield failed(job, error, seconds=self._seconds(call))

    def _start(self, place: _Place) -> None:
        place.actor = self._actor_class.remote(self._make_worker, self._key)
        self._calls[place.actor.open.remote()] = _Call(place, None, self._clock())

    def _seconds(self, call: _Call) -> float:
        return self._clock() - call.begun


def gpus_each(settings: ScannerSettings, have: Mapping[str, float]) -> int:
    """1 when each worker takes a GPU, 0 when it takes a core.

    Args:
        have: the cluster's resources, by Ray's names.

    Raises:
        ScanError: there is not enough for all workers, who would wait for ever.
    """
    gpus = int(have.get("GPU", 0))
    on_gpus = settings.device == "cuda" or (settings.device == "auto" and gpus > 0)
    kind, there = ("GPUs", gpus) if on_gpus else ("CPU cores", int(have.get("CPU", 0)))
    wanted = settings.workers
    if there < wanted:
        raise ScanError(
            f"scanner.workers is {wanted}, but Ray has {there} {kind}; lower it or set scanner.device"
        )
    return int(on_gpus)


def _join(settings: ScannerSettings, folder: str) -> None:
    """Start a Ray whose files lie in a folder, or join the cluster that the settings name."""
    init = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    if settings.ray_address is None:
        # Ray's cores are a count, not real ones; with fewer than workers it would never start them all.
        with warnings.catch_warnings(), told_nothing():
            # Ray's servers are forked and replaced at once; lancedb warns of children that go on as its copy.
            warnings.filterwarnings("ignore", message="lancedb fork support", category=RuntimeWarning)
            cores = max(settings.workers, os.cpu_count() or 1)
            init(include_dashboard=False, num_cpus=cores, _temp_dir=folder)
        return
    try:
        init(address=settings.ray_address)
    except ConnectionError as error:
        raise ScanError(
            f"scanner.ray_address {settings.ray_address!r}: no Ray cluster answers ({error}); start it, or "
            "leave the setting out to use this machine"
        ) from error
