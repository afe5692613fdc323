"""Frames as CSV or parquet: the same rows, types and order in both."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from reports.export.columns import Column, arrow_schema
from reports.export.files import whole_file
from reports.finding import ReportError

_CSV = pyarrow.csv.WriteOptions(quoting_style="needed")
_FORMULA = re.compile(r"^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")
"""What a spreadsheet may take for a formula (OWASP, "CSV Injection"), also full-width or after a space."""


def arrow_table(frame: pd.DataFrame, columns: tuple[Column, ...]) -> pa.Table:
    """Return the frame as an Arrow table with the columns' types and meanings."""
    schema = arrow_schema(columns)
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    return table.replace_schema_metadata(schema.metadata)


def parquet_bytes(frame: pd.DataFrame, columns: tuple[Column, ...]) -> bytes:
    """Return the frame as a parquet file, each column's meaning in its field metadata."""
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(arrow_table(frame, columns), sink, compression="zstd")
    return bytes(sink.getvalue())


def csv_bytes(frame: pd.DataFrame, columns: tuple[Column, ...]) -> bytes:
    """Return the frame as UTF-8 CSV with LF line ends; text is quoted, numbers are bare, null is nothing.

    Text that a spreadsheet would run as a formula gets an apostrophe in front. A negative number is a number.
    """
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(arrow_table(_disarmed(frame, columns), columns), sink, _CSV)
    return bytes(sink.getvalue())


def write_table(path: Path, frames: Iterable[pd.DataFrame], columns: tuple[Column, ...]) -> int:
    """Write frames below each other into one file, whole or not at all; return the number of rows.

    As `csv_bytes` and `parquet_bytes`, for tables that need not fit into memory.

    Args:
        path: its name ends in .csv or .parquet.

    Raises:
        ReportError: the name ends in something else, the folder cannot be written or the disk is full.
    """
    rows, schema, as_csv = 0, arrow_schema(columns), table_suffix(path) == ".csv"
    with whole_file(path) as file, ExitStack() as stack:
        if as_csv:
            writer = stack.enter_context(pyarrow.csv.CSVWriter(file, schema, write_options=_CSV))
        else:
            writer = stack.enter_context(pyarrow.parquet.ParquetWriter(file, schema, compression="zstd"))
        for frame in frames:
            table = arrow_table(_disarmed(frame, columns) if as_csv else frame, columns)
            writer.write_table(table)
            rows += len(frame)
    return rows


def table_suffix(path: Path) -> str:
    """Return ".csv" or ".parquet".

    Raises:
        ReportError: the name ends in something else.
    """
    if path.suffix not in {".csv", ".parquet"}:
        raise ReportError(f"{path}: a table is written as .csv or .parquet; give a file name that ends so")
    return path.suffix


def _disarmed(frame: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    text = [column.name for column in columns if column.type == "string"]
    return frame.assign(
        **{name: frame[name].map(disarm, na_action="ignore").astype("string") for name in text}
    )


def disarm(cell: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
