"""Frames as JSON Lines: one object a row, and the JSON Schema that every row keeps to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

import orjson
import pandas as pd

from reports.export.columns import COLUMNS_MINOR, COLUMNS_VERSION, Column
from reports.export.typed import records

SCHEMA_VERSION = f"{COLUMNS_VERSION}.{COLUMNS_MINOR}"
"""The first number changes when a reader of the old lines may misread the new ones; the second when there
are more columns."""

_JSON_TYPES = {"string": "string", "int64": "integer", "double": "number", "bool": "boolean"}


def write_jsonl(file: BinaryIO, frames: Iterable[pd.DataFrame], columns: tuple[Column, ...]) -> int:
    """Write a line for each row, with every column by its name; return the number of rows.

    The lines are ASCII: anything else is escaped, so that a terminal that shows them runs nothing.
    """
    rows = 0
    for frame in frames:
        file.writelines(map(_line, records(frame, columns)))
        rows += len(frame)
    return rows


def json_schema(name: str, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one line of a table; its `$id` ends with the version."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id(name),
        "title": f"One line of leaksweep's {name}.jsonl",
        "type": "object",
        "properties": {column.name: _property(column) for column in columns},
        "required": [column.name for column in columns],
        "additionalProperties": False,
    }


def schema_id(name: str) -> str:
    """Return the name by which a table's schema is known, such as "urn:leaksweep:schema:findings:2.0"."""
    return f"urn:leaksweep:schema:{name}:{SCHEMA_VERSION}"


def _property(column: Column) -> dict[str, Any]:
    kind = _JSON_TYPES[column.type]
    found: dict[str, Any] = {"description": column.meaning, "type": kind if column.always else [kind, "null"]}
    if column.values:
        found["enum"] = [*column.values, *([] if column.always else [None])]
    if column.pattern:
        found["pattern"] = column.pattern
    return found


def _line(row: dict[str, Any]) -> bytes:
    line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    return line if line.isascii() else json.dumps(row, separators=(",", ":")).encode() + b"\n"
