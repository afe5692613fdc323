"""Reading back what the stores' files hold: a seal that was to be erased may be in none of them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from scanner.vault import heads_in


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What a reading of all files came to."""

    files: int
    bytes: int
    found: tuple[str, ...]
    """Files in which something was found that should be gone."""


def read_back(root: Path, gone: Container[bytes], *, beside: Iterable[Path] = ()) -> ReadBack:
    """Look through every file under a folder, and those beside it, for seals that begin with one of `gone`.

    Raises:
        OSError: a file cannot be read.
    """
    count = size = 0
    found: list[str] = []
    for path in (*sorted(root.rglob("*")), *beside):
        if path.is_symlink() or not path.is_file():
            continue
        count, size = count + 1, size + path.stat().st_size
        if heads_in(path, gone):
            found.append(str(path.relative_to(root) if path.is_relative_to(root) else path))
    return ReadBack(files=count, bytes=size, found=tuple(found))
