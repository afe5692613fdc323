"""Keeping the store in order: what kills, crashes, evictions and bad disks leave behind."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from crawler.store.shelves import PART, STATE, StoredFile, is_whole
from crawler.store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a look at every byte of the store has shown."""

    files: int
    bytes: int
    damaged: tuple[str, ...]
    """Names of files whose content is not what the name tells. They are gone; a scan fetches them anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was removed from the store on demand."""

    files: int
    folders: int
    bytes: int


def tidy(store: Store, *, part_days: float, clock: Callable[[], float] = time.time) -> int:
    """Remove what nobody will use any more; return how many files and folders that were.

    Parts go after `part_days` days without a byte, unless a queued job needs them. Locks, claims and other
    small files of dead processes go, and folders and addresses whose files have made room for others.
    """
    shelves = store.shelves
    protected = store.quota.protected()  # removes dead claims too
    oldest = clock() - part_days * 86400
    left = [one.name for one in shelves.unfinished() if one.name not in protected and one.used_at < oldest]
    left += [
        path.name.removesuffix(STATE)
        for path in shelves.parts.glob(f"*{STATE}")
        if not path.with_name(path.name.removesuffix(STATE) + PART).exists()
    ]
    removed = 0
    for name in left:
        with _free(shelves.locks / f"{name}.lock") as free:
            if free:
                shelves.drop_part(name)
                removed += 1
    for path in shelves.locks.glob("*.lock"):
        if path != store.quota.lock_path:
            with _free(path) as free:
                removed += free
    return removed + _unused_names(store) + _broken_folders(store)


def verify(store: Store, progress: Callable[[StoredFile], None] = lambda file: None) -> Verified:
    """Read every whole file and remove those whose SHA-256 is not their name: bits rot, and disks lie."""
    files = size = 0
    damaged = []
    for file in sorted(store.files(), key=lambda file: file.path.name):
        progress(file)
        try:
            whole = is_whole(file.path)
        except FileNotFoundError:  # made room meanwhile
            continue
        files, size = files + 1, size + file.size
        if not whole:
            logger.warning("%s: its content is not what its name tells; removed", file.path.name)
            file.path.unlink(missing_ok=True)
            damaged.append(file.path.name)
    return Verified(files=files, bytes=size, damaged=tuple(damaged))


def remove(store: Store, digests: Collection[str]) -> Removed:
    """Remove files by their digests, whole or in part, whoever needs them, and the folders that show them."""
    shelves = store.shelves
    gone, size = 0, 0
    paths = [path for digest in digests for path in shelves.of(digest)]
    for path in paths:
        size += path.stat().st_size
        path.unlink(missing_ok=True)
        gone += 1
    for digest in digests:
        part = shelves.parts / f"{digest}{PART}"
        if part.exists():
            size += part.stat().st_size
            gone += 1
        shelves.drop_part(digest)
    return Removed(files=gone, folders=_broken_folders(store), bytes=size)


def _unused_names(store: Store) -> int:
    """Remove addresses whose content is not here; the next download writes them again."""
    here = {file.name for file in store.files()}
    removed = 0
    for path in store.shelves.urls.iterdir():
        name = path.name.removeprefix(".")
        with _free(store.shelves.locks / f"{name}.lock") as free:
            if free and (path.name != name or store.shelves.digest_of(name) not in here):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _broken_folders(store: Store) -> int:
    """Remove folders that were never finished, or whose links lead nowhere."""
    removed = 0
    for folder in list(store.shelves.folders.iterdir()):
        name = folder.name.removeprefix(".making-")
        with _free(store.shelves.locks / f"{name}.lock") as free:
            if free and (name != folder.name or any(_dangling(folder))):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def _dangling(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (path for name in names if not (path := Path(parent, name)).exists())


@contextmanager
def _free(lock_path: Path) -> Iterator[bool]:
    """Whether nobody holds a lock; if so it is ours until the block ends, and its file is removed."""
    lock = FileLock(lock_path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock_path.unlink(missing_ok=True)
        lock.release()
