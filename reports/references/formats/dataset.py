"""threatexchange's `dataset -P --csv`: signal_type, signal_str, collab, category, tags."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from reports.references.formats.files import rows
from reports.references.formats.listed import Entry, Place, entry
from reports.references.formats.said import opinion

HEADER = ["signal_type", "signal_str", "collab", "category", "tags"]


def read_dataset(path: Path) -> Iterator[Entry]:
    """Yield the entries. There are no ids: an entry's is the number of its line.

    Raises:
        ReportError: the file cannot be read, has another header, or a row is malformed.
    """
    table = rows(path)
    if [header for _, header in islice(table, 1)] != [HEADER]:
        raise Place(path.name, "line 1").fault(
            f"the header is not {','.join(HEADER)}", "export it with: threatexchange dataset -P --csv"
        )
    for number, row in table:
        place = Place(path.name, f"line {number}")
        if len(row) != len(HEADER):
            raise place.fault(f"{len(row)} cells, but the header has {len(HEADER)}")
        kind, value, collab, category, tags = row
        yield entry(
            place,
            str(number),
            kind,
            value,
            opinion=opinion(place, category),
            tags=tuple(tags.split()),
            source=collab,
            numbered=True,
        )
