"""Jobs and what became of them as the ledger's rows, and back."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from crawler.catalog.rows import storable
from crawler.checkpoint import Skip
from scanner.job import Job, LedgerRow, Outcome, State

job_json: TypeAdapter[Job] = TypeAdapter(Job)


def job_row(job: Job, position: int, now: float) -> dict[str, Any]:
    """The row of a job that waits at a place of the plan."""
    return {
        "job_id": job.id,
        "checkpoint_id": job.checkpoint.id,
        "recipe_id": job.recipe.id,
        "position": position,
        "state": State.QUEUED,
        "attempts": 0,
        "reason": "",
        "detail": "",
        "started": False,
        "seconds": 0.0,
        "extractions": 0,
        "measures": {},
        "job": job_json.dump_python(job, mode="json"),
        "updated_at": now,
    }


def skip_row(skip: Skip, recipe_id: str, now: float) -> dict[str, Any]:
    """The row of what a recipe's plan left out."""
    checkpoint_id = f"{skip.hub}:{skip.repo}@{skip.revision}:{skip.path}"
    return {
        "job_id": hashlib.sha256(f"{checkpoint_id}\x1f{recipe_id}".encode()).hexdigest()[:16],
        "checkpoint_id": checkpoint_id,
        "recipe_id": recipe_id,
        "reason": skip.reason,
        "detail": storable(skip.detail),
        "updated_at": now,
    }


def ended(outcome: Outcome, now: float) -> dict[str, Any]:
    """What an outcome changes in its job's row, but for the state. Details may quote a stranger's file."""
    return {
        "owner": None,
        "lease_until": None,
        "reason": outcome.reason,
        "detail": storable(outcome.detail),
        "seconds": outcome.seconds,
        "extractions": len(outcome.extractions),
        "measures": _finite(outcome.measures or {}),
        "updated_at": now,
    }


def ledger_row(row: RowMapping) -> LedgerRow:
    """The record of a row of `jobs`, or of `plan_skips`, which has fewer columns."""
    return LedgerRow(
        job_id=row["job_id"],
        checkpoint_id=row["checkpoint_id"],
        recipe_id=row["recipe_id"],
        state=State(row.get("state", State.SKIPPED)),
        reason=row["reason"],
        detail=row["detail"],
        attempts=row.get("attempts", 0),
        seconds=row.get("seconds", 0.0),
        extractions=row.get("extractions", 0),
        measures=row.get("measures", {}),
        updated_at=datetime.fromtimestamp(row["updated_at"], UTC).isoformat(timespec="seconds"),
    )


def _finite(value: Any) -> Any:
    """The value without what JSON has no word for: a measure that is no number is None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
