"""Killed with SIGKILL on the way from one key to another, and run again: the end is the same."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes_home import opened_home
from fakes_rotation import fill, opened, seals

from leaksweep.cli import main
from leaksweep.home_lock import among_others
from reports.custody.traces import read_back
from scanner.key_change import KeyChanges
from scanner.vault import VaultError, heads, vault_in
from scanner.vault_claim import claimed

ROOT = Path(__file__).resolve().parents[1]
KEYS = {"in place": "key", "beside": "later"}
"""File of the new key in the end, by where it was asked for."""
EVERY = {"in place": 1, "beside": 3}
"""Killed right after each write, or after each third: they differ in the last ones only."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    fill(folder / "home", folder)
    return folder / "home"


def words(home: Path, where: str) -> list[str]:
    return ["key", "rotate", *(["--to", str(home / KEYS[where])] if where == "beside" else [])]


def child(home: Path, where: str, kill_at: int | str) -> subprocess.CompletedProcess[str]:
    program = str(Path(__file__).with_name("rotated.py"))
    command = [sys.executable, program, str(home), str(kill_at), *words(home, where)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def killed_and_gone_on(root: Path, start: Path, where: str, kill_at: int | str) -> dict[str, Any]:
    """What the home holds in the end, once it was seen that no moment leaves it without a way on."""
    home = root / f"{where}-{kill_at}"
    shutil.copytree(start, home)
    with opened_home(home) as stores:
        old, before = vault_in(home / "key").fingerprint, heads(seals(stores))
    done = child(home, where, kill_at)
    assert done.returncode == -signal.SIGKILL, done.stderr
    # The lock went with the process, and the old key is there whatever happened.
    with among_others(home):
        pass
    assert old in {vault_in(one).fingerprint for one in home.glob("key*")}
    if not ended(home, old):
        assert main([*words(home, where), "--home", str(home), "-q"]) == 0
    found = opened(home, key_file=str(home / KEYS[where]))
    with opened_home(home, key_file=str(home / KEYS[where])) as stores:
        assert read_back(home, before, stores.engine).found == ()
    assert vault_in(home / KEYS[where]).fingerprint != old
    with pytest.raises(VaultError, match="is another key"):
        opened(home, key_file=str(home / (f"key.{old}" if where == "in place" else "key")))
    with opened_home(home, key_file=str(home / KEYS[where])) as stores:
        assert [entry.act for entry in stores.audit.entries("master key")] == ["change key"]
        assert len(KeyChanges(stores.engine).receipts()) == len(list((home / "receipts").iterdir())) == 1
    shutil.rmtree(home)
    return found


def ended(home: Path, old: str) -> bool:
    """Whether all was done before the kill; else every other command refuses, or nothing had begun."""
    with suppress(VaultError), opened_home(home) as stores:
        return claimed(stores.engine) != old
    with pytest.raises(VaultError, match="end it first: leaksweep key rotate"), opened_home(home):
        pass
    return False


@pytest.mark.parametrize("kill_at", ["reseal_blocks", "hand_over", "put_in_place"])
def test_killed_at_a_turn_it_goes_on(kill_at: str, filled: Path, tmp_path: Path) -> None:
    assert killed_and_gone_on(tmp_path, filled, "in place", kill_at) == opened(filled)


@pytest.mark.slow
@pytest.mark.parametrize("where", KEYS)
def test_killed_after_any_write_and_run_again_it_ends_the_same(
    where: str, filled: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(filled, undisturbed)
    done = child(undisturbed, where, 0)
    assert done.returncode == 0, done.stderr
    moments, expected = json.loads(done.stdout.splitlines()[-1]), opened(filled)
    assert len(moments) > 20
    points = moments[:: EVERY[where]]
    with ThreadPoolExecutor(2) as pool:
        gone_on = partial(killed_and_gone_on, tmp_path, filled, where)
        for kill_at, found in zip(points, pool.map(gone_on, points), strict=True):
            assert found == expected, f"killed at step {kill_at}"
