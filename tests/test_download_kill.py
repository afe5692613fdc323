"""Kill -9 at any point of a download: the next run ends as an undisturbed one, and asks for little again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from fakes_weights import remote, weights

from crawler.checkpoint import RemoteFile
from leaksweep.hub import ALWAYS, Faults, HubContent, HubRepo, LocalHub, Logged

REPO = "ann/dog"
FILES = {f"unet/{number}.safetensors": weights(number, 300_000) for number in range(3)}
CONFIG = {"model_index.json": b'{"_class_name": "StableDiffusionPipeline"}', "unet/config.json": b"{}"}
KILLS = 50
RUNS = 10
"""Stores; each is killed `KILLS / RUNS` times before it may come to its end."""

NURSERY = """
import json, os, sys
from pathlib import Path
from crawler.checkpoint import Hub, RemoteFile
from crawler.settings import CrawlerSettings
from crawler.store import open_store
from crawler.store.upkeep import tidy

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        settings = CrawlerSettings(huggingface_url=order["hub"], contact="a@b.example", retries=0)
        store = open_store(settings, Path(order["root"]), {})
        tidy(store, part_days=7)
        store.fetch_folder([RemoteFile(**file) for file in order["files"]], Hub.HUGGINGFACE)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Has imported everything, and forks a process of its own for each download."""


class Nursery:
    def __init__(self, process: subprocess.Popen[str], order: dict[str, object]) -> None:
        self._process = process
        self._order = order

    def start(self, root: Path) -> int:
        """Begin a download; returns its process."""
        assert self._process.stdin
        print(json.dumps({**self._order, "root": str(root)}), file=self._process.stdin, flush=True)
        return self._answer()

    def end(self) -> int:
        """Wait for it; returns its wait status."""
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    content = HubContent(repos=(HubRepo(id=REPO, files={**FILES, **CONFIG}),))
    with LocalHub(content, faults=Faults(slow_body=ALWAYS, slow_seconds=0.01)) as running:
        yield running


@pytest.fixture
def nursery(hub: LocalHub) -> Iterator[Nursery]:
    def listed(path: str, body: bytes) -> RemoteFile:
        told = {} if path in FILES else {"sha256": None}
        return remote(f"{hub.url}/{REPO}/resolve/main/{path}", body, path=path, **told)

    files = [listed(path, body) for path, body in {**FILES, **CONFIG}.items()]
    order = {
        "hub": hub.url,
        "files": [
            {name: getattr(file, name) for name in ("path", "url", "size", "sha256")} for file in files
        ],
    }
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nursery(process, order)
        assert process.stdin
        process.stdin.close()


def end_state(root: Path) -> dict[str, str]:
    """All that lies in a store, parts, locks and left-overs included, with its content."""
    return {
        path.relative_to(root).as_posix(): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def come(root: Path) -> int:
    """Bytes that are there, whole or in part."""
    total = 0
    for folder in ("files", "parts"):
        for path in (root / folder).glob("*"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # put on its shelf in this moment
                continue
    return total


def kill_when(root: Path, child: int, *, until: float, come_to: int) -> None:
    """Kill at a time or once so many bytes have come, whichever is first."""
    while time.monotonic() < until and come(root) < come_to:
        time.sleep(0.0005)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def parts(root: Path) -> dict[str, int]:
    """Bytes of unfinished files, by name."""
    return {path.name.partition(".")[0]: path.stat().st_size for path in root.glob("parts/*.part")}


def first_asked(requests: Sequence[Logged]) -> dict[str, int]:
    """The byte at which each file was first asked for at the storage, by digest."""
    starts: dict[str, int] = {}
    for one in requests:
        if one.host == "storage":
            start = int((one.range or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            starts.setdefault(one.path.split("/")[2], start)
    return starts


@pytest.mark.slow
def test_kill_9_at_fifty_points(tmp_path: Path, hub: LocalHub, nursery: Nursery) -> None:
    nursery.start(tmp_path / "undisturbed")
    begun = time.monotonic()
    assert nursery.end() == 0
    duration = time.monotonic() - begun
    wanted = end_state(tmp_path / "undisturbed")
    total = come(tmp_path / "undisturbed")
    chance = random.Random(7)
    killed, resumed = 0, 0
    for run in range(RUNS):
        root = tmp_path / str(run)
        there: dict[str, int] = {}
        # Half of the stores are killed at points of time, half at points of their bytes.
        times = [chance.random() * duration / 2 if run % 2 else 60.0 for _ in range(KILLS // RUNS)]
        sizes = sorted(total + 1 if run % 2 else int(chance.random() * total) for _ in times)
        for until, come_to in [*zip(times, sizes, strict=True), (0.0, 0)]:
            mark = len(hub.requests)
            child = nursery.start(root)
            if until:
                kill_when(root, child, until=time.monotonic() + until, come_to=come_to)
            killed += nursery.end() == signal.SIGKILL
            for digest, start in first_asked(hub.requests[mark:]).items():
                # Nothing that was on the disk is asked for again: what is lost is what was on its way.
                assert start == there.get(digest, 0)
                resumed += start > 0
            there = parts(root)
        assert end_state(root) == wanted
    # One that was to be killed at its last bytes may have ended before.
    assert killed >= KILLS * 0.8
    assert resumed >= RUNS
