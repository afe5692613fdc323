"""Parquet with a column mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reports.finding import ReportError
from reports.references.formats.columns import Columns
from reports.references.formats.files import readable
from reports.references.formats.listed import Entry, Place

_ROWS = 8192
"""Rows in memory at once, unless their cells are long."""
_BYTES = 1 << 25
"""Bytes of a column's cells in memory at once, as far as the file tells their size."""


def read_parquet(path: Path, mapping: Mapping[str, str] | None) -> Iterator[Entry]:
    """Yield the entries; hashes are text or raw bytes. Without a column of ids, an entry's is its row number.

    Raises:
        ReportError: the file cannot be read, the mapping does not fit, or a row is malformed.
    """
    with readable(path), path.open("rb") as file:
        try:
            schema = pq.read_schema(file)
            columns = Columns.of(path.name, schema.names, mapping)
            needed = [schema.field(at) for at in columns.needed]
            # A cell that a small file repeats a million times is in memory once, as in the file.
            repeated = [one.name for one in needed if _is_text(one.type)]
            table = pq.ParquetFile(file, read_dictionary=repeated)
            yield from _entries(table, columns, path.name)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            # Parquet's own reader raises an OSError without a number for what is no parquet.
            raise ReportError(f"{path.name}: is cut off or no parquet file; export the list again") from None


def _entries(table: pq.ParquetFile, columns: Columns, name: str) -> Iterator[Entry]:
    names = table.schema_arrow.names
    number = 0
    for batch in table.iter_batches(_at_once(table), columns=[names[at] for at in columns.needed]):
        cells = {one: batch.column(one) for one in batch.schema.names}
        rows = zip(*(_values(cells[one]) if one in cells else repeat(None) for one in names), strict=False)
        for _ in range(len(batch)):
            number += 1
            place = Place(name, f"row {number}")
            try:
                row = next(rows)
            except (ValueError, OverflowError):
                raise place.fault(
                    "holds a date out of range, a fraction of a microsecond, or text that is not UTF-8"
                ) from None
            yield from columns.entries(place, number, row)


def _values(column: pa.Array) -> Iterator[Any]:
    return (cell.as_py() for cell in column)


def _at_once(table: pq.ParquetFile) -> int:
    """How many rows are decoded together: fewer where a row group's cells are long."""
    told = table.metadata
    parts = [told.row_group(at) for at in range(told.num_row_groups)]
    longest = max((part.total_byte_size // max(1, part.num_rows) for part in parts), default=0)
    return max(1, min(_ROWS, _BYTES // max(1, longest)))


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
