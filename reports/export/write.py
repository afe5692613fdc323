"""The report's files, written into a folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path

import pandas as pd

from reports.export.columns import TABLES
from reports.export.files import write_atomically
from reports.export.page import page
from reports.export.sarif import sarif
from reports.export.tables import csv_bytes, parquet_bytes
from reports.report import Report


class Format(StrEnum):
    """What a report can be written as."""

    CSV = "csv"
    PARQUET = "parquet"
    SARIF = "sarif"
    HTML = "html"


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
    files: dict[str, bytes] = {}
    for name, columns in TABLES.items():
        frame: pd.DataFrame = getattr(report, name)
        if Format.CSV in formats:
            files[f"{name}.csv"] = csv_bytes(frame, columns)
        if Format.PARQUET in formats:
            files[f"{name}.parquet"] = parquet_bytes(frame, columns)
    if Format.SARIF in formats:
        files["findings.sarif"] = json.dumps(sarif(report), indent=2, ensure_ascii=False).encode()
    if Format.HTML in formats:
        files["report.html"] = page(report, thumbnails or {}).encode()
    for name, data in files.items():
        write_atomically(out / name, data)
    return [out / name for name in files]
