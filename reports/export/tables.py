"""Frames as CSV or parquet: the same rows, types and order in both, however many there are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from reports.export.columns import Column, arrow_schema
from reports.export.files import whole_file
from reports.export.typed import arrow_table
from reports.finding import ReportError

_CSV = pyarrow.csv.WriteOptions(quoting_style="needed")
_FORMULA = r"^[\p{Z}\p{C}]*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]|^[\t\r\n]"
"""What a spreadsheet may take for a formula (OWASP, "CSV Injection"): also full-width, after a space, or
after what cannot be seen. In the words of RE2."""


def write_csv(file: BinaryIO, frames: Iterable[pd.DataFrame], columns: tuple[Column, ...]) -> int:
    """Write frames below each other as UTF-8 CSV with LF line ends; return the number of rows.

    Text is quoted, numbers are bare, null is nothing. Text that a spreadsheet would run as a formula gets
    an apostrophe in front. A negative number is a number.
    """
    rows = 0
    with pyarrow.csv.CSVWriter(file, arrow_schema(columns), write_options=_CSV) as writer:
        for frame in frames:
            writer.write_table(_disarmed(arrow_table(frame, columns)))
            rows += len(frame)
    return rows


def write_parquet(file: BinaryIO, frames: Iterable[pd.DataFrame], columns: tuple[Column, ...]) -> int:
    """Write frames below each other as parquet, each column's meaning in its field metadata; return the
    number of rows."""
    rows = 0
    with pyarrow.parquet.ParquetWriter(file, arrow_schema(columns), compression="zstd") as writer:
        for frame in frames:
            writer.write_table(arrow_table(frame, columns))
            rows += len(frame)
    return rows


def write_table(path: Path, frames: Iterable[pd.DataFrame], columns: tuple[Column, ...]) -> int:
    """Write frames into one file, whole or not at all; return the number of rows.

    Args:
        path: its name ends in .csv or .parquet.

    Raises:
        ReportError: the name ends in something else, the folder cannot be written or the disk is full.
    """
    write = write_csv if table_suffix(path) == ".csv" else write_parquet
    with whole_file(path) as file:
        return write(file, frames, columns)


def table_suffix(path: Path) -> str:
    """Return ".csv" or ".parquet".

    Raises:
        ReportError: the name ends in something else.
    """
    if path.suffix not in {".csv", ".parquet"}:
        raise ReportError(f"{path}: a table is written as .csv or .parquet; give a file name that ends so")
    return path.suffix


def disarmed(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text of which no spreadsheet takes anything for a formula."""
    guarded = pc.binary_join_element_wise("'", text, "")
    return pc.if_else(pc.match_substring_regex(text, _FORMULA), guarded, text)


def _disarmed(table: pa.Table) -> pa.Table:
    columns = [
        disarmed(column) if field.type == pa.string() else column
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)
