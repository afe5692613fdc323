"""What matching found: matches, findings and their occurrences in LanceDB, the runs in the SQL store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, select

from crawler.catalog.engine import make_tables, upsert
from reports.finding import ExtractionEvidence, Finding, FindingState, Match, Severity
from reports.findings.occurrences import Occurrence
from reports.findings.states import Judged
from reports.tables import connect, erase_rows, hold, lock_of, open_table, replace, schema
from scanner.image_table import among

_MATCH = (
    pa.field("extraction_id", pa.string()),
    pa.field("checkpoint_id", pa.string()),
    pa.field("set_name", pa.string()),
    pa.field("ref_id", pa.string()),
    pa.field("similarity", pa.float64()),
    pa.field("descriptor", pa.string()),
    pa.field("pdq_distance", pa.int64()),
    pa.field("phash_distance", pa.int64()),
    pa.field("control_similarity", pa.float64()),
    pa.field("control_pdq_distance", pa.int64()),
    pa.field("control_phash_distance", pa.int64()),
    pa.field("mirrored", pa.bool_()),
    pa.field("others", pa.int64()),
    pa.field("others_same_base", pa.bool_()),
    pa.field("others_as_near", pa.int64()),
    pa.field("p_value", pa.float64()),
    pa.field("others_similarity", pa.float64()),
    pa.field("others_pdq_distance", pa.float64()),
    pa.field("others_phash_distance", pa.float64()),
    pa.field("phash256_distance", pa.int64()),
    pa.field("control_phash256_distance", pa.int64()),
    pa.field("others_phash256_distance", pa.float64()),
    pa.field("normalised_similarity", pa.float64()),
)
_VERDICT = (
    pa.field("severity", pa.string()),
    pa.field("rule", pa.string()),
    pa.field("explained_by_base", pa.bool_()),
    pa.field("explained_by_others", pa.bool_()),
)


_MATCHES = schema(
    pa.field("id", pa.string()),
    *_MATCH,
    *_VERDICT,
    pa.field("decoy", pa.bool_()),
    key="id",
)
_FINDINGS = schema(
    pa.field("id", pa.string()),
    *_MATCH,
    *_VERDICT,
    pa.field("state", pa.string()),
    pa.field("checkpoint_sha256", pa.string()),
    pa.field("occurrences", pa.int64()),
    pa.field("checkpoint_ids", pa.list_(pa.string())),
    pa.field("first_seen", pa.string()),
    pa.field("last_seen", pa.string()),
    pa.field("first_run", pa.int64()),
    pa.field("last_run", pa.int64()),
    pa.field("changed", pa.string()),
    pa.field("settled_by", pa.string()),
    pa.field("settled_why", pa.string()),
    pa.field("settled_at", pa.string()),
    pa.field("settled_until", pa.string()),
    key="id",
)
_EVIDENCE = schema(
    pa.field("extraction_id", pa.string()),
    pa.field("nearest_other", pa.string()),
    pa.field("nearest_other_similarity", pa.float64()),
    pa.field("shared", pa.bool_()),
    pa.field("recipes", pa.int64()),
    pa.field("recipes_agreeing", pa.list_(pa.string())),
    key="extraction_id",
)
_OCCURRENCES = schema(
    pa.field("id", pa.string()),
    pa.field("finding_id", pa.string()),
    pa.field("checkpoint_id", pa.string()),
    pa.field("extraction_id", pa.string()),
    pa.field("similarity", pa.float64()),
    pa.field("pdq_distance", pa.int64()),
    pa.field("phash_distance", pa.int64()),
    pa.field("phash256_distance", pa.int64()),
    key="id",
)

_OF_A_MATCH = tuple(one.name for one in fields(Match))
_OF_A_FINDING = tuple(one.name for one in fields(Finding) if one.name != "match")
_AT_ONCE = 20_000
"""Findings that are read or written at a time."""

metadata = MetaData()
runs = Table(
    "match_run",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("finished_at", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("summary", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A matching that came to its end."""

    number: int
    """From 1."""
    name: str
    """The sweep it belonged to; empty when it was run by itself."""
    finished_at: str
    """ISO 8601, UTC."""
    settings: str
    """`ReportsSettings` as JSON."""
    summary: str
    """`MatchSummary` as JSON."""


class FindingStore:
    """The match stage's tables in one folder, written by one process at a time."""

    def __init__(self, path: Path, engine: Engine) -> None:
        """Open the store, making it where it is missing; the runs lie in the SQL store.

        Raises:
            ReportError: it was made by another version of leaksweep.
        """
        self.path = path
        self.engine = engine
        with engine.begin() as db:
            make_tables(db, metadata.sorted_tables)
        self._store = connect(path)
        self._lock = lock_of(path, "findings")
        for name, columns in (
            ("matches", _MATCHES),
            ("findings", _FINDINGS),
            ("evidence", _EVIDENCE),
            ("occurrences", _OCCURRENCES),
        ):
            open_table(self._store, name, columns)

    def writing(self) -> AbstractContextManager[object]:
        """Hold the store for writing; may be nested.

        Raises:
            ReportError: another process writes to it.
        """
        return hold(self._lock, self.path)

    def matches(self, *, decoys: bool = False) -> list[Match]:
        """All matches of the last run with references, or those with decoys."""
        rows = self._rows("matches", f"decoy = {str(decoys).lower()}").sort_by("id").to_pylist()
        return [_match(row) for row in rows]

    def replace_matches(self, judged: Sequence[Judged], decoys: frozenset[str]) -> None:
        """Put a run's matches in place of the run's before, in one commit."""
        rows = [
            {
                "id": f"{one.match.extraction_id}/{one.match.set_name}/{one.match.ref_id}",
                **asdict(one.match),
                "severity": one.verdict.severity.label,
                "rule": one.verdict.rule,
                "explained_by_base": one.verdict.explained_by_base,
                "explained_by_others": one.verdict.explained_by_others,
                "decoy": one.match.set_name in decoys,
            }
            for one in judged
        ]
        replace(self._store, "matches", pa.Table.from_pylist(rows, schema=_MATCHES))

    def findings(self) -> list[Finding]:
        """All findings, by id, those that are gone too."""
        return sorted(self.each_finding(), key=attrgetter("id"))

    def each_finding(self) -> Iterator[Finding]:
        """Yield all findings in no order; they are read so many at a time, and need not fit into memory."""
        for batch in self._store.open_table("findings").search().to_batches(batch_size=_AT_ONCE):
            yield from map(_finding, batch.to_pylist())

    def replace_findings(self, findings: Iterable[Finding]) -> None:
        """Put findings in place of all others, in one commit; they need not fit into memory."""
        replace(self._store, "findings", pa.RecordBatchReader.from_batches(_FINDINGS, _batches(findings)))

    def evidence(self) -> dict[str, ExtractionEvidence]:
        """What the last run knew of each extraction without any reference, by its id."""
        return {
            row["extraction_id"]: ExtractionEvidence(
                **{**row, "recipes_agreeing": tuple(row["recipes_agreeing"])}
            )
            for row in self._rows("evidence").to_pylist()
        }

    def replace_evidence(self, evidence: Iterable[ExtractionEvidence]) -> None:
        """Put a run's evidence in place of the run's before, in one commit."""
        replace(
            self._store,
            "evidence",
            pa.Table.from_pylist([asdict(one) for one in evidence], schema=_EVIDENCE),
        )

    def occurrences(self, finding_id: str | None = None) -> list[Occurrence]:
        """Where findings were seen, by finding and occurrence; of one finding only, if asked."""
        rows = self._rows(
            "occurrences", among("finding_id", [finding_id]) if finding_id is not None else None
        )
        ordered = rows.sort_by([("finding_id", "ascending"), ("id", "ascending")])
        return [Occurrence(**row) for row in ordered.to_pylist()]

    def replace_occurrences(self, occurrences: Iterable[Occurrence]) -> None:
        """Put a run's occurrences in place of the run's before, in one commit."""
        rows = [asdict(one) for one in occurrences]
        replace(self._store, "occurrences", pa.Table.from_pylist(rows, schema=_OCCURRENCES))

    def forget(
        self,
        *,
        extractions: Collection[str] = (),
        findings: Collection[str] = (),
        set_name: str | None = None,
    ) -> None:
        """Erase from the disk too what is known of extractions, of findings, and of matches with a set."""
        sets = [set_name] if set_name else []
        for table, columns, column, values in (
            ("matches", _MATCHES, "extraction_id", extractions),
            ("matches", _MATCHES, "set_name", sets),
            ("evidence", _EVIDENCE, "extraction_id", extractions),
            ("occurrences", _OCCURRENCES, "extraction_id", extractions),
            ("occurrences", _OCCURRENCES, "finding_id", findings),
            ("findings", _FINDINGS, "id", findings),
        ):
            erase_rows(self._store, table, columns, column, values)

    def last_run(self) -> Run | None:
        """The last matching that came to its end."""
        with self.engine.connect() as db:
            row = db.execute(select(runs).order_by(runs.c.number.desc()).limit(1)).mappings().first()
        return Run(**row) if row else None

    def put_run(self, db: Connection, run: Run) -> None:
        """Write a run in the caller's transaction, in place of an earlier one of the same number."""
        upsert(db, runs, [asdict(run)])

    def _rows(self, table: str, where: str | None = None) -> pa.Table:
        query = self._store.open_table(table).search()
        return (query.where(where) if where else query).to_arrow()


def _match(row: dict[str, Any]) -> Match:
    return Match(**{name: row[name] for name in _OF_A_MATCH})


def _batches(findings: Iterable[Finding]) -> Iterator[pa.RecordBatch]:
    remaining = iter(findings)
    while part := list(islice(remaining, _AT_ONCE)):
        yield pa.RecordBatch.from_pylist([_finding_row(one) for one in part], schema=_FINDINGS)


def _finding_row(one: Finding) -> dict[str, Any]:
    return {
        **{name: getattr(one, name) for name in _OF_A_FINDING},
        **{name: getattr(one.match, name) for name in _OF_A_MATCH},
        "id": one.id,
        "severity": one.severity.label,
        "state": str(one.state),
    }


def _finding(row: dict[str, Any]) -> Finding:
    return Finding(
        **{
            **{name: row[name] for name in _OF_A_FINDING},
            "match": _match(row),
            "severity": Severity[row["severity"].upper()],
            "state": FindingState(row["state"]),
            "checkpoint_ids": tuple(row["checkpoint_ids"]),
        }
    )
