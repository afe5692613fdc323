"""Rates from the stores: decoys of the last run, judged by the settings that it ran with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes_home import opened_home
from fakes_reports import a_checkpoint, a_finding, a_matching, a_report, a_set
from fakes_swept import SETTINGS, scan, swept_home

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.catalog.selection import SelectionError
from leaksweep import rates as leaksweep_rates
from reports.finding import ExtractionEvidence, Severity
from reports.findings.ladder import Verdict
from reports.findings.states import Judged
from reports.findings.store import FindingStore, Run
from reports.rates.accuracy import FalseFindings
from reports.rates.rate import RateTable
from reports.rates.read import read_rates
from reports.rates.units import Fate
from reports.settings import ReportsSettings


@pytest.fixture
def engine(tmp_path: Path):
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    Catalog(engine).create()
    yield engine
    engine.dispose()


MATCHING = a_matching(a_set("watchlist", pairs=300), a_set("decoys", decoy=True, pairs=100))


def evidence(extraction_id: str) -> ExtractionEvidence:
    return ExtractionEvidence(
        extraction_id=extraction_id,
        nearest_other=None,
        nearest_other_similarity=None,
        shared=False,
        recipes=1,
        recipes_agreeing=(),
    )


def test_decoys_of_the_last_run_correct_the_rate(engine, tmp_path: Path) -> None:
    checkpoints = [a_checkpoint(f"owner{number}/lora") for number in range(10)]
    store = FindingStore(tmp_path / "findings", engine)
    seen = {f"{one.key}-0": evidence(f"{one.key}-0") for one in checkpoints}
    report = a_report(checkpoints, findings=[a_finding(checkpoints[0])], matching=MATCHING, evidence=seen)
    assert read_rates(report, engine, store).false_findings == "the matches with decoys were not read"

    verdict = Verdict(severity=Severity.HIGH, rule="x", explained_by_base=False)
    matches = [
        replace(a_finding(one).match, set_name=name, similarity=likeness)
        for one, name, likeness in (
            (checkpoints[0], "watchlist", 0.9),
            (checkpoints[1], "decoys", 0.9),
            (checkpoints[2], "decoys", 0.55),
        )
    ]
    weak = [replace(one, pdq_distance=None, phash_distance=None) for one in matches]
    store.replace_matches([Judged(one, verdict) for one in weak], frozenset({"decoys"}))
    run = Run(
        number=1,
        name="",
        finished_at="2026-11-24T03:00:00+00:00",
        settings=ReportsSettings(decoys=("decoys",)).model_dump_json(),
        summary=json.dumps(MATCHING.as_dict()),
    )
    with engine.begin() as db:
        store.put_run(db, run)
    table = read_rates(report, engine, store, by=[("family",)])
    assert table.false_findings == FalseFindings(hit=1, of=10, decoys=100, references=300)
    assert table.total.correction.raw == pytest.approx((0.1 - (1 - 0.9**3)) / 0.9**3)
    with pytest.raises(SelectionError, match="no sample 'june'"):
        read_rates(report, engine, store, sample="june")


def test_what_was_scanned_after_the_matching_is_open_and_not_clean(tmp_path: Path) -> None:
    swept = swept_home(tmp_path / "home")
    before = rates_of(swept.run)
    assert (before.total.leaked, before.total.scanned, before.total.missing) == (2, 3, 0)
    with opened_home(swept.root, **SETTINGS) as stores:
        scan(stores, ("later",))
    after = rates_of(swept.run)
    assert (after.total.leaked, after.total.scanned, after.total.fates[Fate.OPEN]) == (2, 3, 1)
    assert after.total.bounds == (0.5, 0.75)


def rates_of(run) -> RateTable:
    return leaksweep_rates.read(
        run, by=[], sample=None, sensitivity=None, cluster="none", fail_on=None, now=datetime.now(UTC)
    )
