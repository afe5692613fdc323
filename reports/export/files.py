"""Files that are there only when they are whole."""

from __future__ import annotations

import os
from pathlib import Path

from reports.finding import ReportError


def write_atomically(path: Path, data: bytes) -> None:
    """Write data so that a reader sees the old file or the new one, and a crash leaves no half of either.

    Raises:
        ReportError: the folder cannot be written or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ReportError(f"{path} cannot be written: {error.strerror}; free some space or choose another folder") from error
