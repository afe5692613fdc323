"""The shared budget: quotas with requests on their way, waits that hold for all, a file of its own."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub.utils._http import RateLimitInfo

from crawler.guest.budget import Bucket, Budget, BudgetError, Permit, account
from crawler.guest.circuit import COOL_DOWN, FAILURES
from crawler.guest.window import POLL, PROBE, Delay

API = Bucket(host="hub.test", name="api")


@dataclass(slots=True)
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def told(remaining: int, reset: int, quota: int | None = 10, length: int | None = 300) -> RateLimitInfo:
    return RateLimitInfo("api", remaining, reset, quota, length)


def reserve(budget: Budget, **how: float) -> Permit:
    permit = budget.reserve(API, **how)
    assert isinstance(permit, Permit), permit
    return permit


def refused(budget: Budget, bucket: Bucket = API, **how: float) -> Delay:
    delay = budget.reserve(bucket, **how)
    assert isinstance(delay, Delay), delay
    return delay


def test_only_one_asks_a_bucket_of_which_nothing_is_known() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    first = reserve(budget)
    assert refused(budget).until == clock.now + POLL
    budget.answered(first, None)
    reserve(budget)
    reserve(budget)


def test_a_killed_first_asker_holds_nobody_for_long() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    reserve(budget)
    clock.now += PROBE
    reserve(budget)


def test_requests_on_their_way_count_before_the_hub_has_seen_them() -> None:
    budget = Budget(clock=Clock())
    budget.answered(reserve(budget), told(remaining=4, reset=100))
    for _ in range(4):
        reserve(budget)
    assert "0 of 10 requests are left" in refused(budget).reason


def test_a_late_answer_does_not_give_back_what_others_have_spent() -> None:
    budget = Budget(clock=Clock())
    budget.answered(reserve(budget), told(remaining=9, reset=100))
    permits = [reserve(budget) for _ in range(9)]
    budget.answered(permits[8], told(remaining=0, reset=100))
    budget.answered(permits[0], told(remaining=8, reset=100))
    refused(budget)


def test_a_new_window_pays_for_the_requests_still_on_their_way() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    budget.answered(reserve(budget), told(remaining=9, reset=100))
    for _ in range(3):
        reserve(budget)
    clock.now += 102
    for _ in range(7):
        reserve(budget)
    assert refused(budget).until == pytest.approx(clock.now + 299)
    clock.now += 300 + 300  # those three are given up: whoever sent them may be dead
    for _ in range(3):
        reserve(budget)


def test_headroom_is_kept_but_one_request_a_window_may_always_leave() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    budget.answered(reserve(budget, headroom=0.5), told(remaining=6, reset=100))
    budget.answered(reserve(budget, headroom=0.5), told(remaining=5, reset=100))
    assert "5 of 10" in refused(budget, headroom=0.5).reason
    clock.now += 101
    budget.answered(reserve(budget, headroom=0.99), told(remaining=1, reset=299, quota=1))
    reserve(budget, headroom=0.99)


def test_a_quota_without_a_policy_is_learnt_anew_in_the_next_window() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    budget.answered(reserve(budget), told(remaining=0, reset=5, quota=None, length=None))
    assert refused(budget).until == clock.now + 6
    clock.now += 6
    budget.answered(reserve(budget), told(remaining=1, reset=5, quota=None, length=None))
    reserve(budget)
    refused(budget)


def test_absurd_announcements_are_cut_down() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    budget.answered(reserve(budget), told(remaining=10**30, reset=10**30, quota=10**30, length=10**30))
    reserve(budget)
    budget.answered(reserve(budget), told(remaining=0, reset=10**30, quota=0, length=0))
    assert refused(budget).until <= clock.now + 86_402


def test_a_clock_set_back_leaves_nobody_waiting() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    budget.answered(reserve(budget, interval=1.0), told(remaining=0, reset=100))
    budget.hold(API, 800, "it asks for silence")
    clock.now -= 30 * 86_400
    reserve(budget, interval=1.0)


def test_accounts_and_buckets_do_not_share_a_quota() -> None:
    budget = Budget(clock=Clock())
    budget.answered(reserve(budget), told(remaining=0, reset=100))
    refused(budget)
    for bucket in (Bucket(host="hub.test", name="pages"), Bucket(host="hub.test", name="api", account="x")):
        assert isinstance(budget.reserve(bucket), Permit)
    assert account(None) == ""
    assert account("hf_secret") != account("hf_other")
    assert "hf_secret" not in account("hf_secret")


def test_the_interval_holds_for_all_buckets_of_a_host() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    reserve(budget, interval=1.0)
    other = Bucket(host="hub.test", name="downloads")
    assert refused(budget, other, interval=1.0).until == clock.now + 1
    clock.now += 1
    assert isinstance(budget.reserve(other, interval=1.0), Permit)


def test_the_breaker_opens_for_everybody_and_lets_one_try(tmp_path: Path) -> None:
    clock = Clock()
    one, two = Budget(tmp_path / "guest.db", clock=clock), Budget(tmp_path / "guest.db", clock=clock)
    one.answered(reserve(one), None)
    for _ in range(FAILURES):
        one.failed("hub.test", "ConnectError")
    delay = refused(two)
    assert delay.final
    assert "5 requests in a row failed, the last with ConnectError" in delay.reason
    clock.now += COOL_DOWN
    trial = reserve(two)
    assert trial.trial
    assert refused(one).final  # while it is tried
    two.recovered("hub.test")
    assert not reserve(one).strained


def test_a_trial_that_is_never_heard_of_is_followed_by_another() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    for _ in range(FAILURES):
        budget.failed("hub.test", "status 503")
    clock.now += COOL_DOWN
    reserve(budget)
    clock.now += COOL_DOWN
    assert reserve(budget).trial


def test_what_one_process_is_told_outlives_it(tmp_path: Path) -> None:
    clock = Clock()
    first = Budget(tmp_path / "home" / "guest.db", clock=clock)
    first.hold(API, 80_000, "it answered 429 and asks for 80000 s of silence")
    first.close()
    delay = refused(Budget(tmp_path / "home" / "guest.db", clock=clock))
    assert delay.until == clock.now + 80_000
    assert "429" in delay.reason
    assert not delay.final


def test_a_file_that_is_no_budget_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "guest.db"
    path.write_text("no database, whatever the name says " * 100)
    with pytest.raises(BudgetError, match=r"guest\.db: .*; remove it"):
        Budget(path).reserve(API)
    with pytest.raises(BudgetError, match="writable"):
        Budget(tmp_path).reserve(API)


def test_a_file_of_another_version_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "guest.db"
    other = sqlite3.connect(path)
    other.executescript("CREATE TABLE circuit (a); CREATE TABLE window (b); PRAGMA user_version = 99")
    other.close()
    reserve(Budget(path))


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Each connection of its own, as in processes."""
    start, failures = threading.Barrier(8), []

    def ask() -> None:
        budget = Budget(tmp_path / "guest.db")
        start.wait()
        try:
            budget.reserve(API)
        except BudgetError as error:
            failures.append(error)
        budget.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_file_locked_by_another_program_is_an_error_and_no_hang(tmp_path: Path) -> None:
    path = tmp_path / "guest.db"
    budget = Budget(path, locked=0.1)
    reserve(budget)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with pytest.raises(BudgetError, match=r"guest\.db: .*locked.*crawl again"):
        budget.reserve(API)
    assert time.monotonic() - start < 5
    other.execute("ROLLBACK")
    other.close()
    assert isinstance(budget.reserve(API), Delay | Permit)


def test_a_request_costs_less_than_a_millisecond(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "guest.db")
    budget.answered(reserve(budget), None)
    count = 300
    start = time.process_time()
    for _ in range(count):
        budget.answered(reserve(budget), told(remaining=10_000, reset=100, quota=10_000))
    assert (time.process_time() - start) / count < 0.001
