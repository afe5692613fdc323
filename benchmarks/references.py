"""Seconds and peak memory of adding and loading a list of random PDQ hashes.

    python -m benchmarks.references --lines 1000000 [--json]

Adding and loading run in a process each, so that either peak is its own; libraries alone take some 250 MB of
it. The list is made first, in a folder of its own that is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from crawler.catalog.engine import open_engine
from reports.references.store import References
from scanner.vault import Vault

_AT_ONCE = 100_000


def write_random(path: Path, lines: int) -> None:
    """Write a plain list; random bits are as hard to pack, and to tell from each other, as real ones."""
    rng = np.random.default_rng(7)
    with path.open("w", encoding="ascii") as out:
        for start in range(0, lines, _AT_ONCE):
            count = min(_AT_ONCE, lines - start)
            text = rng.bytes(32 * count).hex()
            out.writelines(f"{text[at : at + 64]}\n" for at in range(0, len(text), 64))


def measure(act: str, folder: Path) -> dict[str, float]:
    """Do one act in this process; return its seconds, its peak and how many references there were."""
    references = References(
        folder / "lance", Vault(bytes(32)), open_engine(f"sqlite:///{folder / 'home.db'}")
    )
    started, worked = time.perf_counter(), time.process_time()
    if act == "add":
        count = references.add_list("random", folder / "list.txt").entries
    else:
        (index,) = references.load(["random"])
        count = len(index)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "references": count,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_rss_mb": round(peak),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--act", choices=("add", "load"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.act:
        print(json.dumps(measure(asked.act, asked.folder)))
        return 0
    found = {}
    with tempfile.TemporaryDirectory() as name:
        write_random(Path(name) / "list.txt", asked.lines)
        for act in ("add", "load"):
            command = [sys.executable, "-m", "benchmarks.references", "--act", act, "--folder", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[act] = json.loads(done.stdout.splitlines()[-1])
            if not asked.json:
                one = found[act]
                print(
                    f"{act}: {one['references']:,} in {one['seconds']} s ({one['cpu_seconds']} s of CPU), "
                    f"peak {one['peak_rss_mb']:,} MB"
                )
        size = sum(file.stat().st_size for file in (Path(name) / "lance").rglob("*") if file.is_file())
        found["disk_mb"] = round(size / 1e6)
    print(json.dumps(found) if asked.json else f"on the disk: {found['disk_mb']:,} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
