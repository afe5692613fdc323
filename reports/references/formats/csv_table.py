"""CSV with a header and a column mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from reports.references.formats.columns import Columns
from reports.references.formats.files import lines, rows
from reports.references.formats.listed import Entry, Place

_DELIMITERS = ",;\t"


def read_csv(path: Path, mapping: Mapping[str, str] | None) -> Iterator[Entry]:
    """Yield the entries; commas, semicolons or tabs. Without a column of ids, an entry's is its line number.

    Raises:
        ReportError: the file cannot be read, the mapping does not fit, or a row is malformed.
    """
    columns: Columns | None = None
    width = 0
    for number, row in rows(path, delimiter_of(path)):
        place = Place(path.name, f"line {number}")
        if columns is None:
            columns, width = Columns.of(path.name, row, mapping), len(row)
        elif len(row) != width:
            raise place.fault(f"{len(row)} cells, but the header has {width}")
        else:
            yield from columns.entries(place, number, row)


def delimiter_of(path: Path) -> str:
    """Return what stands between the cells of the first line that is not empty."""
    first = next((line for _, line in lines(path) if line.strip()), "")
    return max(_DELIMITERS, key=first.count)
