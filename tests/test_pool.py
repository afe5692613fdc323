from __future__ import annotations

import functools
import os
import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import fakes_scanner
import pytest
from fakes_scanner import FakeWorker, job

from scanner import ray_pool
from scanner.job import DeviceError, Outcome, ScanError, State
from scanner.pool import LocalPool, open_pool
from scanner.prefetch import Ready
from scanner.ray_pool import RayPool, gpus_each
from scanner.ray_private import SECRETS
from scanner.settings import ScannerSettings
from scanner.vault import MARK


def ready(*names: str) -> Iterator[Ready | None]:
    for name in names:
        yield None
        yield Ready(job=job(name), base=Path("base"), weights=Path("weights"))


def by_name(outcomes: list[Outcome], *names: str) -> dict[str, Outcome]:
    ids = {job(name).id: name for name in names}
    return {ids[outcome.job_id]: outcome for outcome in outcomes}


def test_here_jobs_run_one_after_the_other(tmp_path: Path):
    with LocalPool(lambda: FakeWorker(tmp_path), timeout=60, stop=Event()) as pool:
        outcomes = list(pool.run(ready("a", "b")))
    assert [outcome.job_id for outcome in outcomes] == [job("a").id, job("b").id]


def test_here_a_stop_gives_the_running_job_up(tmp_path: Path):
    stop = Event()
    with LocalPool(lambda: FakeWorker(tmp_path), timeout=60, stop=stop) as pool:
        outcomes = pool.run(ready("a", "b", "c"))
        next(outcomes)
        stop.set()
        assert list(outcomes) == []
    assert not (tmp_path / "c.attempts").exists()


def test_here_a_lost_device_ends_the_pool_after_the_jobs_outcome(tmp_path: Path):
    with LocalPool(lambda: FakeWorker(tmp_path), timeout=60, stop=Event()) as pool:
        outcomes = pool.run(ready("device", "b"))
        assert next(outcomes).state is State.FAILED
        with pytest.raises(DeviceError, match="illegal memory access"):
            next(outcomes)


def test_a_pool_has_to_be_entered(tmp_path: Path):
    with pytest.raises(RuntimeError, match="with block"):
        next(LocalPool(lambda: FakeWorker(tmp_path), timeout=60, stop=Event()).run(ready("a")))


@pytest.fixture
def _sent_along() -> Iterator[None]:
    """Actors cannot import what lies in the tests' folder: send it with the worker."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(fakes_scanner)
    yield
    cloudpickle.unregister_pickle_by_value(fakes_scanner)


@pytest.mark.slow
@pytest.mark.usefixtures("_sent_along")
def test_ray_replaces_workers_that_die_hang_or_lose_their_device(tmp_path: Path):
    settings = ScannerSettings(workers=2, device="cpu", job_timeout_seconds=4)
    names = ["a", "die", "hang", "b", "device", "c"]
    make_worker = functools.partial(FakeWorker, tmp_path, 0.2)
    with open_pool(settings, make_worker, Event()) as pool:
        outcomes = by_name(list(pool.run(ready(*names))), *names)
        again = by_name(list(pool.run(ready("d"))), "d")

    assert {name for name, found in outcomes.items() if found.state is State.DONE} == {"a", "b", "c"}
    assert len(outcomes["a"].extractions) == 2
    assert outcomes["die"].reason == "ActorDiedError"
    assert outcomes["hang"].reason == "JobTimeout"
    assert "job_timeout_seconds, 4 s" in outcomes["hang"].detail
    assert outcomes["device"].reason == "DeviceError"
    assert "illegal memory access" in outcomes["device"].detail
    assert again["d"].state is State.DONE


@pytest.mark.slow
@pytest.mark.usefixtures("_sent_along")
def test_ray_gives_up_when_every_job_costs_the_worker(tmp_path: Path):
    settings = ScannerSettings(workers=1, device="cpu")
    pool = RayPool(functools.partial(FakeWorker, tmp_path), settings, stop=Event(), losses=2)
    with pool:
        outcomes = pool.run(ready("device 1", "device 2", "a"))
        assert [next(outcomes).reason, next(outcomes).reason] == ["DeviceError", "DeviceError"]
        with pytest.raises(ScanError, match="no device is left"):
            next(outcomes)


@pytest.mark.slow
@pytest.mark.usefixtures("_sent_along")
def test_ray_is_told_no_secret_and_holds_no_picture_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Telling(FakeWorker):
        def run(self, *args: Any, **options: Any) -> Outcome:
            return replace(super().run(*args, **options), measures={"environment": sorted(os.environ)})

    passed: list[Any] = []
    get = ray_pool.ray.get

    def watched(*args: Any, **options: Any) -> Any:
        passed.append(get(*args, **options))
        return passed[-1]

    for name in SECRETS:
        monkeypatch.setenv(name, "not for a worker")
    monkeypatch.setattr(ray_pool.ray, "get", watched)
    before = set(Path(tempfile.gettempdir()).glob("ls-ray-*"))
    settings = ScannerSettings(workers=1, device="cpu")
    with open_pool(settings, functools.partial(Telling, tmp_path), Event()) as pool:
        (folder,) = set(Path(tempfile.gettempdir()).glob("ls-ray-*")) - before
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(folder.glob("r/session_*/sockets/*"))
        (outcome,) = pool.run(ready("a"))
    assert not folder.exists()
    assert os.environ["HF_TOKEN"] == "not for a worker"

    assert outcome.measures is not None
    assert "PATH" in outcome.measures["environment"]
    assert not {*SECRETS} & {*outcome.measures["environment"]}
    piece = outcome.extractions[0].pixels.tobytes()[:64]
    assert piece in pickle.dumps(outcome)
    (sealed,) = [one for one in passed if isinstance(one, bytes)]
    assert sealed.startswith(MARK)
    assert piece not in pickle.dumps(passed)


@pytest.mark.slow
def test_ray_says_what_keeps_its_workers_from_starting():
    def broken() -> FakeWorker:
        raise ScanError("no descriptor here")

    settings = ScannerSettings(workers=1, device="cpu")
    with pytest.raises(ScanError, match="no descriptor here"), open_pool(settings, broken, Event()):
        pass


def test_a_worker_takes_a_gpu_where_there_are_any():
    cluster = {"CPU": 16.0, "GPU": 4.0}
    assert gpus_each(ScannerSettings(workers=4), cluster) == 1
    assert gpus_each(ScannerSettings(workers=4, device="cpu"), cluster) == 0
    assert gpus_each(ScannerSettings(workers=4), {"CPU": 4.0}) == 0


@pytest.mark.parametrize(
    ("device", "there"), [("auto", "4 GPUs"), ("cuda", "4 GPUs"), ("cpu", "16 CPU cores")]
)
def test_more_workers_than_the_cluster_can_hold(device: str, there: str):
    settings = ScannerSettings(workers=17, device=device)
    with pytest.raises(ScanError, match=f"workers is 17, but Ray has {there}; lower it"):
        gpus_each(settings, {"CPU": 16.0, "GPU": 4.0})
