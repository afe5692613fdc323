"""Files that are there only when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from reports.finding import ReportError


def write_atomically(path: Path, data: bytes) -> None:
    """Write data so that a reader sees the old file or the new one, and a crash leaves no half of either.

    Raises:
        ReportError: the folder cannot be written or the disk is full.
    """
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to that takes its place when the block ends well, and leaves nothing otherwise.

    Raises:
        ReportError: the folder cannot be written or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        reason = error.strerror or error
        remedy = "free some space or choose another folder"
        raise ReportError(f"{path} cannot be written: {reason}; {remedy}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
