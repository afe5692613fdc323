"""Killed with SIGKILL after each write of an act, and run again: the end is the same, and is on record."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes_matching import NOW, World, extraction, fill, picture, scan
from fakes_references import codes, csv_list
from fakes_scanner import VAULT
from killed import ACTS, FIRST, MASTER_KEY, NEWER, eraser
from sqlalchemy import func, select

from reports.custody import receipt
from reports.custody.audit import AuditLog
from reports.custody.journal import Journal, erasures
from reports.review.labels import Labels
from reports.review.labels import labels as labels_table

MOST = 32
"""Points of one act; where it writes more often, they are spread over its writes."""
ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "fresh" waits for its second matching; "matched" has had it."""
    root = tmp_path_factory.mktemp("homes")
    world = fill(root / "fresh")
    one, two, three = codes(3)
    csv_list(root / "fresh" / FIRST, row("one", one), row("two", two))
    csv_list(root / "fresh" / NEWER, row("two", two), row("three", three))
    world.references.add_list("listed", root / "fresh" / FIRST, now=NOW)
    world.match(sweep="day")
    scan(
        world.extractions,
        "dogs",
        extraction(0, picture(1), picture(30)),
        extraction(1, picture(5), picture(31)),
    )
    world.engine.dispose()
    shutil.copytree(root / "fresh", root / "matched")
    world = World(root / "matched")
    world.match(sweep="night")
    world.engine.dispose()
    return root


def row(name: str, code: bytes) -> dict[str, str]:
    return {"value": code.hex(), "ref_id": name}


def child(home: Path, name: str, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(home), name, str(kill_at)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def state(home: Path) -> dict[str, Any]:
    """All that an act leaves behind, but for how often it was begun."""
    world = World(home)
    listed = [one.name for one in world.references.sets()]
    found = {
        **world.state(),
        "extractions": world.extractions.rows(["id", "checkpoint_id"]).to_pylist(),
        "evidence": sorted(world.store.evidence()),
        "occurrences": world.store.occurrences(),
        "fates": [
            (one.extraction_id, one.matched, one.dropped_why) for one in world.extractions.keys.fates()
        ],
        "looked for": {index.set_name: index.ref_ids.to_pylist() for index in world.references.load(listed)},
        "blocks": len(list(world.references.path.glob("reference_blocks*"))),
        "withdrawn": {name: one.who for name, one in world.references.withdrawn().items()},
        "suppressed": sorted(world.desk.suppressions.active(NOW)),
        "labels": Labels(world.engine).settled(),
        "receipts": sorted(path.name for path in (home / "receipts").glob("*")),
        "unfinished": Journal(world.engine).unfinished(),
    }
    world.engine.dispose()
    return found


def check_record(home: Path) -> None:
    """Each act on record is there, and each that is there is on record, once."""
    world = World(home)
    log = AuditLog(world.engine)
    assert log.verify().whole
    entries = {one.digest: one for one in log.entries()}
    acts = [one.act for one in entries.values()]
    Labels(world.engine)
    with world.engine.connect() as db:
        assert acts.count("label") == db.scalar(select(func.count()).select_from(labels_table))
        ended = db.scalar(select(func.count()).where(erasures.c.ended_at.is_not(None)))
    assert acts.count("suppress") == len(world.desk.suppressions.history())
    told = [receipt.check(path, VAULT)["audit_entry"] for path in (home / "receipts").glob("*")]
    assert len(told) == ended
    assert all(entries[digest].act == "erase" for digest in told)
    assert len([one for one in entries.values() if one.act == "erase" and one.who != "retention"]) == ended
    world.engine.dispose()


def go_on(home: Path, name: str) -> None:
    """What comes next: the end of what was begun, or the act again where it has not come to its end."""
    world = World(home)
    with world.engine.connect() as db:
        ended = db.scalar(select(func.count()).where(erasures.c.ended_at.is_not(None)))
    added = "partner" in [one.name for one in world.references.sets()]
    ended_before = {"erase": ended, "set": ended, "add": added}.get(name)
    if not eraser(world).go_on() and not ended_before:
        ACTS[name](world)
    elif name == "add":
        world.references.add_list("other", home / FIRST, now=NOW)
        world.references.remove("other")
    world.engine.dispose()


def killed_and_gone_on(root: Path, start: Path, name: str, kill_at: int) -> tuple[int, dict[str, Any]]:
    home = root / f"{name}-{kill_at}"
    shutil.copytree(start, home)
    done = child(home, name, kill_at)
    assert done.returncode == -signal.SIGKILL, done.stderr
    go_on(home, name)
    found = state(home)
    check_record(home)
    shutil.rmtree(home)
    return kill_at, found


@pytest.mark.parametrize("name", ACTS)
def test_killed_after_any_write_and_run_again_it_ends_the_same(
    name: str, homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKSWEEP_KEY", MASTER_KEY)
    start = homes / ("fresh" if name == "match" else "matched")
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(start, undisturbed)
    done = child(undisturbed, name, 0)
    assert done.returncode == 0, done.stderr
    points = _spread(json.loads(done.stdout))
    assert len(points) > 3
    expected = state(undisturbed)
    check_record(undisturbed)
    assert expected != state(start)
    with ThreadPoolExecutor(2) as pool:
        for kill_at, found in pool.map(partial(killed_and_gone_on, tmp_path, start, name), points):
            changed = {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}
            assert changed == {}, f"killed at step {kill_at}"


def _spread(points: list[int]) -> list[int]:
    if len(points) <= MOST:
        return points
    return sorted({points[round(at * (len(points) - 1) / (MOST - 1))] for at in range(MOST)})
