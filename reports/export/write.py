"""The report's files, written into a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import orjson
import pandas as pd

from reports.export.columns import TABLES, Column
from reports.export.files import whole_file, write_atomically
from reports.export.jsonl import json_schema, write_jsonl
from reports.export.markdown import summary
from reports.export.sarif import sarif
from reports.export.tables import write_csv, write_parquet
from reports.export.typed import slices
from reports.page.page import page
from reports.report import Report


class Format(StrEnum):
    """What a report can be written as."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    SARIF = "sarif"
    MARKDOWN = "md"
    HTML = "html"


Writer = Callable[[BinaryIO, Iterable[pd.DataFrame], tuple[Column, ...]], int]

WRITERS: Mapping[Format, Writer] = {
    Format.CSV: write_csv,
    Format.PARQUET: write_parquet,
    Format.JSONL: write_jsonl,
}
"""What writes a table of any length in little memory: every row of all three tables."""


def write_report(
    report: Report,
    out: Path,
    *,
    formats: Collection[Format] = tuple(Format),
    thumbnails: Mapping[str, bytes] | None = None,
) -> list[Path]:
    """Write the report's files into a folder, each whole or not at all, and return their paths.

    Args:
        thumbnails: PNG or JPEG bytes by extraction id, shown in report.html; None shows no picture.

    Raises:
        ReportError: a file cannot be written, or a thumbnail is neither PNG nor JPEG.
    """
    # What may refuse comes first, so that it leaves no other file behind.
    texts = _texts(report, formats, thumbnails or {})
    written = [out / name for name in texts]
    for name, data in texts.items():
        write_atomically(out / name, data)
    for name, columns in TABLES.items():
        for format_ in (each for each in WRITERS if each in formats):
            path = out / f"{name}.{format_}"
            with whole_file(path) as file:
                WRITERS[format_](file, _parts(report, name), columns)
            written.append(path)
    return written


def _parts(report: Report, name: str) -> Iterator[pd.DataFrame]:
    """Return a table in parts, each a bounded number of rows."""
    frames = {"extractions": report.extractions, "checkpoints": report.checkpoints}
    return slices(frames[name]) if name in frames else report.ranked.parts()


def _texts(report: Report, formats: Collection[Format], thumbnails: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that are made in memory, by name: each holds a bounded part of a report."""
    texts: dict[str, bytes] = {}
    if Format.HTML in formats:
        texts["report.html"] = page(report, thumbnails).encode()
    if Format.MARKDOWN in formats:
        texts["summary.md"] = summary(report).encode()
    if Format.SARIF in formats:
        texts["findings.sarif"] = _json(sarif(report))
    if Format.JSONL in formats:
        texts |= {f"{name}.schema.json": _json(json_schema(name, TABLES[name])) for name in TABLES}
    return texts


def _json(node: object) -> bytes:
    return orjson.dumps(node, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
