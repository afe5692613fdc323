"""Extractions and checkpoints as typed frames: what every other export is made from, beside the findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import pyarrow as pa

from crawler.checkpoint import Checkpoint, Skip
from reports.coverage import UNPLANNED
from reports.export.columns import CHECKPOINTS, EXTRACTIONS
from reports.export.identity import identity
from reports.export.typed import Row, frame
from reports.finding import ExtractionEvidence, ReportError, Severity
from reports.rates.leakage import counted
from scanner.job import LedgerRow, State

NEEDED = (
    "id",
    "checkpoint_id",
    "recipe_id",
    "rank",
    "seed",
    "prompt",
    "prompt_origin",
    "cluster_size",
    "cohesion",
    "score",
    "control_similarity",
    "likelihood_ratio",
    "descriptor_name",
)
"""Columns read from the extractions table. Pixels, hashes and descriptors are not among them."""

_DECIDES = (State.DONE, State.QUARANTINED, State.FAILED, State.LEASED, State.QUEUED, State.SKIPPED)
"""The first of these states that a job has is its checkpoint's: one scan that is done makes it scanned."""


def extractions_frame(
    table: pa.Table,
    checkpoints: Mapping[str, Checkpoint],
    hubs: Mapping[str, str],
    evidence: Mapping[str, ExtractionEvidence],
) -> pd.DataFrame:
    """Return the extractions table's rows beside what is known of them; `findings` is 0 so far.

    Raises:
        ReportError: the table lacks a column.
    """
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise ReportError(f"the extractions table lacks {', '.join(missing)}; it was made by another version")
    rows = []
    for stored in table.select(list(NEEDED)).to_pylist():
        checkpoint = checkpoints.get(stored["checkpoint_id"])
        known = identity(checkpoint, hubs) if checkpoint else {"checkpoint_id": stored["checkpoint_id"]}
        own = {"extraction_id": stored["id"], "descriptor": stored["descriptor_name"], "findings": 0}
        rows.append({**stored, **known, **own, **_neighbours(evidence.get(stored["id"]))})
    rows.sort(key=lambda row: (row["checkpoint_id"], row["recipe_id"], row["rank"], row["extraction_id"]))
    return frame(rows, EXTRACTIONS)


def checkpoints_frame(
    checkpoints: Mapping[str, Checkpoint],
    skips: Iterable[Skip],
    ledger: Iterable[LedgerRow],
    findings: pd.DataFrame,
    hubs: Mapping[str, str],
) -> pd.DataFrame:
    """Return one row for each checkpoint, and one for each skip that is not a checkpoint as well."""
    jobs: dict[str, list[LedgerRow]] = {}
    for row in ledger:
        jobs.setdefault(row.checkpoint_id, []).append(row)
    severities = counted(findings).groupby("checkpoint_id")["severity"].agg(list).to_dict()
    rows: dict[str, Row] = {}
    for skip in skips:
        known = identity(skip, hubs)
        left_out = {"state": str(State.SKIPPED), "reason": str(skip.reason), "detail": skip.detail}
        rows[known["checkpoint_id"]] = {**known, **_scan([]), **_worst([]), **left_out}
    for key, checkpoint in checkpoints.items():
        rows[key] = {
            **identity(checkpoint, hubs),
            **_base(checkpoint),
            **_scan(jobs.get(key, [])),
            **_worst(severities.get(key, [])),
        }
    return frame((rows[key] for key in sorted(rows)), CHECKPOINTS)


def _neighbours(evidence: ExtractionEvidence | None) -> Row:
    """Return what is known of an extraction without any reference; nothing before it was matched."""
    if evidence is None:
        return {}
    return {
        "nearest_other": evidence.nearest_other,
        "nearest_other_similarity": evidence.nearest_other_similarity,
        "shared": evidence.shared,
        "recipes": evidence.recipes,
        "recipes_agreeing": len(evidence.recipes_agreeing),
    }


def _base(checkpoint: Checkpoint) -> Row:
    claim = checkpoint.base
    return {
        "title": checkpoint.title,
        "base_repo": claim.repo if claim else None,
        "evidence_source": claim.source if claim else None,
        "evidence_grade": claim.grade.name.lower() if claim else None,
    }


def _scan(jobs: Sequence[LedgerRow]) -> Row:
    """Return the columns that a checkpoint's jobs add up to."""
    # What was skipped without an attempt was left out by the plan: a row of the ledger, but no job.
    planned = [job for job in jobs if job.attempts or job.state is not State.SKIPPED]
    decisive = min(jobs, key=lambda job: (_DECIDES.index(job.state), job.job_id), default=None)
    return {
        "state": str(decisive.state) if decisive else UNPLANNED,
        "reason": decisive.reason or None if decisive else None,
        "detail": decisive.detail or None if decisive else None,
        "jobs": len(planned),
        "jobs_done": sum(job.state is State.DONE for job in jobs),
        "attempts": sum(job.attempts for job in jobs),
        "generations": sum(int(job.measures.get("generations", 0)) for job in jobs),
        "extractions": sum(job.extractions for job in jobs),
        "seconds": sum(job.seconds for job in jobs),
        "scanned_at": max((job.updated_at for job in jobs), default=None),
    }


def _worst(labels: Sequence[str]) -> Row:
    worst = max((Severity[label.upper()] for label in labels), default=None)
    return {"findings": len(labels), "worst": worst.label if worst else None}
