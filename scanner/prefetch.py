"""Fetching ahead: while workers scan, the driver downloads and reads what the next jobs need. No torch."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Protocol

from crawler.checkpoint import Base, Checkpoint, Hub, Layout, RemoteFile, SkipReason
from crawler.evidence.headers import HeaderError, local_header
from crawler.evidence.training_metadata import training
from crawler.store.refusal import DownloadError
from scanner.job import Job, Outcome, State
from scanner.ledger import LATER

logger = logging.getLogger(__name__)

_PATIENCE = 0.2
"""Seconds to wait for a download before saying that nothing is ready."""

READ_AHEAD = 8 * 2**30
"""Bytes of one checkpoint that are read ahead: an SDXL checkpoint has 7 GB, a LoRA some hundred MB."""


class Files(Protocol):
    """`crawler.store.Store`."""

    def fetch(self, file: RemoteFile, hub: Hub) -> Path: ...

    def fetch_folder(self, files: Sequence[RemoteFile], hub: Hub) -> Path: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A job with its files on this machine."""

    job: Job
    base: Path
    """The base model's diffusers folder."""
    weights: Path


class Fetcher:
    """Fetches a job's base model and weights; what cannot be had becomes the job's outcome."""

    def __init__(
        self,
        files: Files,
        bases: Callable[[str], Base | None],
        taken_down: Callable[[Checkpoint], str | None] = lambda checkpoint: None,
    ) -> None:
        self._files = files
        self._bases = bases
        self._taken_down = taken_down
        self._lost_bases: dict[str, DownloadError] = {}

    def __call__(self, job: Job) -> Ready | Outcome:
        """The job with its files, or its outcome: FAILED for a reason that may pass, else SKIPPED."""
        if why := self._taken_down(job.checkpoint):
            return _lost(job, SkipReason.TAKEN_DOWN, f"taken down here, {why}")
        try:
            base = self._base(job.base_repo)
        except DownloadError as error:
            return _lost(job, error.reason, f"base model {job.base_repo}: {error}")
        try:
            weights = self._weights(job.checkpoint)
        except DownloadError as error:
            return _lost(job, error.reason, str(error))
        read_ahead(weights)
        return Ready(job=informed(job, weights), base=base, weights=weights)

    def _base(self, repo: str) -> Path:
        # Fetched for each job, so that the store knows it to be in use; but no hub is asked twice in vain.
        if repo in self._lost_bases:
            raise self._lost_bases[repo]
        base = self._bases(repo)
        try:
            if base is None:
                raise DownloadError(SkipReason.MISSING_BASE, "it is not in the catalog any more; crawl again")
            return self._files.fetch_folder(base.files, Hub.HUGGINGFACE)
        except DownloadError as error:
            if error.reason is not SkipReason.BUDGET:  # room may come, and asking for it costs no request
                self._lost_bases[repo] = error
            raise

    def _weights(self, checkpoint: Checkpoint) -> Path:
        if checkpoint.layout is Layout.FILE and len(checkpoint.files) == 1:
            return self._files.fetch(checkpoint.files[0], checkpoint.hub)
        return self._files.fetch_folder(checkpoint.files, checkpoint.hub)


def read_ahead(weights: Path, *, limit: int = READ_AHEAD) -> int:
    """Have the system read a checkpoint's files into its cache, so that a worker on this machine does not
    wait for the disk; returns the bytes asked for.

    It is the system's memory, which gives it back when something else needs it. A file that would go past
    `limit` is left out, and so is all where the system cannot be asked.
    """
    asked = 0
    files = sorted(weights.rglob("*.safetensors")) if weights.is_dir() else [weights]
    for path in files if hasattr(os, "posix_fadvise") else ():
        try:
            size = path.stat().st_size
            if asked + size > limit:
                continue
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            continue  # The loader says what is wrong with it.
        try:
            os.posix_fadvise(handle, 0, size, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(handle)
        asked += size
    return asked


def informed(job: Job, weights: Path) -> Job:
    """The job with what its file's header tells of the training, and its budget, where the hub told none.

    The header is read from the disk: reading it over the network would count as a download.
    """
    if job.checkpoint.training.images is not None or not weights.is_file():
        return job
    try:
        known = training(local_header(weights).metadata)
    except HeaderError:
        return job  # The loader refuses it, and says why.
    if known.images is None:
        return job
    return replace(
        job,
        checkpoint=replace(job.checkpoint, training=known),
        pictures=known.images,
        generations=job.recipe.generations(known.images),
    )


def fetched(
    lease: Callable[[], Job | None], fetch: Callable[[Job], Ready | Outcome], *, ahead: int
) -> Generator[Ready | Outcome | None]:
    """Yield jobs as `fetch` gives them back, in the order of their leases, `ahead` of them in the making.

    Yields None while the next one is not there yet, so that a caller can look after its workers. Ends when
    `lease` has no more. What `lease` or `fetch` raises is raised here.
    """

    ended = False
    leasing = Lock()

    def next_one() -> Ready | Outcome | None:
        with leasing:
            job = None if ended else lease()
        return None if job is None else fetch(job)

    # One thread: a hub counts connections, and a disk or a line is not faster for two.
    executor = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        making: deque[Future[Ready | Outcome | None]] = deque(executor.submit(next_one) for _ in range(ahead))
        while making:
            if not wait([making[0]], timeout=_PATIENCE).done:
                yield None
                continue
            item = making.popleft().result()
            if item is not None:
                making.append(executor.submit(next_one))
                yield item
    finally:
        # A download under way is not waited for when the scan has to stop; the next run goes on with it.
        # But nothing may be leased any more once this has ended.
        with leasing:
            ended = True
        executor.shutdown(wait=False, cancel_futures=True)


def _lost(job: Job, reason: SkipReason, detail: str) -> Outcome:
    logger.warning("job %s: %s: %s", job.id, job.checkpoint.id, detail)
    state = State.FAILED if reason in LATER else State.SKIPPED
    return Outcome(job_id=job.id, state=state, reason=str(reason), detail=detail)
