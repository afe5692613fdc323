"""The store's budget: whatever the order of downloads, uses and needs, however many processes share it."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes_weights import remote, weights
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crawler.checkpoint import Hub, SkipReason
from crawler.store import Store
from crawler.store.claims import Claims
from crawler.store.quota import Quota
from crawler.store.refusal import DownloadError
from crawler.store.shelves import Shelves
from crawler.store.upkeep import tidy

HF = Hub.HUGGINGFACE
SIZES = {number: 300 + 100 * (number % 4) for number in range(9)}
BODIES = {number: weights(number, size) for number, size in SIZES.items()}
FILES = {number: remote(f"http://hub.test/{number}", body) for number, body in BODIES.items()}
NUMBERS = {str(file.sha256): number for number, file in FILES.items()}
BUDGET = 1500


@contextmanager
def whole(hub: Hub, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
    """A hub that gives each file at once."""
    body = BODIES[int(url.rpartition("/")[2])]
    yield httpx.Response(200, headers={"Content-Length": str(len(body))}, content=body)


@contextmanager
def half(hub: Hub, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
    """A hub whose line breaks half-way."""

    def pieces() -> Iterator[bytes]:
        yield BODIES[int(url.rpartition("/")[2])][:150]
        raise httpx.ReadError("broken")

    yield httpx.Response(200, headers={"ETag": '"1"'}, content=pieces())


def store_at(root: Path, open_stream: Any = whole, **more: Any) -> Store:
    options = {"budget": BUDGET, "retries": 0, "sleep": lambda seconds: None, **more}
    return Store(root, open_stream=open_stream, **options)


class Quotas(RuleBasedStateMachine):
    """A store beside a list of what was used when."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.now = 1e9
        self.needed: set[int] = set()
        self.used: dict[int, ExitStack] = {}
        self.last_use: dict[int, float] = {}
        more = {
            "clock": lambda: self.now,
            "needed": lambda: [str(FILES[number].sha256) for number in self.needed],
        }
        self.store = store_at(Path(self.root.name), **more)
        self.broken = store_at(Path(self.root.name), half, **more)

    def here(self) -> set[int]:
        return {NUMBERS[file.name] for file in self.store.files()}

    @rule(number=st.sampled_from(list(FILES)))
    def fetch(self, number: int) -> None:
        before, usage = self.here(), self.store.usage()
        parts = {NUMBERS[part.name]: part.size for part in self.store.shelves.unfinished()}
        self.now += 1
        try:
            self.store.fetch(FILES[number], HF)
        except DownloadError as error:
            refused = error.reason
        else:
            refused = None
        gone = before - self.here()
        kept = self.needed | set(self.used) | {number}
        if refused:
            assert refused is SkipReason.BUDGET
            assert not gone  # nothing is removed in vain
            room = sum(SIZES[one] for one in before - kept)
            room += sum(size for one, size in parts.items() if one not in kept)
            assert usage - room + SIZES[number] - parts.get(number, 0) > BUDGET
            return
        self.last_use[number] = self.now
        assert not gone & kept
        stayed = before - kept - gone
        assert all(self.last_use[out] <= self.last_use[one] for out in gone for one in stayed)

    @rule(number=st.sampled_from(list(FILES)))
    def break_off(self, number: int) -> None:
        before = self.here()
        self.now += 1
        if number in before:
            return
        with pytest.raises(DownloadError):
            self.broken.fetch(FILES[number], HF)
        assert not (before - self.here()) & (self.needed | set(self.used))

    @rule(number=st.sampled_from(list(FILES)))
    def need(self, number: int) -> None:
        self.needed ^= {number}

    @rule(number=st.sampled_from(list(FILES)))
    def use(self, number: int) -> None:
        if number in self.used:
            self.used.pop(number).close()
            return
        self.used[number] = ExitStack()
        self.used[number].enter_context(self.store.using([FILES[number]], HF))

    @precondition(lambda self: self.now < 1e9 + 20)
    @rule()
    def tidy(self) -> None:
        tidy(self.store, part_days=7, clock=lambda: self.now)

    @invariant()
    def the_budget_is_kept(self) -> None:
        assert self.store.usage() <= BUDGET

    @invariant()
    def what_is_here_is_whole(self) -> None:
        assert all(file.path.read_bytes() == BODIES[NUMBERS[file.name]] for file in self.store.files())

    def teardown(self) -> None:
        for stack in self.used.values():
            stack.close()
        self.root.cleanup()


TestQuotas = Quotas.TestCase
TestQuotas.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def _fetch_slowly(root: Path, number: int, seconds: float) -> None:
    @contextmanager
    def slow(hub: Hub, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        def pieces() -> Iterator[bytes]:
            yield BODIES[number][:200]
            time.sleep(seconds)
            yield BODIES[number][200:]

        yield httpx.Response(200, headers={"ETag": '"1"'}, content=pieces())

    try:
        store_at(root, slow, budget=SIZES[1] + SIZES[2] - 1).fetch(FILES[number], HF)
    except DownloadError as error:
        sys.exit(3 if error.reason is SkipReason.BUDGET else 1)


def test_two_processes_do_not_take_the_same_room(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_fetch_slowly, args=(tmp_path, number, 4.0)) for number in (1, 2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert sorted(str(process.exitcode) for process in both) == ["0", "3"]
    assert store_at(tmp_path).usage() == SIZES[1 if both[0].exitcode == 0 else 2]


HOLD = """
import sys, time
from pathlib import Path
from crawler.store.quota import Quota
from crawler.store.shelves import Shelves
quota = Quota(Shelves(Path(sys.argv[1])), budget=1000, needed=tuple)
with quota.downloading("a" * 64) as reserve:
    reserve(900)
    print("held", flush=True)
    time.sleep(60)
"""


def test_what_a_dead_process_has_claimed_is_free(tmp_path: Path) -> None:
    quota = Quota(Shelves(tmp_path), budget=1000, needed=tuple)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with quota.downloading("b" * 64) as reserve:
            with pytest.raises(DownloadError, match="does not fit into the 1000"):
                reserve(200)
            holder.kill()
            holder.wait()
            reserve(200)
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_claim_counts_what_is_still_to_come_once(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path)
    quota = Quota(shelves, budget=1000, needed=tuple)
    with quota.downloading("a" * 64) as first, quota.downloading("b" * 64) as second:
        first(600)
        (shelves.parts / f"{'a' * 64}.part").write_bytes(bytes(500))
        second(400)
        with pytest.raises(DownloadError):
            second(401)
        first(100)  # a part that is longer than its claim counts as it is
        second(500)


def test_the_disk_is_asked_too(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path)
    quota = Quota(shelves, budget=10**6, needed=tuple, disk_free=lambda folder: 500)
    (shelves.files / f"{'c' * 64}.json").write_bytes(bytes(300))
    with quota.downloading("a" * 64) as first, quota.downloading("b" * 64) as second:
        first(400)
        second(100)
        assert list(shelves.stored())
        second(400)  # the disk lacks what the old file takes
        assert list(shelves.stored()) == []
        with pytest.raises(DownloadError, match=r"lacks \d+ on the disk"):
            second(1000)


def test_living_claims_are_read_while_others_come_and_go(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with claims.laid(["a"]), claims.laid(["b"], 7):
        assert {(*claim.names, claim.size) for claim in claims.living()} == {("a", 0), ("b", 7)}
    assert claims.living() == []
    assert list(tmp_path.iterdir()) == []
