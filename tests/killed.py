"""Does one act on a home and kills itself at the n-th step of it; see test_kill_points.

A step is the beginning or the end of a call that may write: a statement or a commit of SQL, an act of
LanceDB, a file that is put in place or taken away. Those that find the disk other than the step before did
are told: to be killed at each of them is to be killed after every write and before the next.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import lancedb
import sqlalchemy.engine
from fakes_home import opened_home, run_of
from fakes_matching import NOW, World
from fakes_scanner import VAULT

from leaksweep.erasing import expire
from leaksweep.suppressing import suppress
from reports.custody.audit import AuditLog
from reports.custody.erasing import Eraser
from reports.review.acts import Acts, Reviewer
from reports.review.labels import Labels

ROOT = Path(__file__).resolve().parents[1]
WRITERS = {
    f"{Path(lancedb.__file__).parent}{os.sep}": (
        "create_table drop_table open_table add delete update optimize execute set_unenforced_primary_key"
    ),
    str(Path(sqlalchemy.engine.__file__).parent): "do_execute do_executemany do_commit",
    pathlib.__file__: "unlink replace rename mkdir write_bytes write_text",
    str(ROOT / "reports" / "export" / "files.py"): "write_atomically",
}
"""By the beginning of a file's name, the functions that write."""
NAMES = frozenset(" ".join(WRITERS.values()).split())
MASTER_KEY = "A" * 43 + "="
"""That of `VAULT`, as the environment holds it."""
LATER = NOW + timedelta(days=400)
FIRST, NEWER = "first.csv", "newer.csv"
"""Lists in the home: the set "listed" is of the first."""


def eraser(world: World) -> Eraser:
    return Eraser(
        desk=world.desk,
        vault=VAULT,
        audit=AuditLog(world.engine),
        root=world.home,
        report=world.home / "report",
        clock=lambda: NOW,
    )


def _erase(world: World) -> None:
    first = world.extractions.rows(["id"])["id"].to_pylist()[0]
    eraser(world).erase_extractions(first, [first], who="ann", why="asked")


def _retention(world: World) -> None:
    rules = {"reports__retention__pixels_days": 300, "reports__retention__hashes_days": 300}
    with opened_home(world.home, reports__retention__gone_days=300, **rules) as stores:
        expire(stores, LATER)


def _label(world: World) -> None:
    reviewer = Reviewer(name="ann", account="svc")
    acts = Acts(
        engine=world.engine, audit=AuditLog(world.engine), labels=Labels(world.engine), reviewer=reviewer
    )
    acts.label(world.store.findings()[0].id, "confirmed", "the same")


ACTS: dict[str, Callable[[World], object]] = {
    "match": lambda world: world.match(sweep="night"),
    "erase": _erase,
    "set": lambda world: eraser(world).erase_set("artist", who="ann", why="asked"),
    "add": lambda world: world.references.add_list("partner", world.home / NEWER, now=NOW),
    "update": lambda world: world.references.update("listed", world.home / NEWER, now=NOW),
    "retention": _retention,
    "suppress": lambda world: suppress(run_of(world.home), world.store.findings()[0].id, "licensed", None),
    "label": _label,
}


def look(home: Path) -> dict[str, tuple[int, int, int]]:
    """What lies in a home, but for what merely reading and waiting touch."""
    found = {}
    for folder, _, names in os.walk(home):
        for name in names:
            if not name.endswith((".lock", "-shm")):
                try:
                    stat = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - thousands of times
                except FileNotFoundError:
                    continue
                found[os.path.join(folder, name)] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)  # noqa: PTH118
    return found


def main(home: str, name: str, kill_at: int) -> list[int]:
    """Return the steps that found the disk changed, the first step before them; 0 kills at none."""
    os.environ["LEAKSWEEP_KEY"] = MASTER_KEY
    world = World(Path(home))
    steps, changes, before = 0, [1], look(Path(home))

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal steps, before
        code = frame.f_code
        if code.co_name not in NAMES or event not in ("call", "return"):
            return
        if not any(
            code.co_filename.startswith(at) and code.co_name in names.split() for at, names in WRITERS.items()
        ):
            return
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if kill_at == 0 and (now := look(Path(home))) != before:
            before = now
            changes.append(steps)

    sys.setprofile(watch)
    ACTS[name](world)
    sys.setprofile(None)
    return changes


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
