"""Values by column made into typed Arrow tables and frames: the one way into every export."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from reports.export.columns import ARROW, PANDAS, Column, arrow_schema

Row = dict[str, Any]

AT_ONCE = 20_000
"""Rows that an export holds at a time, beside what it is made from."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_DTYPES = {ARROW[name]: pd.api.types.pandas_dtype(dtype) for name, dtype in PANDAS.items()}


def frame(rows: Iterable[Row], columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return rows as a frame with exactly these columns and types; what a row lacks is null.

    A lone surrogate, which JSON can carry and UTF-8 cannot, becomes U+FFFD.
    """
    listed = list(rows)
    values = {column.name: [row.get(column.name) for row in listed] for column in columns}
    return typed_frame(typed_table(values, columns))


def typed_table(values: Mapping[str, Sequence[Any] | pa.Array], columns: tuple[Column, ...]) -> pa.Table:
    """Return values, equally many for each column, as a table with the columns' types and meanings."""
    arrays = [_array(values[column.name], ARROW[column.type]) for column in columns]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(columns))


def typed_frame(table: pa.Table) -> pd.DataFrame:
    """Return a typed table as a frame with the nullable types of `reports.export.columns.PANDAS`."""
    found: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(types_mapper=_DTYPES.get)
    return found


def arrow_table(frame: pd.DataFrame, columns: tuple[Column, ...]) -> pa.Table:
    """Return a frame as a table with the columns' types and meanings."""
    schema = arrow_schema(columns)
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    return table.replace_schema_metadata(schema.metadata)


def records(frame: pd.DataFrame, columns: tuple[Column, ...]) -> Iterator[Row]:
    """Yield a frame's rows as Python's own values by column, None for null."""
    names = [column.name for column in columns]
    # Arrow makes whole columns into Python's values; row by row takes many times as long.
    values = [column.to_pylist() for column in arrow_table(frame, columns).columns]
    return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def slices(frame: pd.DataFrame, rows: int = AT_ONCE) -> Iterator[pd.DataFrame]:
    """Yield a frame's rows, so many at a time."""
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows]


def _array(values: Sequence[Any] | pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(kind)
    try:
        return pa.array(values, kind, from_pandas=True)
    except UnicodeEncodeError:
        return pa.array([_clean(value) for value in values], kind, from_pandas=True)


def _clean(value: Any) -> Any:
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
