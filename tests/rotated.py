"""Changes the key of a home by the command, and kills itself on the way; see test_key_kill.

A step is a call or a return in the code that does it. Those that find the files of the home other than the
step before did are the moments after a write.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from leaksweep.cli import main

ROOT = Path(__file__).resolve().parents[1]
WATCHED = tuple(
    str(ROOT / part)
    for part in (
        "leaksweep/rotating.py",
        "leaksweep/new_key.py",
        "scanner/key_change.py",
        "scanner/key_files.py",
        "scanner/vault",
        "scanner/picture_keys.py",
        "reports/tables.py",
        "reports/matching/hash_store.py",
        "reports/custody/",
        "reports/references/",
    )
)


def files(home: Path) -> dict[str, tuple[int, int, int]]:
    """What lies in a home, but for what merely reading touches."""
    found = {}
    for path in home.rglob("*"):
        if path.suffix not in {".lock", ".db-shm"}:
            with suppress(FileNotFoundError):
                seen = path.stat()
                found[str(path)] = (seen.st_ino, seen.st_size, seen.st_mtime_ns)
    return found


def changed(home: Path, argv: list[str], kill_at: int | str) -> list[int]:
    """Return the steps that find the home changed; killed at a step's number, or in a function so named."""
    steps, moments, before = 0, [], files(home)

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal steps, before
        if event in ("call", "return") and frame.f_code.co_filename.startswith(WATCHED):
            steps += 1
            if kill_at in (steps, frame.f_code.co_name):
                os.kill(os.getpid(), signal.SIGKILL)
            if kill_at == 0 and (now := files(home)) != before:
                moments.append(steps)
                before = now

    sys.setprofile(watch)
    main([*argv, "--home", str(home), "-q"])
    sys.setprofile(None)
    return moments


if __name__ == "__main__":
    folder, at, *words = sys.argv[1:]
    print(json.dumps(changed(Path(folder), words, int(at) if at.isdigit() else at)))
