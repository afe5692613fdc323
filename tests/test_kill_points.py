"""Killed with SIGKILL at fifty points of a matching and of erasures, and run again: the end is the same."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes_matching import World, extraction, fill, picture, scan
from killed import act, eraser

from reports.custody.journal import Journal

POINTS = {"match": 50, "erase": 30, "set": 20}
ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "fresh" waits for its second matching; "matched" has had it."""
    root = tmp_path_factory.mktemp("homes")
    world = fill(root / "fresh")
    world.match(sweep="day")
    scan(
        world.extractions,
        "dogs",
        extraction(0, picture(1), picture(30)),
        extraction(1, picture(5), picture(31)),
    )
    shutil.copytree(root / "fresh", root / "matched")
    World(root / "matched").match(sweep="night")
    return root


def child(home: Path, name: str, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(home), name, str(kill_at)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def state(home: Path) -> dict[str, Any]:
    world = World(home)
    return {
        **world.state(),
        "extractions": world.extractions.rows(["id", "checkpoint_id"]).to_pylist(),
        "occurrences": world.store.occurrences(),
        "fates": [
            (one.extraction_id, one.matched, one.dropped_why) for one in world.extractions.keys.fates()
        ],
        "sets": [one.name for one in world.references.sets()],
        "unfinished": Journal(world.engine).unfinished(),
    }


def go_on(home: Path, name: str) -> None:
    """What the next night does: the same matching again, or the end of what was begun."""
    world = World(home)
    if name == "match" or (not eraser(world).go_on() and not _done(world, name)):
        act(world, name)


def _done(world: World, name: str) -> bool:
    """Whether the erasure had come to its end before the kill."""
    with world.engine.connect() as db:
        return bool(db.exec_driver_sql("SELECT count(*) FROM erasure WHERE ended_at IS NOT NULL").scalar())


def killed_and_gone_on(root: Path, start: Path, name: str, kill_at: int) -> tuple[int, dict[str, Any]]:
    home = root / f"{name}-{kill_at}"
    shutil.copytree(start, home)
    done = child(home, name, kill_at)
    assert done.returncode == -signal.SIGKILL, done.stderr
    go_on(home, name)
    found = state(home)
    shutil.rmtree(home)
    return kill_at, found


@pytest.mark.parametrize("name", POINTS)
def test_killed_anywhere_and_run_again_it_ends_the_same(name: str, homes: Path, tmp_path: Path) -> None:
    start = homes / ("fresh" if name == "match" else "matched")
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(start, undisturbed)
    done = child(undisturbed, name, -1)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    expected = state(undisturbed)
    points = spread(steps, POINTS[name])
    assert len(points) == POINTS[name]
    with ThreadPoolExecutor(2) as pool:
        for kill_at, found in pool.map(partial(killed_and_gone_on, tmp_path, start, name), points):
            assert found == expected, f"killed at step {kill_at} of {steps}"


def spread(steps: int, count: int) -> list[int]:
    return sorted({1 + round(at * (steps - 1) / (count - 1)) for at in range(count)})
