"""Reading back what the stores' files hold: a seal that was to be erased may be in none of them."""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scanner.vault import HEAD, MARK


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What a reading of all files came to."""

    files: int
    bytes: int
    found: tuple[str, ...]
    """Files in which something was found that should be gone."""


def heads(seals: Iterable[bytes | None]) -> frozenset[bytes]:
    """What each seal begins with, by which it is looked for: it opens nothing."""
    return frozenset(seal[:HEAD] for seal in seals if seal and seal.startswith(MARK))


def read_back(root: Path, gone: Collection[bytes]) -> ReadBack:
    """Look through every file under a folder for seals that begin with one of `gone`.

    Raises:
        OSError: a file cannot be read.
    """
    count = size = 0
    found: list[str] = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        length = path.stat().st_size
        count, size = count + 1, size + length
        if length and any(True for _ in _seen(path, gone)):
            found.append(str(path.relative_to(root)))
    return ReadBack(files=count, bytes=size, found=tuple(found))


def _seen(path: Path, gone: Collection[bytes]) -> Iterator[bytes]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(MARK)
        while at >= 0:
            head = content[at : at + HEAD]
            if head in gone:
                yield head
            at = content.find(MARK, at + 1)
