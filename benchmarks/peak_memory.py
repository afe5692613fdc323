"""Peak memory and seconds of a command with all processes that it starts.

    python benchmarks/peak_memory.py make demo

Sums the proportional set size of the process tree five times a second: what is shared between processes is
counted once. Processes that leave the tree (Ray's servers do) are found by their session's environment mark.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid

import psutil

MARK = "LEAKSWEEP_MEASURED"


def marked(value: str) -> list[psutil.Process]:
    """Every process that inherited the mark, wherever it hangs in the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == value:
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def proportional_bytes(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    mark, started, peak = uuid.uuid4().hex, time.monotonic(), 0
    with subprocess.Popen(sys.argv[1:], env={**os.environ, MARK: mark}) as command:
        while command.poll() is None:
            peak = max(peak, proportional_bytes(marked(mark)))
            time.sleep(0.2)
    seconds = time.monotonic() - started
    print(
        f"{' '.join(sys.argv[1:])}: {seconds:.0f} s, peak {peak / 1e9:.2f} GB, exit code {command.returncode}"
    )
    return command.returncode


if __name__ == "__main__":
    raise SystemExit(main())
