from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fakes_scanner import RECIPE, job
from sqlalchemy import Engine, update

from crawler.catalog.engine import open_engine
from crawler.checkpoint import (
    Hub,
    Skip,
    SkipReason,
)
from extraction.recipe import Recipe
from scanner import tables
from scanner.job import Job, LedgerRow, Outcome, ScanError, State
from scanner.ledger import Ledger

pytest_plugins = ("fakes_postgres",)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def skip(name: str) -> Skip:
    return Skip(
        hub=Hub.HUGGINGFACE,
        repo=f"ann/{name}",
        revision="r",
        path="w.safetensors",
        reason=SkipReason.UNKNOWN_BASE,
        detail="nobody says",
    )


def failed(subject: Job, reason: str = "RuntimeError") -> Outcome:
    return Outcome(job_id=subject.id, state=State.FAILED, reason=reason, detail="it broke", seconds=2.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def open_ledger(engine: Engine, clock: Clock) -> Callable[[], Ledger]:
    return lambda: Ledger(engine, attempts=2, lease_seconds=60, clock=clock)


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


def row(ledger: Ledger, subject: Job) -> LedgerRow:
    [found] = [found for found in ledger.rows() if found.job_id == subject.id]
    return found


def try_once(ledger: Ledger, outcome: Outcome) -> State:
    [leased] = ledger.lease(RECIPE.id, "me")
    assert leased.id == outcome.job_id
    ledger.start(leased.id)
    return ledger.record(outcome)


def test_jobs_come_out_as_they_went_in_and_in_the_plans_order(ledger: Ledger):
    jobs = [job("zoe"), job("bob"), job("ann")]
    ledger.add(jobs, RECIPE.id)
    assert ledger.lease(RECIPE.id, "me", 2) == jobs[:2]
    assert ledger.lease(RECIPE.id, "you", 2) == jobs[2:]
    assert ledger.lease(RECIPE.id, "you", 2) == []
    assert ledger.job(jobs[0].id) == jobs[0]
    assert ledger.job("nothing") is None


def test_a_done_job(ledger: Ledger):
    subject = job("cats")
    ledger.add([subject], RECIPE.id)
    state = try_once(
        ledger, Outcome(job_id=subject.id, state=State.DONE, seconds=3.5, measures={"forwards": 8})
    )
    assert state is State.DONE
    assert row(ledger, subject) == LedgerRow(
        job_id=subject.id,
        checkpoint_id=subject.checkpoint.id,
        recipe_id=RECIPE.id,
        state=State.DONE,
        reason="",
        detail="",
        attempts=1,
        seconds=3.5,
        extractions=0,
        measures={"forwards": 8},
        updated_at="1970-01-12T13:46:40+00:00",
    )
    assert ledger.done(RECIPE.id) == {subject.id}
    assert ledger.counts()[State.DONE] == 1


def test_errors_cost_attempts_until_they_are_spent(ledger: Ledger):
    subject = job("cats")
    ledger.add([subject], RECIPE.id)
    assert try_once(ledger, failed(subject)) is State.QUEUED
    assert try_once(ledger, failed(subject)) is State.QUARANTINED
    assert ledger.lease(RECIPE.id, "me") == []
    found = row(ledger, subject)
    assert (found.attempts, found.reason, found.detail) == (2, "RuntimeError", "it broke")
    assert subject.id in ledger.done(RECIPE.id)


def test_untried_jobs_go_before_those_that_failed(ledger: Ledger):
    first, second = job("a"), job("b")
    ledger.add([first, second], RECIPE.id)
    try_once(ledger, failed(first))
    assert [found.id for found in ledger.lease(RECIPE.id, "me", 2)] == [second.id, first.id]


@pytest.mark.parametrize("reason", [SkipReason.DOWNLOAD_FAILED, SkipReason.BUDGET])
def test_what_the_hub_did_not_deliver_is_tried_at_the_next_run_and_costs_nothing(
    ledger: Ledger, reason: SkipReason
):
    subject = job("cats")
    for _ in range(4):
        ledger.add([subject], RECIPE.id)
        [leased] = ledger.lease(RECIPE.id, "me")
        assert ledger.record(failed(leased, reason)) is State.FAILED
        assert ledger.lease(RECIPE.id, "me") == []
    assert row(ledger, subject).attempts == 0


def test_a_skip_is_for_good(ledger: Ledger):
    subject = job("cats")
    ledger.add([subject], RECIPE.id)
    try_once(ledger, Outcome(job_id=subject.id, state=State.SKIPPED, reason="not_finite", detail="NaN"))
    ledger.add([subject], RECIPE.id)
    assert ledger.lease(RECIPE.id, "me") == []
    assert row(ledger, subject).reason == "not_finite"


def test_an_expired_lease_costs_the_attempt_that_was_under_way(ledger: Ledger, clock: Clock):
    started, waiting = job("a"), job("b")
    ledger.add([started, waiting], RECIPE.id)
    ledger.lease(RECIPE.id, "me", 2)
    ledger.start(started.id)
    clock.now += 59
    assert ledger.reclaim() == 0
    ledger.renew("me")
    clock.now += 59
    assert ledger.reclaim() == 0
    clock.now += 2
    assert ledger.reclaim() == 2
    assert (row(ledger, started).attempts, row(ledger, waiting).attempts) == (1, 0)
    assert row(ledger, started).reason == "LeaseExpired"
    assert row(ledger, waiting).reason == ""


def test_a_job_that_keeps_killing_its_driver_is_quarantined(ledger: Ledger):
    subject = job("killer")
    ledger.add([subject], RECIPE.id)
    for _ in range(2):
        [leased] = ledger.lease(RECIPE.id, "me")
        ledger.start(leased.id)
        ledger.reclaim(dead_owner="me")
    assert row(ledger, subject).state is State.QUARANTINED


def test_only_the_dead_drivers_leases_are_reclaimed(ledger: Ledger):
    ledger.add([job("a"), job("b")], RECIPE.id)
    [mine] = ledger.lease(RECIPE.id, "me")
    [yours] = ledger.lease(RECIPE.id, "you")
    assert ledger.reclaim(dead_owner="me") == 1
    assert (row(ledger, mine).state, row(ledger, yours).state) == (State.QUEUED, State.LEASED)


def test_an_orderly_stop_costs_nothing(ledger: Ledger):
    subject = job("cats")
    ledger.add([subject], RECIPE.id)
    ledger.lease(RECIPE.id, "me")
    ledger.start(subject.id)
    ledger.release("me")
    found = row(ledger, subject)
    assert (found.state, found.attempts) == (State.QUEUED, 0)


def test_a_new_plan_replaces_the_old_one(ledger: Ledger):
    kept, dropped, done, left_out = job("kept"), job("dropped"), job("done"), job("left out")
    ledger.add([done], RECIPE.id)
    try_once(ledger, Outcome(job_id=done.id, state=State.DONE))
    ledger.add([skip("mystery"), skip("done"), kept, dropped], RECIPE.id)
    found = {found.checkpoint_id: found for found in ledger.rows()}
    assert found[skip_id("mystery")].state is State.SKIPPED
    assert found[skip_id("mystery")].reason == "unknown_base"
    assert found[done.checkpoint.id].state is State.DONE  # what was scanned is not said to be left out

    ledger.add([left_out, kept], RECIPE.id)
    assert {found.checkpoint_id for found in ledger.rows()} == {
        subject.checkpoint.id for subject in (kept, done, left_out)
    }
    assert [found.id for found in ledger.lease(RECIPE.id, "me", 9)] == [left_out.id, kept.id]


def skip_id(name: str) -> str:
    return job(name).checkpoint.id


def test_a_plan_that_breaks_off_changes_nothing(ledger: Ledger):
    ledger.add([job("a")], RECIPE.id)
    before = list(ledger.rows())

    def broken():
        yield job("b")
        raise OSError("the catalog is gone")

    with pytest.raises(OSError, match="gone"):
        ledger.add(broken(), RECIPE.id)
    assert list(ledger.rows()) == before


def test_recipes_do_not_mix(ledger: Ledger):
    other = Recipe(steps=5)
    ledger.add([job("a")], RECIPE.id)
    ledger.add([job("a", other), skip("b")], other.id)
    assert len(list(ledger.rows(RECIPE.id))) == 1
    assert len(list(ledger.rows(other.id))) == 2
    assert [found.recipe for found in ledger.lease(other.id, "me", 9)] == [other]
    assert ledger.counts(RECIPE.id)[State.QUEUED] == 1


def test_two_drivers_never_lease_the_same_job(ledger: Ledger, open_ledger: Callable[[], Ledger]):
    ledger.add([job(f"{number}") for number in range(40)], RECIPE.id)

    def take(owner: str) -> list[str]:
        mine = open_ledger()
        taken: list[str] = []
        while found := mine.lease(RECIPE.id, owner):
            taken += [leased.id for leased in found]
        return taken

    with ThreadPoolExecutor(4) as executor:
        taken = [name for part in executor.map(take, "abcd") for name in part]
    assert len(taken) == len(set(taken)) == 40


def test_a_fresh_download_address_reaches_a_waiting_job(ledger: Ledger):
    old = job("cats")
    moved = replace(old.checkpoint.files[0], url="http://hub.test/moved")
    new = replace(old, checkpoint=replace(old.checkpoint, files=(moved,)))
    assert old.id == new.id
    ledger.add([old], RECIPE.id)
    ledger.add([new], RECIPE.id)
    assert ledger.lease(RECIPE.id, "me") == [new]


def test_a_ledger_of_a_newer_version_says_so(engine: Engine):
    Ledger(engine)
    with engine.begin() as db:
        db.execute(update(tables.ledger_version).values(version=tables.VERSION + 1))
    with pytest.raises(ScanError, match=r": the job ledger has format 2, of a newer leaksweep.*database"):
        Ledger(engine)
