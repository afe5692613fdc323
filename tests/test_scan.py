from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fakes_catalog import begun
from fakes_scanner import BASE, RECIPE, FakeFiles, FakeWorker, extraction_store, lora

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Base, Checkpoint, Page, RemoteFile, SkipReason
from crawler.store.refusal import DownloadError
from scanner.extraction_store import ExtractionStore, StoreError
from scanner.job import DeviceError, Job, Outcome, State
from scanner.ledger import Ledger
from scanner.scan import ScanSummary, scan, write_plan
from scanner.settings import ScannerSettings


@dataclass
class Home:
    """The stores of one installation."""

    folder: Path
    catalog: Catalog
    ledger: Ledger
    store: ExtractionStore

    def scan(self, files: FakeFiles | None = None, **options: Any) -> ScanSummary:
        options.setdefault("make_worker", lambda: FakeWorker(self.folder))
        return scan(
            self.catalog, self.ledger, self.store, files or FakeFiles(), ScannerSettings(), RECIPE, **options
        )

    def states(self) -> dict[str, tuple[State, str]]:
        return {row.checkpoint_id: (row.state, row.reason) for row in self.ledger.rows()}

    def end_state(self) -> tuple[Any, ...]:
        """Everything that must not depend on what happened on the way."""
        extractions = self.store.rows().drop_columns(["created_at"]).to_pylist()
        pictures = list(self.store.images(sorted(self.store.image_ids())))
        states = [(row.job_id, row.state, row.reason, row.extractions) for row in self.ledger.rows()]
        return extractions, pictures, states

    def attempts_at(self, name: str) -> int:
        path = self.folder / f"{name}.attempts"
        return len(path.read_text().splitlines()) if path.exists() else 0


def open_home(folder: Path) -> Home:
    folder.mkdir(exist_ok=True)
    engine = open_engine(f"sqlite:///{folder}/leaksweep.db")
    catalog = Catalog(engine)
    catalog.create()
    return Home(folder, catalog, Ledger(engine, attempts=2), extraction_store(folder / "extractions"))


def fill(home: Home, *names: str) -> None:
    rows: tuple[Checkpoint, ...] = tuple(lora(name) for name in names)
    home.catalog.commit(begun(home.catalog), "all", Page(rows=rows))
    weights = RemoteFile(path="unet.safetensors", url="http://hub.test/base", size=1, sha256=None)
    home.catalog.bases.put(Base(repo=BASE, revision="r", family="sd1", files=(weights,)))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = open_home(tmp_path / "home")
    fill(made, "a", "b", "c")
    return made


def test_a_scan_leaves_extractions_and_a_ledger(home: Home):
    told: list[tuple[int, int, str]] = []
    summary = home.scan(
        progress=lambda done, total, last: told.append((done, total, last.state if last else ""))
    )
    assert (summary.planned, summary.done, summary.extractions, summary.waiting) == (3, 3, 6, 0)
    assert not summary.stopped
    assert told == [(0, 3, ""), (1, 3, "done"), (2, 3, "done"), (3, 3, "done")]
    assert set(home.states().values()) == {(State.DONE, "")}
    assert home.store.sizes()["images"] == 6


def test_a_second_scan_has_nothing_to_do(home: Home):
    home.scan()
    before = home.end_state()
    assert home.scan(make_worker=pytest.fail).planned == 0
    assert home.end_state() == before
    assert home.attempts_at("a") == 1


def test_what_comes_new_is_scanned(home: Home):
    home.scan()
    fill(home, "d")
    summary = home.scan()
    assert (summary.planned, summary.done) == (1, 1)


def test_what_the_plan_leaves_out_is_told(home: Home):
    orphan = replace(lora("orphan"), claims=())
    home.catalog.commit(begun(home.catalog), "all", Page(rows=(orphan,), cursor=None))
    assert home.scan().left_out == {"unknown_base": 1}
    assert home.states()[orphan.id] == (State.SKIPPED, "unknown_base")


def test_a_plan_alone_scans_nothing(home: Home):
    assert write_plan(home.catalog, home.ledger, RECIPE) == {}
    assert home.ledger.counts(RECIPE.id)[State.QUEUED] == 3


def test_downloads_that_fail_are_outcomes(home: Home):
    files = FakeFiles(
        {
            "a": DownloadError(SkipReason.WRONG_DIGEST, "a: sha256 is another"),
            "b": DownloadError(SkipReason.DOWNLOAD_FAILED, "b: cut off"),
        }
    )
    summary = home.scan(files)
    assert (summary.done, summary.skipped, summary.waiting) == (1, 1, 1)
    assert home.states()[lora("a").id] == (State.SKIPPED, "wrong_digest")
    assert home.states()[lora("b").id] == (State.FAILED, "download_failed")

    summary = home.scan()
    assert (summary.planned, summary.done, summary.waiting) == (1, 1, 0)
    assert home.states()[lora("b").id] == (State.DONE, "")


def test_a_base_that_cannot_be_had_is_asked_for_once(home: Home):
    files = FakeFiles({"base": DownloadError(SkipReason.GATED, "accept its licence")})
    summary = home.scan(files)
    assert summary.skipped == 3
    assert files.asked == ["http://hub.test/base"]
    [row] = [row for row in home.ledger.rows() if row.checkpoint_id == lora("a").id]
    assert (row.reason, row.detail) == ("gated", "base model base/sd: accept its licence")


class Failing(FakeWorker):
    """Fails each job so many times."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(folder)
        self._times = times

    def run(self, subject: Job, *rest: Any) -> Outcome:
        done = super().run(subject, *rest)
        name = subject.checkpoint.repo.removeprefix("ann/")
        if len((self._folder / f"{name}.attempts").read_text().splitlines()) > self._times:
            return done
        return Outcome(job_id=subject.id, state=State.FAILED, reason="RuntimeError", detail="as told")


def test_a_job_that_fails_is_tried_again_in_the_same_run(home: Home):
    summary = home.scan(make_worker=lambda: Failing(home.folder, 1))
    assert (summary.done, summary.quarantined) == (3, 0)
    assert home.attempts_at("a") == 2


def test_a_job_that_always_fails_is_quarantined(home: Home):
    summary = home.scan(make_worker=lambda: Failing(home.folder, 9))
    assert (summary.done, summary.quarantined) == (0, 3)
    assert home.attempts_at("a") == 2
    assert set(home.states().values()) == {(State.QUARANTINED, "RuntimeError")}


def test_a_stop_frees_what_was_leased(home: Home):
    stop = Event()
    summary = home.scan(stop=stop, progress=lambda done, *_: stop.set() if done == 1 else None)
    assert summary.stopped
    assert (summary.done, summary.waiting) == (1, 2)
    assert {row.attempts for row in home.ledger.rows()} == {0, 1}
    assert home.ledger.counts()[State.LEASED] == 0
    assert home.scan().done == 2


def test_ctrl_c_frees_what_was_leased(home: Home):
    class Interrupted(FakeWorker):
        def run(self, *_: Any) -> Outcome:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        home.scan(make_worker=lambda: Interrupted(home.folder))
    assert {(row.state, row.attempts) for row in home.ledger.rows()} == {(State.QUEUED, 0)}


def test_a_lost_device_ends_the_scan_and_costs_one_attempt_of_one_job(home: Home):
    fill(home, "device", "e")
    with pytest.raises(DeviceError):
        home.scan()
    rows = {row.checkpoint_id: row for row in home.ledger.rows()}
    lost = rows[lora("device").id]
    assert (lost.state, lost.reason, lost.attempts) == (State.QUEUED, "DeviceError", 1)
    assert rows[lora("e").id].attempts == 0


@contextmanager
def running(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own, which is killed when the block ends."""
    tests = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys, test_scan\n{script}", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_one_scan_at_a_time(home: Home):
    script = """
with test_scan.open_home(test_scan.Path(sys.argv[1])).store.writing():
    print("held", flush=True)
    test_scan.time.sleep(60)
"""
    with running(script, home.folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process writes"):
            home.scan()


@pytest.fixture
def undisturbed(tmp_path: Path) -> tuple[Any, ...]:
    """The end state of a scan of the same catalog that nothing happened to."""
    other = open_home(tmp_path / "undisturbed")
    fill(other, "a", "b", "c")
    other.scan()
    return other.end_state()


def test_kill_9_during_a_job(home: Home, undisturbed: tuple[Any, ...]):
    script = """
home = test_scan.open_home(test_scan.Path(sys.argv[1]))

class SlowAfterTheFirst(test_scan.FakeWorker):
    def run(self, *rest):
        done = super().run(*rest)
        self._seconds = 600.0
        return done

home.scan(make_worker=lambda: SlowAfterTheFirst(home.folder))
"""
    with running(script, home.folder) as process:
        wait_for(lambda: home.attempts_at("b") or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
    assert home.attempts_at("b") == 1

    after = open_home(home.folder)
    assert after.ledger.counts()[State.LEASED] > 0
    assert after.scan().done == 2
    assert after.end_state() == undisturbed
    attempts = {row.checkpoint_id: row.attempts for row in after.ledger.rows()}
    assert attempts == {lora("a").id: 1, lora("b").id: 2, lora("c").id: 1}


def test_kill_9_between_the_two_stores(home: Home, undisturbed: tuple[Any, ...]):
    script = """
class Killed(test_scan.Ledger):
    def record(self, outcome):
        test_scan.os.kill(test_scan.os.getpid(), 9)

home = test_scan.open_home(test_scan.Path(sys.argv[1]))
home.ledger.__class__ = Killed
home.scan()
"""
    with running(script, home.folder) as process:
        assert process.wait(60) == -signal.SIGKILL

    after = open_home(home.folder)
    assert after.store.sizes()["images"] == 2
    assert after.scan().done == 3
    assert after.end_state() == undisturbed


def wait_for(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
