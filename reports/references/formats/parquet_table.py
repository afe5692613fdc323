"""Parquet with a column mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reports.finding import ReportError
from reports.references.formats.columns import Columns
from reports.references.formats.files import readable
from reports.references.formats.listed import Entry, Place

_ROWS = 8192
"""Rows in memory at once."""


def read_parquet(path: Path, mapping: Mapping[str, str] | None) -> Iterator[Entry]:
    """Yield the entries; hashes are text or raw bytes. Without a column of ids, an entry's is its row number.

    Raises:
        ReportError: the file cannot be read, the mapping does not fit, or a row is malformed.
    """
    with readable(path), path.open("rb") as file:
        try:
            table = pq.ParquetFile(file)
            columns = Columns.of(path.name, table.schema_arrow.names, mapping)
            yield from _entries(table, columns, path.name)
        except pa.ArrowException:
            raise ReportError(f"{path.name}: is cut off or no parquet file; export the list again") from None


def _entries(table: pq.ParquetFile, columns: Columns, name: str) -> Iterator[Entry]:
    names = table.schema_arrow.names
    number = 0
    for batch in table.iter_batches(_ROWS, columns=[names[at] for at in columns.needed]):
        cells = {one: batch.column(one).to_pylist() for one in batch.schema.names}
        empty = [None] * len(batch)
        for row in zip(*(cells.get(one, empty) for one in names), strict=True):
            number += 1
            yield from columns.entries(Place(name, f"row {number}"), number, row)
