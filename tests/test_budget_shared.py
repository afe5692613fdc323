"""The shared budget under fire: any interleaving of requests, and real processes against a real hub."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from fakes import Answer, loopback
from huggingface_hub.utils._http import RateLimitInfo
from hypothesis import given, settings
from hypothesis import strategies as st
from test_budget import API, Clock, reserve, told

from crawler.guest.budget import Budget, Permit
from leaksweep.hub import HubContent, Limits, LocalHub

ROOT = Path(__file__).parent.parent


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
