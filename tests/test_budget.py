"""The shared budget: quotas that no interleaving overspends, waits that hold for all, real processes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import Answer, loopback
from huggingface_hub.utils._http import RateLimitInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.guest.budget import Bucket, Budget, BudgetError, Permit, account
from crawler.guest.circuit import COOL_DOWN, FAILURES
from crawler.guest.window import POLL, PROBE, Delay
from leaksweep.hub import HubContent, Limits, LocalHub

API = Bucket(host="hub.test", name="api")
ROOT = Path(__file__).parent.parent


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


@dataclass(slots=True)
class Server:
    """Counts requests in fixed windows, as Hugging Face does, and tells whole seconds rounded down."""

    quota: int
    length: int
    begin: float
    counts: dict[int, int] = field(default_factory=dict)

    def count(self, now: float) -> RateLimitInfo:
        window = int((now - self.begin) // self.length)
        self.counts[window] = self.counts.get(window, 0) + 1
        reset = int((window + 1) * self.length - (now - self.begin))
        return told(self.quota - self.counts[window], reset, self.quota, self.length)


STEP = st.one_of(
    st.just("ask"), st.just("ask"), st.just("arrive"), st.just("arrive"), st.just("answer"), st.just("lose"),
    st.sampled_from([0.2, 0.6, 3.0]),
)  # fmt: skip


@settings(deadline=None)
@given(
    quota=st.integers(1, 8),
    offset=st.floats(0, 9.9),
    headroom=st.sampled_from([0.0, 0.2, 0.5]),
    steps=st.lists(st.tuples(STEP, st.integers(0, 100)), max_size=80),
)
def test_no_interleaving_of_requests_overspends(
    quota: int, offset: float, headroom: float, steps: list[tuple[str | float, int]]
) -> None:
    """Requests leave, reach the hub and are answered, or lost, in any order; none takes over half a window.

    The very first one is answered: before that, nobody knows that there is a quota.
    """
    clock = Clock()
    server = Server(quota, 10, clock.now - offset)
    budget = Budget(clock=clock)
    budget.answered(reserve(budget), server.count(clock.now))
    leaving: list[tuple[Permit, float]] = []
    answers: list[tuple[Permit, RateLimitInfo, float]] = []
    for step, chosen in steps:
        match step:
            case "ask":
                verdict = budget.reserve(API, headroom=headroom)
                if isinstance(verdict, Permit):
                    leaving.append((verdict, clock.now))
            case "arrive" if leaving:
                permit, since = leaving.pop(chosen % len(leaving))
                answers.append((permit, server.count(clock.now), since))
            case "answer" if answers:
                permit, limit, _ = answers.pop(chosen % len(answers))
                budget.answered(permit, limit)
            case "lose" if answers:
                budget.lost(answers.pop(chosen % len(answers))[0])
            case float():
                oldest = min([since for *_, since in [*leaving, *answers]], default=clock.now)
                if clock.now + step - oldest <= 4:
                    clock.now += step
    most = quota - min(headroom * quota, quota - 1)
    assert all(count <= most for count in server.counts.values()), server.counts
    budget.close()


SPENDER = """
import json, sys, httpx
from pathlib import Path
from crawler.guest.budget import Budget
from crawler.guest.manners import Manners, PoliteTransport
url, path, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
manners = Manners(retry_on=(httpx.TransportError,), token_origin=url, budget=Budget(path), headroom=0.25)
transport = PoliteTransport(httpx.HTTPTransport(), manners)
with httpx.Client(transport=transport, base_url=url) as client:
    left = [client.get("/api/models").headers["RateLimit"].split(";")[1] for _ in range(count)]
print(json.dumps({"left": [int(one.removeprefix("r=")) for one in left],
                  "waited": sum(spent.waited_seconds for spent in manners.spent())}))
"""


def spenders(number: int, url: str, path: Path, count: int) -> list[dict[str, object]]:
    command = [sys.executable, "-c", SPENDER, url, str(path), str(count)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(number)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0] * number
    return [json.loads(output) for output in outputs]


def test_processes_share_a_quota_and_leave_the_headroom(tmp_path: Path) -> None:
    """Three processes, 36 requests, 16 a window of which a quarter is left: no 429, ever."""
    limits = Limits(api=16, window=3)
    with LocalHub(HubContent(), limits=limits) as hub:
        spent = spenders(3, hub.url, tmp_path / "guest.db", 12)
        statuses = [request.status for request in hub.requests]
    assert statuses == [200] * 36
    assert min(left for one in spent for left in one["left"]) >= 4  # type: ignore[attr-defined]
    assert sum(one["waited"] for one in spent) > 0  # type: ignore[misc]


def test_a_wait_that_one_process_is_told_holds_for_the_others(tmp_path: Path) -> None:
    times: list[float] = []
    lock = threading.Lock()

    def reply(_: object) -> Answer:
        with lock:
            times.append(time.monotonic())
            first = len(times) == 1
        if first:
            return Answer(status=503, headers={"Retry-After": "2"})
        return Answer(headers={"RateLimit": '"api";r=99;t=9'})

    with loopback(reply) as hub:
        spenders(2, hub.url, tmp_path / "guest.db", 2)
    assert len(times) == 5
    assert times[1] - times[0] >= 1.9
