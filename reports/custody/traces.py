"""Reading back what the stores' files hold: a seal that was to be erased may be in none of them."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from scanner.vault import heads_in


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What a reading of all files came to."""

    files: int
    bytes: int
    found: tuple[str, ...]
    """Files in which something was found that should be gone."""
    not_read: list[str]
    """What could not be looked at."""

    def told(self) -> dict[str, Any]:
        """What a receipt says of it."""
        return {
            "files_read": self.files,
            "bytes_read": self.bytes,
            "found": len(self.found),
            "not_read": self.not_read,
        }


def read_back(root: Path, gone: Container[bytes], engine: Engine) -> ReadBack:
    """Look through every file under a folder for seals that begin with one of `gone`.

    Args:
        engine: of the home's database, of which no connection may be in use. The files of SQLite's are read
            wherever they lie; a server keeps its own, which are not.

    Raises:
        OSError: a file cannot be read.
    """
    # To close a file of SQLite's lets go of all locks that this process has on it.
    engine.dispose()
    count = size = 0
    found: list[str] = []
    for path in (*sorted(root.rglob("*")), *_elsewhere(engine, root)):
        if path.is_symlink() or not path.is_file():
            continue
        count, size = count + 1, size + path.stat().st_size
        if heads_in(path, gone):
            found.append(str(path.relative_to(root) if path.is_relative_to(root) else path))
    not_read = [] if engine.dialect.name == "sqlite" else ["the database server's own files"]
    return ReadBack(files=count, bytes=size, found=tuple(found), not_read=not_read)


def _elsewhere(engine: Engine, root: Path) -> list[Path]:
    """Files of an SQLite database that does not lie in the home."""
    if engine.dialect.name != "sqlite":
        return []
    file = Path(engine.url.database or "").resolve()
    return [] if file.is_relative_to(root.resolve()) else [file, file.with_name(f"{file.name}-wal")]
