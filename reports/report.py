"""The report: a pure function of what the stores hold, and the files it is written to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from crawler.checkpoint import Checkpoint, Skip
from extraction.recipe import Recipe
from reports.coverage import Coverage, coverage
from reports.export.frames import checkpoints_frame, extractions_frame
from reports.export.links import PUBLIC
from reports.export.ranked import RankedFindings
from reports.finding import ExtractionEvidence, Finding, FindingState, Severity
from reports.rates.leakage import (
    FalsePositives,
    Leakage,
    at_least,
    counted,
    false_positives,
    leakage,
    total_leakage,
)
from reports.settings import ReportsSettings
from reports.summary import MatchSummary
from scanner.job import LedgerRow

if TYPE_CHECKING:
    from reports.rates.rate import RateTable


class ExitCode(IntEnum):
    """What a report means to the shell that asked for it."""

    CLEAN = 0
    FINDINGS = 1
    """At or above the severity that fails a run."""
    INCOMPLETE = 2
    """Something planned failed or is not done. Wins over the others: silence would look like a clean bill."""
    NOTHING_SCANNED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is shown, in typed frames; nothing here reads a store, a clock or a network."""

    ranked: RankedFindings
    extractions: pd.DataFrame
    """As `reports.export.columns.EXTRACTIONS`; likewise the next."""
    checkpoints: pd.DataFrame
    matching: MatchSummary | None
    """Of the last matching; None when there was none."""
    settings: ReportsSettings
    recipe: Recipe
    """Of the last scan; extractions of earlier recipes are in the frames too, under their own id."""
    descriptor: str
    generated_at: datetime
    """UTC."""
    version: str
    baseline: str = ""
    """Name of the file that states are told against; empty: the run before."""
    rates: RateTable | None = None
    """With what only the stores tell: ages, contents, matches with decoys; None: not read."""

    @property
    def findings(self) -> pd.DataFrame:
        """All findings as one frame, strongest first, made anew at every call: for notebooks.

        It takes some 1 KB a row; `ranked` counts them and shows them in parts.
        """
        return pd.concat(self.ranked.parts(), ignore_index=True)

    @property
    def fail_on(self) -> Severity:
        return self.settings.fail_severity

    @property
    def false_positives(self) -> FalsePositives | None:
        """None when it was not measured, which the page says."""
        return false_positives(self.matching, self.fail_on) if self.matching else None

    @property
    def coverage(self) -> Coverage:
        return coverage(self.checkpoints)

    @property
    def by_group(self) -> tuple[Leakage, ...]:
        """Leakage by family and kind, at `fail_on` or above."""
        return leakage(self.checkpoints, self.ranked.standing, self.fail_on)

    @property
    def total(self) -> Leakage:
        return total_leakage(self.checkpoints, self.ranked.standing, self.fail_on)

    @property
    def by_severity(self) -> dict[Severity, int]:
        """Findings that count, strongest first. Weights that were published more than once count once."""
        counts = counted(self.ranked.each)["severity"].value_counts()
        return {severity: int(counts.get(severity.label, 0)) for severity in reversed(Severity)}

    @property
    def failing(self) -> int:
        """Findings that make the exit code 1: with a baseline only those that are new or changed since."""
        found = counted(self.ranked.each)
        if self.baseline:
            found = found[found["state"].isin([FindingState.NEW, FindingState.CHANGED])]
        return int(at_least(found, self.fail_on).sum())

    @property
    def deaf(self) -> bool:
        """Whether the matching missed a canary: then what it did not find proves nothing."""
        return self.matching is not None and bool(self.matching.canaries.missed)

    @property
    def exit_code(self) -> ExitCode:
        covered = self.coverage
        if not covered.complete or self.deaf:
            return ExitCode.INCOMPLETE
        if self.failing:
            return ExitCode.FINDINGS
        return ExitCode.CLEAN if covered.scanned else ExitCode.NOTHING_SCANNED


def build_report(
    *,
    checkpoints: Iterable[Checkpoint],
    skips: Iterable[Skip],
    ledger: Iterable[LedgerRow],
    extractions: pa.Table,
    findings: Iterable[Finding],
    matching: MatchSummary | None,
    settings: ReportsSettings,
    recipe: Recipe,
    descriptor: str,
    generated_at: datetime,
    version: str,
    hubs: Mapping[str, str] = PUBLIC,
    labels: Mapping[str, str] = MappingProxyType({}),
    evidence: Mapping[str, ExtractionEvidence] = MappingProxyType({}),
    baseline: str = "",
) -> Report:
    """Put the stores' records together; the same records give the same report, byte for byte.

    Args:
        findings: in any order; they are asked for once, one by one.
        extractions: the extractions table without its pixels; see `reports.export.frames.NEEDED`.
        descriptor: name and maker, such as "sscd_disc_mixup@onnx-int8".
        generated_at: UTC.
        hubs: pages for people by hub; empty when the run did not speak to the public hubs.
        evidence: by extraction id, as the match stage wrote it.
        labels: what reviewers have settled of findings, by id.
        baseline: name of the file that the findings' states are told against; empty: the run before.

    Raises:
        ReportError: the extractions table lacks a column.
    """
    known = {checkpoint.id: checkpoint for checkpoint in checkpoints}
    extracted = extractions_frame(extractions, known, hubs, evidence)
    ranked = RankedFindings(findings, extracted, known, hubs, labels)
    resting = counted(ranked.each)["extraction_id"].value_counts()
    counts = extracted["extraction_id"].map(resting).fillna(0).astype("Int64")
    return Report(
        ranked=ranked,
        extractions=extracted.assign(findings=counts),
        checkpoints=checkpoints_frame(known, skips, ledger, ranked.standing, hubs),
        matching=matching,
        settings=settings,
        recipe=recipe,
        descriptor=descriptor,
        generated_at=generated_at,
        version=version,
        baseline=baseline,
    )
