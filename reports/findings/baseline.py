"""A baseline: the findings of an earlier report, read from its file, in place of the run before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reports.finding import Finding, FindingState, ReportError, Severity
from reports.findings.changes import Standing, differences, qualifier

NEEDED = ("id", "severity", "state", "set", "ref_id", "checkpoint_id")
"""Fields that a line or row has to have; all are texts."""
_OPTIONAL = ("rule", "explained_by_base", "explained_by_others")
_LONGEST = 1 << 20
"""Characters of a line; a finding has a few thousand."""
_ASIDE = (FindingState.GONE, FindingState.SUPPRESSED, FindingState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What an earlier report said of its findings."""

    name: str
    """Name of the file, without its folder."""
    standings: Mapping[str, Standing]
    """By the finding's id."""


def read_baseline(path: Path) -> Baseline:
    """Read `findings.jsonl` or `findings.parquet` of an earlier report.

    A finding has one line for each place at which its weights were published.

    Raises:
        ReportError: the file is missing or malformed; the message names the line.
    """
    rows = _parquet(path) if path.suffix == ".parquet" else _lines(path)
    standings: dict[str, Standing] = {}
    for place, row in rows:
        told = _standing(f"{path.name}, {place}", row)
        known = standings.get(row["id"])
        standings[row["id"]] = replace(told, places=told.places | known.places) if known else told
    return Baseline(name=path.name, standings=standings)


def against_baseline(findings: Iterable[Finding], baseline: Baseline) -> Iterator[Finding]:
    """Yield the findings with their state against the baseline, in the order given.

    Those that are gone, suppressed or withdrawn now stay so.
    """
    return (_stated(one, baseline.standings.get(one.id)) for one in findings)


def _stated(one: Finding, then: Standing | None) -> Finding:
    if one.state in _ASIDE:
        return one
    if then is None:
        return replace(one, state=FindingState.NEW, changed="")
    changed = differences(then, Standing.of(one))
    return replace(one, state=FindingState.CHANGED if changed else FindingState.KNOWN, changed=changed)


def _standing(place: str, row: Mapping[str, Any]) -> Standing:
    for name in NEEDED:
        if not isinstance(row.get(name), str):
            raise ReportError(f'{place}: "{name}" is missing or no text; give findings.jsonl of a report')
    try:
        severity, state = Severity[row["severity"].upper()], FindingState(row["state"])
    except (KeyError, ValueError) as error:
        raise ReportError(f"{place}: there is no such severity or state: {error}") from error
    explained = [row[name] for name in _OPTIONAL[1:] if isinstance(row.get(name), bool)]
    return Standing(
        severity=severity,
        places=frozenset({row["checkpoint_id"]}),
        qualifier=qualifier(row["rule"]) if isinstance(row.get("rule"), str) else None,
        explained=any(explained) if explained else None,
        state=state,
    )


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST + 1):
                number += 1
                if len(line) > _LONGEST:
                    raise ReportError(f"{path.name}, line {number}: is longer than a finding can be")
                if line.strip():
                    yield f"line {number}", _object(path, number, line)
    except OSError as error:
        raise _unreadable(path, error) from error


def _object(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"{path.name}, line {number}: is no JSON; give findings.jsonl or findings.parquet of a report"
        ) from error
    if not isinstance(row, dict):
        raise ReportError(f"{path.name}, line {number}: is no JSON object")
    return row


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as raw, pq.ParquetFile(raw) as file:
            there = [name for name in (*NEEDED, *_OPTIONAL) if name in file.schema_arrow.names]
            number = 0
            for batch in file.iter_batches(columns=there):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except OSError as error:
        raise _unreadable(path, error) from error
    except pa.ArrowException as error:
        raise ReportError(f"{path.name}: is no parquet file: {error}") from error


def _unreadable(path: Path, error: OSError) -> ReportError:
    reason = error.strerror or "it is no parquet file or was cut off"
    return ReportError(f"baseline {path}: cannot be read: {reason}")
