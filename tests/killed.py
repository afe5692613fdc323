"""Does one act on a home and kills itself at the n-th step of the stores' code; see test_kill_points."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from fakes_matching import NOW, World
from fakes_scanner import VAULT

from reports.custody.audit import AuditLog
from reports.custody.erasing import Eraser

WATCHED = tuple(
    str(Path(__file__).resolve().parents[1] / part)
    for part in (
        "reports/tables.py",
        "reports/findings/store.py",
        "reports/matching/hash_store.py",
        "reports/matching/stage.py",
        "reports/custody/",
        "reports/references/",
        "scanner/extraction_store.py",
        "scanner/image_table.py",
        "scanner/picture_keys.py",
    )
)
"""Files whose calls and returns are the steps."""


def eraser(world: World) -> Eraser:
    return Eraser(
        desk=world.desk,
        vault=VAULT,
        audit=AuditLog(world.engine),
        root=world.home,
        report=world.home / "report",
        clock=lambda: NOW,
    )


def act(world: World, name: str) -> None:
    """ "match", "erase" an extraction, or erase a "set"."""
    if name == "match":
        world.match(sweep="night")
    elif name == "erase":
        first = world.extractions.rows(["id"])["id"].to_pylist()[0]
        eraser(world).erase_extractions(first, [first], who="ann", why="asked")
    else:
        eraser(world).erase_set("artist", who="ann", why="asked")


def steps_of(work: Callable[[], object], watched: tuple[str, ...], kill_at: int | str) -> int:
    """Return how many steps some work takes, unless it is killed at one: a number, or a function's name."""
    steps = 0

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal steps
        if event in ("call", "return") and frame.f_code.co_filename.startswith(watched):
            steps += 1
            if kill_at in (steps, frame.f_code.co_name):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)
    work()
    sys.setprofile(None)
    return steps


def main(home: str, name: str, kill_at: int) -> int:
    """Return how many steps there were."""
    world = World(Path(home))
    return steps_of(lambda: act(world, name), WATCHED, kill_at)


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
