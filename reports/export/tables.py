"""A frame as CSV or parquet bytes: the same rows, types and order in both."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from reports.export.columns import Column, arrow_schema

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
    text = [column.name for column in columns if column.type == "string"]
    safe = frame.assign(
        **{name: frame[name].map(disarm, na_action="ignore").astype("string") for name in text}
    )
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(arrow_table(safe, columns), sink, pyarrow.csv.WriteOptions(quoting_style="needed"))
    return bytes(sink.getvalue())


def disarm(cell: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
