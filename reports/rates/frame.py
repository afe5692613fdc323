"""The table of rates as a typed frame, for exports and notebooks."""

from __future__ import annotations

from math import isfinite
from typing import Any

import pandas as pd

from reports.export.typed import Row, frame
from reports.rates.accuracy import FalseFindings, Sensitivity
from reports.rates.columns import RATES
from reports.rates.correction import Correction
from reports.rates.estimate import Estimate
from reports.rates.rate import Origin, Rate, RateTable
from reports.rates.sentence import sentence


def rates_frame(table: RateTable) -> pd.DataFrame:
    """Return one row for each rate, with the columns of `reports.rates.columns.RATES`, the total first."""
    return frame((_row(rate, table) for rate in table.rates), RATES)


def _row(rate: Rate, table: RateTable) -> Row:
    return {
        "by": ",".join(rate.group),
        **rate.group,
        "severity": table.severity.label,
        "leaked": rate.leaked,
        **{str(fate): number for fate, number in rate.fates.items()},
        "skipped_by_reason": ", ".join(f"{name} {count}" for name, count in rate.skipped_by_reason.items())
        or None,
        **(_estimate(rate.estimate) if rate.estimate else {}),
        **_pair("bound", rate.bounds),
        **_correction(rate.correction),
        **_accuracy(table.false_findings, table.sensitivity),
        "sample": table.sample,
        **(_origin(table.origin) if table.origin else {}),
        "sentence": sentence(rate, table),
    }


def _estimate(one: Estimate) -> dict[str, Any]:
    return {
        "rate": one.value,
        "low": one.low,
        "high": one.high,
        "method": one.method,
        # JSON has no infinity.
        "effective_size": one.effective_size if isfinite(one.effective_size) else None,
        "kish_size": one.kish_size,
        "clusters": one.clusters,
        "population": one.population,
    }


def _origin(one: Origin) -> dict[str, Any]:
    return {
        "version": one.version,
        "generated_at": one.generated_at.isoformat(timespec="seconds"),
        "run": one.run,
        "recipe_id": one.recipe_id,
    }


def _correction(one: Correction | str) -> dict[str, Any]:
    if isinstance(one, str):
        return {"not_corrected": one}
    return {
        "corrected": one.value,
        **_pair("corrected", (one.low, one.high)),
        "clipped": one.raw if one.clipped else None,
    }


def _accuracy(wrong: FalseFindings | str, sensitivity: Sensitivity | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if not isinstance(wrong, str):
        row = {"false_positive_rate": wrong.value, "false_positive_source": wrong.source}
        row |= _pair("false_positive", wrong.interval)
    if sensitivity is not None:
        row |= {"sensitivity": sensitivity.value, "sensitivity_source": sensitivity.source}
        row |= {"sensitivity_low": sensitivity.low, "sensitivity_high": sensitivity.high}
    return row


def _pair(name: str, ends: tuple[float, float] | None) -> dict[str, float]:
    return {f"{name}_low": ends[0], f"{name}_high": ends[1]} if ends else {}
