"""Files of a list, read piece by piece: what is in memory does not grow with the file."""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from reports.finding import ReportError
from reports.references.formats.listed import Place

HEAD = 1 << 16
"""Bytes that are looked at to tell formats apart."""
LONGEST_LINE = 1 << 20
"""Characters. The longest hash of the field, a TMK of a video, has about 350,000."""
LONGEST_ENTRY = 1 << 21
"""Bytes between the ends of two entries of a JSON or XML list."""
_BOM = b"\xef\xbb\xbf"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a file as such into a ReportError.

    The errors' own words are dropped: some quote what was read.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            # A list is read more than once, and a pipe gives its bytes once; a device never ends.
            raise ReportError(f"{path}: is a pipe or a device; write the list to a file first")
        yield
    except UnicodeDecodeError:
        raise ReportError(f"{path.name}: is not UTF-8 text; save the list as UTF-8") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ReportError(f"{path}: cannot be read ({reason}); give the path of a list") from None


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file, without a byte order mark.

    Raises:
        ReportError: it cannot be read.
    """
    with readable(path), path.open("rb") as file:
        return file.read(HEAD).removeprefix(_BOM)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, from 1.

    Raises:
        ReportError: it cannot be read, is no UTF-8 text, or has a line that never ends.
    """
    with readable(path), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), ""), start=1):
            if len(line) == LONGEST_LINE and not line.endswith("\n"):
                raise Place(path.name, f"line {number}").fault(
                    f"is longer than {LONGEST_LINE:,} characters", "a list has one entry a line"
                )
            yield number, line


def rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield each row of a CSV file with the number of its last line; empty rows are passed over.

    Raises:
        ReportError: as `lines`, and for quotes that do not close and cells that are far too long.
    """
    reader = csv.reader((line for _, line in lines(path)), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            # The csv module's messages name the rule that was broken, and quote nothing.
            raise Place(path.name, f"line {reader.line_num}").fault(f"is no CSV: {error}") from None
        if row is None:
            return
        if any(row):
            yield reader.line_num, row


class Stream:
    """The bytes of a JSON or XML list, for its parser; refuses an entry that never ends."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._since = 0
        self.entries = 0
        """Whole entries so far."""
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)

    def read(self, size: int = HEAD) -> bytes:
        """Read on.

        Raises:
            ReportError: no entry ended for too long.
        """
        self._since += size
        if self._since > LONGEST_ENTRY:
            raise Place(self._name, f"after {self.entries} entries").fault(
                f"no entry ends within {LONGEST_ENTRY >> 20} MiB", "export the list again"
            )
        return self._file.read(min(size, HEAD)) if size > 0 else b""

    def ended(self) -> None:
        """Say that an entry was read whole."""
        self._since = 0
        self.entries += 1
