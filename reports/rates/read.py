"""Rates from the stores: what the table needs beside the report, read for it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from crawler.catalog.samples import kept, weights
from reports.findings.store import FindingStore
from reports.rates.accuracy import Sensitivity, decoy_hits
from reports.rates.facts import read_facts
from reports.rates.rate import RateTable
from reports.rates.table import EACH, Cluster, Drawn, rate_table
from reports.report import Report
from reports.settings import ReportsSettings


def read_rates(
    report: Report,
    engine: Engine,
    store: FindingStore,
    *,
    by: Sequence[Sequence[str]] = EACH,
    sample: str | None = None,
    sensitivity: Sensitivity | None = None,
    cluster: Cluster = "auto",
) -> RateTable:
    """Return the table of a report, with the catalog's facts and the decoys of the last run.

    Args:
        engine: of the catalog.
        sample: its name in the catalog; None counts all checkpoints, without weights.

    Raises:
        SelectionError: there is no such sample.
        ReportError: there is no such group.
    """
    run = store.last_run()
    hits = None
    if run is not None:
        settings = ReportsSettings.model_validate_json(run.settings)
        hits = decoy_hits(store.matches(decoys=True), settings, report.fail_on)
    drawn = None
    if sample is not None:
        drawn = Drawn(name=sample, sample=kept(engine, sample), weights=weights(engine, sample))
    return rate_table(
        report,
        by=by,
        facts=read_facts(engine),
        decoy_hits=hits,
        unmatched=_unmatched(report) if run is not None else (),
        drawn=drawn,
        sensitivity=sensitivity,
        cluster=cluster,
    )


def _unmatched(report: Report) -> frozenset[str]:
    """Ids of the checkpoints with an extraction that came after the last matching.

    A matching leaves evidence of every extraction that it saw, and `shared` is a part of it.
    """
    new = report.extractions["shared"].isna()
    return frozenset(report.extractions.loc[new, "checkpoint_id"])
