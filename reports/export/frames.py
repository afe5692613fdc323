"""The stores' records as three typed frames: what every other export is made from."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from crawler.checkpoint import Checkpoint, Skip
from reports.coverage import UNPLANNED
from reports.export.columns import CHECKPOINTS, EXTRACTIONS, FINDINGS, PANDAS, Column
from reports.export.links import hub_page
from reports.finding import ExtractionEvidence, Finding, FindingState, ReportError, Severity
from reports.findings.ladder import counts
from reports.rates.leakage import counted
from scanner.job import LedgerRow, State

Row = dict[str, Any]

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

_OTHERS = (
    "p_value",
    "others",
    "others_same_base",
    "others_as_near",
    "others_similarity",
    "others_pdq_distance",
    "others_phash_distance",
)
"""Of a match: what wrong checkpoints reach."""

_DECIDES = (State.DONE, State.QUARANTINED, State.FAILED, State.LEASED, State.QUEUED, State.SKIPPED)
"""The first of these states that a job has is its checkpoint's: one scan that is done makes it scanned."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def frame(rows: Iterable[Row], columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return rows as a frame with exactly these columns and types; what a row lacks is null.

    A lone surrogate, which JSON can carry and UTF-8 cannot, becomes U+FFFD.
    """
    whole = [{column.name: _clean(row.get(column.name)) for column in columns} for row in rows]
    untyped = pd.DataFrame(whole, columns=[column.name for column in columns])
    return untyped.astype({column.name: PANDAS[column.type] for column in columns})


def identity(record: Checkpoint | Skip, hubs: Mapping[str, str]) -> Row:
    """Return the columns that say which checkpoint a row is about."""
    return {
        "checkpoint_id": f"{record.hub}:{record.repo}@{record.revision}:{record.path}",
        "hub": str(record.hub),
        "repo": record.repo,
        "revision": record.revision,
        "path": record.path,
        "url": hub_page(hubs, record.hub, record.repo, record.revision, record.path),
        "family": record.family,
        "kind": str(record.kind) if record.kind else None,
    }


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


def findings_frame(
    findings: Sequence[Finding],
    extractions: pd.DataFrame,
    checkpoints: Mapping[str, Checkpoint],
    hubs: Mapping[str, str],
) -> pd.DataFrame:
    """Return the findings, strongest first: those that count, those explained, those that are gone.

    Weights that were published more than once have one finding, with its id, and one row for each place.
    """
    evidence = {row["extraction_id"]: row for row in extractions.to_dict("records")}
    rows = []
    for finding in sorted(findings, key=_weakness):
        extraction = evidence.get(finding.match.extraction_id, {})
        places = finding.checkpoint_ids or (finding.match.checkpoint_id,)
        for place in places:
            checkpoint = checkpoints.get(place)
            known = identity(checkpoint, hubs) if checkpoint else {"checkpoint_id": place}
            rows.append({**_evidence(extraction), **_finding(finding), **known, "places": len(places)})
    return frame(rows, FINDINGS)


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


def _clean(value: Any) -> Any:
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def _weakness(finding: Finding) -> tuple[float | str, ...]:
    """Sort key, strongest first: whether it counts, severity, likeness, nearness of the hashes."""
    match = finding.match
    return (
        float(finding.state is FindingState.GONE),
        float(finding.explained_by_base or finding.explained_by_others),
        -float(finding.severity),
        -match.similarity if match.similarity is not None else 2.0,
        float(match.pdq_distance if match.pdq_distance is not None else 256),
        float(match.phash_distance if match.phash_distance is not None else 64),
        finding.id,
    )


def _finding(finding: Finding) -> Row:
    match = finding.match
    return {
        "id": finding.id,
        "severity": finding.severity.label,
        "state": str(finding.state),
        "rule": finding.rule,
        "counts": counts(finding),
        "explained_by_base": finding.explained_by_base,
        "explained_by_others": finding.explained_by_others,
        "checkpoint_sha256": finding.checkpoint_sha256,
        "set": match.set_name,
        "ref_id": match.ref_id,
        "extraction_id": match.extraction_id,
        "similarity": match.similarity,
        "control_similarity": match.control_similarity,
        "descriptor": match.descriptor,
        "pdq_distance": match.pdq_distance,
        "phash_distance": match.phash_distance,
        "control_pdq_distance": match.control_pdq_distance,
        "control_phash_distance": match.control_phash_distance,
        **{name: getattr(match, name) for name in _OTHERS},
        "mirrored": match.mirrored,
        "occurrences": finding.occurrences,
        "first_seen": finding.first_seen or None,
        "last_seen": finding.last_seen or None,
    }


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


def _evidence(extraction: Mapping[Hashable, Any]) -> Row:
    """Return what a finding shows of its extraction; nothing when the extraction is gone."""
    names = ("cluster_size", "cohesion", "seed", "prompt_origin", "recipe_id")
    return {name: extraction.get(name) for name in names}


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
