"""What living processes have laid claim to: room for the bytes that come, and files that they use.

A claim is a small file with a lock that its process holds. The system frees the lock when the process dies,
however it dies, so a claim never outlives its owner.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

LOCK = ".lock"
NEW = ".new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim."""

    names: frozenset[str]
    """Files that may not be removed, by `crawler.store.shelves.file_name`."""
    size: int = 0
    """Bytes that the one file of a download will have; 0 for files that are used."""


class Claims:
    """The claims of all processes that share a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def laid(self, names: Collection[str], size: int = 0) -> Iterator[Path]:
        """Lay claim to files until the block ends; gives what `resize` takes."""
        path = self._folder / uuid4().hex
        lock = FileLock(f"{path}{LOCK}")
        with lock:
            try:
                self._write(path, Claim(names=frozenset(names), size=size))
                yield path
            finally:
                path.unlink(missing_ok=True)
                Path(lock.lock_file).unlink(missing_ok=True)

    def resize(self, path: Path, names: Collection[str], size: int) -> None:
        """Change a claim of this process."""
        self._write(path, Claim(names=frozenset(names), size=size))

    def living(self) -> list[Claim]:
        """The claims in force; those of dead processes are removed."""
        return [claim for path in self._folder.glob(f"*{LOCK}") if (claim := self._read(path))]

    def _read(self, lock_path: Path) -> Claim | None:
        path = lock_path.with_suffix("")
        try:
            with FileLock(lock_path, blocking=False):
                # Its owner is dead, or has not written yet and will do so before it asks for room.
                for left in (path, path.with_suffix(NEW), lock_path):
                    left.unlink(missing_ok=True)
                return None
        except Timeout:
            pass
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return Claim(names=frozenset(found["names"]), size=int(found["size"]))
        except FileNotFoundError:
            return None  # given up in this moment

    def _write(self, path: Path, claim: Claim) -> None:
        part = path.with_suffix(NEW)
        part.write_text(json.dumps({"names": sorted(claim.names), "size": claim.size}), encoding="utf-8")
        part.replace(path)
