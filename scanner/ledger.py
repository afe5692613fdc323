"""The ledger: which job stands where. It is what makes a kill at any moment safe. No torch.

An attempt is counted when a job is handed to a worker, so one that was merely waiting, or whose download
failed, has spent nothing. Times are seconds since 1970, by the clock that is passed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from sqlalchemy import (
    Case,
    ColumnElement,
    Connection,
    Engine,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from crawler.checkpoint import Skip, SkipReason
from scanner.job import Job, LedgerRow, Outcome, State
from scanner.ledger_rows import ended, job_json, job_row, ledger_row, skip_row
from scanner.tables import insert_into, jobs, open_tables, plan_skips

FINAL = (State.DONE, State.SKIPPED, State.QUARANTINED)
"""States that a plan leaves alone."""
LATER = (SkipReason.DOWNLOAD_FAILED, SkipReason.BUDGET)
"""Reasons that may be gone at the next run."""


class Ledger:
    """The jobs of all scans in the SQL store."""

    def __init__(
        self,
        engine: Engine,
        *,
        attempts: int = 3,
        lease_seconds: float = 600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the ledger, making its tables where they are missing.

        Args:
            attempts: times that a job is handed to a worker before it is quarantined.
            lease_seconds: how long a driver may be silent before its jobs are given to another.

        Raises:
            ScanError: the tables were made by another version of leaksweep.
        """
        self._engine = engine
        self._attempts = attempts
        self.lease_seconds = lease_seconds
        self._clock = clock
        open_tables(engine)

    def add(self, rows: Iterable[Job | Skip], recipe_id: str) -> None:
        """Put a recipe's plan in force, in one transaction and in the plan's order.

        Jobs that are known keep their state; those that failed for a passing reason are queued again. Jobs
        that wait and are no longer planned are dropped, and the skips replace the plan's before.
        """
        with self._engine.begin() as db:
            db.execute(delete(plan_skips).where(plan_skips.c.recipe_id == recipe_id))
            waiting = (jobs.c.recipe_id == recipe_id) & jobs.c.state.in_([State.QUEUED, State.FAILED])
            # A negative position marks what this plan has not named.
            db.execute(update(jobs).where(waiting).values(position=-1))
            for position, row in enumerate(rows):
                if isinstance(row, Skip):
                    self._put_skip(db, row, recipe_id)
                else:
                    self._put_job(db, row, position)
            db.execute(delete(jobs).where(waiting & (jobs.c.position < 0)))
            db.execute(
                update(jobs).where(waiting & (jobs.c.state == State.FAILED)).values(state=State.QUEUED)
            )

    def lease(self, recipe_id: str, owner: str, count: int = 1) -> list[Job]:
        """Take up to so many queued jobs: untried ones first, in the plan's order.

        Args:
            owner: who takes them; two drivers that may run at the same time must not share a name.
        """
        picked = (
            select(jobs.c.job_id)
            .where(jobs.c.recipe_id == recipe_id, jobs.c.state == State.QUEUED)
            .order_by(jobs.c.attempts, jobs.c.position, jobs.c.job_id)
            .limit(count)
            .with_for_update(skip_locked=True)
            .cte("picked")
        )
        take = (
            update(jobs)
            .where(jobs.c.job_id.in_(select(picked.c.job_id)), jobs.c.state == State.QUEUED)
            .values(
                state=State.LEASED,
                owner=owner,
                lease_until=self._clock() + self.lease_seconds,
                started=False,
                updated_at=self._clock(),
            )
            .returning(jobs.c.job, jobs.c.attempts, jobs.c.position)
        )
        with self._engine.begin() as db:
            taken = sorted(db.execute(take), key=lambda row: (row.attempts, row.position))
        return [job_json.validate_python(row.job) for row in taken]

    def start(self, job_id: str) -> None:
        """A leased job goes to a worker: that is an attempt."""
        begun = {"started": True, "attempts": jobs.c.attempts + 1, "updated_at": self._clock()}
        with self._engine.begin() as db:
            db.execute(update(jobs).where(jobs.c.job_id == job_id).values(begun))

    def renew(self, owner: str) -> None:
        """Say that the owner is alive; to be called well within `lease_seconds`."""
        with self._engine.begin() as db:
            until = self._clock() + self.lease_seconds
            db.execute(update(jobs).where(_leased_by(owner)).values(lease_until=until))

    def record(self, outcome: Outcome) -> State:
        """Write what came of a leased job and return where it stands now.

        A FAILED outcome queues the job again until its attempts are spent; one that failed for a reason in
        `LATER` waits for the next plan.
        """
        tried = outcome.state is State.FAILED and outcome.reason not in LATER
        state = self._retry() if tried else outcome.state
        written = (
            update(jobs)
            .where(jobs.c.job_id == outcome.job_id)
            .values(state=state, **ended(outcome, self._clock()))
            .returning(jobs.c.state)
        )
        with self._engine.begin() as db:
            return State(db.execute(written).scalar_one())

    def release(self, owner: str) -> None:
        """Free the owner's leases after an orderly stop: an attempt that was cut short does not count."""
        with self._engine.begin() as db:
            spent = case((jobs.c.started, jobs.c.attempts - 1), else_=jobs.c.attempts)
            freed = {"state": State.QUEUED, "owner": None, "lease_until": None, "started": False}
            db.execute(update(jobs).where(_leased_by(owner)).values(attempts=spent, **freed))

    def reclaim(self, *, dead_owner: str | None = None) -> int:
        """Free the leases that have expired and those of a driver known to be dead; return how many.

        The attempt that was under way counts, because it may be what killed the driver.
        """
        gone = jobs.c.lease_until < self._clock()
        if dead_owner is not None:
            gone = or_(gone, jobs.c.owner == dead_owner)
        with self._engine.begin() as db:
            return db.execute(
                update(jobs)
                .where(jobs.c.state == State.LEASED, gone)
                .values(
                    state=self._retry(),
                    owner=None,
                    lease_until=None,
                    reason=case((jobs.c.started, "LeaseExpired"), else_=jobs.c.reason),
                    detail=case((jobs.c.started, "the driver died during the attempt"), else_=jobs.c.detail),
                    updated_at=self._clock(),
                )
            ).rowcount

    def reopen(self, recipe_id: str, which: Callable[[LedgerRow], bool]) -> int:
        """Queue again the SKIPPED jobs that `which` picks, as if they had not been tried; return how many."""
        picked = [
            row.job_id
            for row in self.rows(recipe_id, planned_only=True)
            if row.state is State.SKIPPED and which(row)
        ]
        fresh = {"state": State.QUEUED, "attempts": 0, "started": False, "reason": "", "detail": ""}
        with self._engine.begin() as db:
            for job_id in picked:
                again = (jobs.c.job_id == job_id) & (jobs.c.state == State.SKIPPED)
                db.execute(update(jobs).where(again).values(**fresh, updated_at=self._clock()))
        return len(picked)

    def done(self, recipe_id: str) -> frozenset[str]:
        """Ids of the jobs that are not to be planned again."""
        query = select(jobs.c.job_id).where(jobs.c.recipe_id == recipe_id, jobs.c.state.in_(FINAL))
        with self._engine.connect() as db:
            return frozenset(db.execute(query).scalars())

    def counts(self, recipe_id: str | None = None) -> dict[State, int]:
        """Jobs by state, plan skips not included."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        if recipe_id is not None:
            query = query.where(jobs.c.recipe_id == recipe_id)
        with self._engine.connect() as db:
            found = {State(state): count for state, count in db.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def rows(
        self, recipe_id: str | None = None, *, planned_only: bool = False, checkpoint_id: str | None = None
    ) -> Iterator[LedgerRow]:
        """Yield a row for each job, then one for each checkpoint that the plan left out, by id.

        Args:
            planned_only: jobs alone.
            checkpoint_id: those of one checkpoint.
        """
        left_out = select(plan_skips).where(
            ~exists().where(
                jobs.c.checkpoint_id == plan_skips.c.checkpoint_id,
                jobs.c.recipe_id == plan_skips.c.recipe_id,
                jobs.c.state.in_(FINAL),
            )
        )
        for table, query in ((jobs, select(jobs)), (plan_skips, left_out))[: 1 if planned_only else 2]:
            if recipe_id is not None:
                query = query.where(table.c.recipe_id == recipe_id)
            if checkpoint_id is not None:
                query = query.where(table.c.checkpoint_id == checkpoint_id)
            with self._engine.connect() as db:
                ordered = query.order_by(table.c.checkpoint_id, table.c.job_id)
                yield from [ledger_row(row) for row in db.execute(ordered).mappings()]

    def job(self, job_id: str) -> Job | None:
        """The job itself, such as to make its pictures again; None when it is not known."""
        with self._engine.connect() as db:
            found = db.execute(select(jobs.c.job).where(jobs.c.job_id == job_id)).scalar_one_or_none()
        return None if found is None else job_json.validate_python(found)

    def _retry(self) -> Case[str]:
        """QUEUED again, or QUARANTINED when the attempts are spent."""
        return case((jobs.c.attempts >= self._attempts, State.QUARANTINED), else_=State.QUEUED)

    def _put_job(self, db: Connection, job: Job, position: int) -> None:
        row = job_row(job, position, self._clock())
        # The catalog may have learned more, such as a fresh download address; the id is what may not change.
        newer = {"position": position, "job": row["job"]}
        put = insert_into(jobs, self._engine).values(row)
        db.execute(put.on_conflict_do_update(index_elements=["job_id"], set_=newer))

    def _put_skip(self, db: Connection, skip: Skip, recipe_id: str) -> None:
        row = skip_row(skip, recipe_id, self._clock())
        db.execute(insert_into(plan_skips, self._engine).values(row).on_conflict_do_nothing())


def _leased_by(owner: str) -> ColumnElement[bool]:
    return (jobs.c.state == State.LEASED) & (jobs.c.owner == owner)
