"""Changes the key of a home by the command, and kills itself on the way; see test_key_kill."""

from __future__ import annotations

import sys
from pathlib import Path

from killed import steps_of

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

if __name__ == "__main__":
    at, *argv = sys.argv[1:]
    print(steps_of(lambda: main(argv), WATCHED, int(at) if at.isdigit() else at))
