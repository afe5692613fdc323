"""Rates from the stores: decoys of the last run, judged by the settings that it ran with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_reports import a_checkpoint, a_finding, a_matching, a_report, a_set

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.catalog.selection import SelectionError
from reports.finding import Severity
from reports.findings.ladder import Verdict
from reports.findings.states import Judged
from reports.findings.store import FindingStore, Run
from reports.rates.accuracy import FalseFindings
from reports.rates.read import read_rates
from reports.settings import ReportsSettings


@pytest.fixture
def engine(tmp_path: Path):
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    Catalog(engine).create()
    yield engine
    engine.dispose()


MATCHING = a_matching(a_set("watchlist", pairs=300), a_set("decoys", decoy=True, pairs=100))


def test_decoys_of_the_last_run_correct_the_rate(engine, tmp_path: Path) -> None:
    checkpoints = [a_checkpoint(f"owner{number}/lora") for number in range(10)]
    store = FindingStore(tmp_path / "findings", engine)
    report = a_report(checkpoints, findings=[a_finding(checkpoints[0])], matching=MATCHING)
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
