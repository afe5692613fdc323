"""The scan: plan, lease, fetch, work, write, record. The one place that writes."""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain
from threading import Event, Thread

from crawler.catalog import Catalog
from crawler.catalog.selection import selected_contents
from crawler.checkpoint import Base, Skip, SkipReason
from extraction.recipe import Recipe
from scanner.attempt import MakeWorker, Pool
from scanner.extraction_store import ExtractionStore
from scanner.job import Job, LedgerRow, Outcome, State
from scanner.ledger import Ledger
from scanner.plan import HeldDown, TakenDown, plan
from scanner.pool import open_pool
from scanner.prefetch import Fetcher, Files, Ready, fetched
from scanner.settings import ScannerSettings
from scanner.triage import stands

logger = logging.getLogger(__name__)

_PATIENCE = 0.5
"""Seconds between two looks at whether a job has ended and made room."""

Record = Callable[[Job, Outcome, datetime], None]
"""Called with a job that is done before its extractions, dated so, are stored."""

Progress = Callable[[int, int, Outcome | None], None]
"""(jobs that have come to an end, jobs in all, the outcome just written or None at the beginning)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSummary:
    """What one scan did, and what it left."""

    planned: int
    """Jobs that waited when the scan began."""
    done: int
    skipped: int
    """Jobs whose weights could not be had or loaded."""
    quarantined: int
    waiting: int
    """Jobs left for another run: stopped, or a hub that did not deliver."""
    left_out: dict[str, int]
    """Checkpoints that the plan left out, by `crawler.SkipReason`."""
    extractions: int
    seconds: float
    stopped: bool
    """It was asked to stop before the end."""


def write_plan(
    catalog: Catalog,
    ledger: Ledger,
    recipe: Recipe,
    settings: ScannerSettings | None = None,
    *,
    bases: Callable[[str], Base | None] | None = None,
    taken_down: TakenDown = lambda checkpoint: None,
    retry_skipped: bool = False,
) -> dict[str, int]:
    """Put the plan for the catalog as it is now into the ledger; return what it left out, by reason.

    Jobs that wait and that the settings do not select are dropped; a plan that selects them brings them back.
    What was set aside by triage is planned again when the settings of today would not set it aside.

    Args:
        taken_down: why a checkpoint is held down here (`crawler.store.takedowns`); None when it is not.
        retry_skipped: plan again whatever was skipped, such as after an update that reads more kinds.

    Raises:
        SelectionError: the settings select by a family or a sample that is not known.
    """
    settings = settings or ScannerSettings()
    selected = selected_contents(catalog.engine, settings.selection)

    def again(row: LedgerRow) -> bool:
        set_aside = row.reason == SkipReason.SET_ASIDE_BY_TRIAGE
        lifted = row.reason == SkipReason.TAKEN_DOWN  # if it is not, the plan leaves it out again
        return retry_skipped or lifted or (set_aside and not stands(row.measures, settings.triage))

    ledger.reopen(recipe.id, again)
    held = HeldDown(catalog.checkpoints(), taken_down, selected)
    rows = plan(
        held.others(),
        recipe,
        bases or cache(catalog.bases.get),
        ledger.done(recipe.id),
        missing=catalog.bases.missing(),
        selected=selected,
        settings=settings,
    )
    left_out: Counter[str] = Counter()

    def counted() -> Iterator[Job | Skip]:
        for row in chain(rows, held.skips):  # which are known once the plan has read all checkpoints
            if isinstance(row, Skip):
                left_out[str(row.reason)] += 1
            yield row

    ledger.add(counted(), recipe.id)
    return dict(left_out)


def scan(
    catalog: Catalog,
    ledger: Ledger,
    extraction_store: ExtractionStore,
    store: Files,
    settings: ScannerSettings,
    recipe: Recipe,
    *,
    progress: Progress | None = None,
    stop: Event | None = None,
    make_worker: MakeWorker | None = None,
    taken_down: TakenDown = lambda checkpoint: None,
    retry_skipped: bool = False,
    record: Record | None = None,
) -> ScanSummary:
    """Scan every checkpoint of the catalog that has no outcome yet.

    May be killed at any moment and run again: it ends as an undisturbed run would have. When `stop` is
    set, or on Ctrl-C, running jobs are given up and are free for the next run.

    Args:
        progress: called at the beginning and after each outcome.
        make_worker: what scans; the default is a `Worker` for the recipe's descriptor.
        taken_down: as for `write_plan`; asked again for each job before its download.
        retry_skipped: try again whatever was skipped.
        record: keeps what is wanted of pictures that may not be stored, such as their hashes.

    Raises:
        StoreError: another scan writes to the same store.
        ScanError: the workers cannot be had, or not kept.
    """
    stop = stop or Event()
    begun = time.monotonic()
    bases = cache(catalog.bases.get)
    owner = f"{socket.gethostname()}:{extraction_store.path.resolve()}"
    with extraction_store.writing():
        # The store is ours alone, so whoever leased under our name is dead.
        ledger.reclaim(dead_owner=owner)
        left_out = write_plan(
            catalog,
            ledger,
            recipe,
            settings,
            bases=bases,
            taken_down=taken_down,
            retry_skipped=retry_skipped,
        )
        planned = ledger.counts(recipe.id)[State.QUEUED]
        tally = _Tally(ledger, extraction_store, planned, progress, record)
        if planned:
            make_worker = make_worker or _default_worker(recipe, settings)
            run = _Run(ledger, Fetcher(store, bases, taken_down), settings, recipe, owner, tally, stop)
            with open_pool(settings, make_worker, stop) as pool, _leases_kept(ledger, owner):
                run.to_the_end(pool)
    counts = ledger.counts(recipe.id)
    return ScanSummary(
        planned=planned,
        done=tally.ended[State.DONE],
        skipped=tally.ended[State.SKIPPED],
        quarantined=tally.ended[State.QUARANTINED],
        waiting=counts[State.QUEUED] + counts[State.FAILED],
        left_out=left_out,
        extractions=tally.extractions,
        seconds=time.monotonic() - begun,
        stopped=stop.is_set(),
    )


@dataclass(slots=True)
class _Tally:
    """Writes outcomes and counts them."""

    ledger: Ledger
    extraction_store: ExtractionStore
    planned: int
    progress: Progress | None
    record: Record | None
    ended: Counter[State] = field(default_factory=Counter)
    extractions: int = 0

    def __post_init__(self) -> None:
        self._tell(None)

    def write(self, job: Job, outcome: Outcome) -> None:
        # In this order: a kill in between leaves a leased job, whose extractions the next attempt replaces.
        if outcome.state is State.DONE:
            now = datetime.now(UTC)
            if self.record is not None:
                self.record(job, outcome, now)
            self.extraction_store.write(job, outcome, now=now)
        state = self.ledger.record(outcome)
        logger.info("job %s: %s is %s %s", job.id, job.checkpoint.id, state, outcome.reason)
        if state is not State.QUEUED:
            self.ended[state] += 1
            self.extractions += len(outcome.extractions)
        self._tell(outcome)

    def _tell(self, outcome: Outcome | None) -> None:
        if self.progress is not None:
            self.progress(self.ended.total(), self.planned, outcome)


@dataclass(slots=True)
class _Run:
    """The way of a recipe's queued jobs through a pool."""

    ledger: Ledger
    fetch: Callable[[Job], Ready | Outcome]
    settings: ScannerSettings
    recipe: Recipe
    owner: str
    tally: _Tally
    stop: Event
    leased: dict[str, Job] = field(default_factory=dict)
    ended: Event = field(default_factory=Event)

    def to_the_end(self, pool: Pool) -> None:
        """Round after round, since a job that failed is queued again, until nothing is queued."""
        try:
            while not self.stop.is_set() and self.ledger.counts(self.recipe.id)[State.QUEUED]:
                with closing(self._ready()) as ready, closing(pool.run(ready)) as outcomes:
                    for outcome in outcomes:
                        self._write(outcome)
        finally:
            self.ended.set()
            self.ledger.release(self.owner)

    def _ready(self) -> Generator[Ready | None]:
        """Jobs with their files, each counted as an attempt when it is handed over."""
        ahead = self.settings.prefetch * max(1, self.settings.workers)
        with closing(fetched(self._lease, self._fetched, ahead=ahead)) as items:
            for item in items:
                if isinstance(item, Outcome):
                    self._write(item)
                    continue
                if item is not None:
                    self.ledger.start(item.job.id)
                yield item

    def _fetched(self, job: Job) -> Ready | Outcome:
        """The job with its files. One that lacks room for them waits for the jobs before it to make some."""
        while True:
            before = set(self.leased) - {job.id}
            item = self.fetch(job)
            if isinstance(item, Ready) or item.reason != SkipReason.BUDGET or not before:
                return item
            while before <= set(self.leased):
                if self.ended.wait(_PATIENCE) or self.stop.is_set():
                    return item

    def _write(self, outcome: Outcome) -> None:
        self.tally.write(self.leased[outcome.job_id], outcome)
        # Only now, when the ledger knows that its files are not needed any more.
        del self.leased[outcome.job_id]

    def _lease(self) -> Job | None:
        for job in self.ledger.lease(self.recipe.id, self.owner):
            self.leased[job.id] = job
            return job
        return None


def _default_worker(recipe: Recipe, settings: ScannerSettings) -> MakeWorker:
    from scanner.worker import Worker  # brings torch, which a plan does not need

    return partial(Worker, recipe.descriptor, settings)


@contextmanager
def _leases_kept(ledger: Ledger, owner: str) -> Iterator[None]:
    """Renew the owner's leases as long as the block runs, which may wait hours for one job."""
    ended = Event()

    def renew() -> None:
        while not ended.wait(ledger.lease_seconds / 3):
            ledger.renew(owner)
            ledger.reclaim()  # other drivers' leases, once they have expired

    thread = Thread(target=renew, name="lease renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
