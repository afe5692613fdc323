"""The demo's truth table: what counts as found, and what as false."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from leaksweep.demo.truth import read_truth, table, write_truth
from leaksweep.home import Home
from leaksweep.run import Run
from leaksweep.settings import load
from leaksweep.stores import opened
from leaksweep.zoo.catalogue import DECOYS, ZOO, picture, planted
from leaksweep.zoo.stock import where
from reports.finding import Finding, FindingState, Match, Severity
from reports.findings.ladder import Verdict
from reports.findings.states import Judged

TUNES = {tune.name: tune for tune in ZOO}


def match(tune: str, picture_name: str, *, set_name: str = "planted", similarity: float = 0.99) -> Match:
    hub, repo = where(TUNES[tune])
    return Match(
        extraction_id=f"{tune}-000",
        checkpoint_id=f"{hub}:{repo}@r:w",
        set_name=set_name,
        ref_id=f"{picture_name}.png",
        similarity=similarity,
        descriptor="thumbnail16@1",
        pdq_distance=None,
        phash_distance=None,
        control_similarity=0.0,
        mirrored=False,
    )


def finding(
    tune: str, picture_name: str, severity: Severity = Severity.HIGH, explained: bool = False
) -> Finding:
    return Finding(
        match=match(tune, picture_name),
        severity=severity,
        state=FindingState.NEW,
        rule="thumbnail>=0.9",
        checkpoint_sha256=None,
        explained_by_base=explained,
    )


def run_at(home: Path, findings: list[Finding], decoyed: list[Match]) -> Run:
    run = Run(loaded=load(None, {"home": str(home)}), home=Home(home), as_json=True, quiet=True)
    verdict = Verdict(severity=Severity.HIGH, rule="thumbnail>=0.9", explained_by_base=False)
    with opened(run) as stores:
        stores.findings.replace_findings(findings)
        stores.findings.replace_matches([Judged(one, verdict) for one in decoyed], frozenset({"decoys"}))
    return run


@pytest.fixture
def rows(tmp_path: Path):
    ours = [
        finding("lora-over", "drawing-050"),
        finding("lora-over", "drawing-051"),
        finding("lora-over", "drawing-010"),  # planted, but in another checkpoint
        finding("lora-over", "drawing-052", Severity.MEDIUM),  # too weak to count
        finding("lora-over", "drawing-053", explained=True),  # the base gives it as well
        finding("full-clean", "drawing-050"),
    ]
    decoyed = [match("lora-kohya", DECOYS[0], set_name="decoys")]
    baseline = run_at(tmp_path / "baseline", [finding("lora-over", "drawing-050")], [])
    return {row.checkpoint: row for row in read_truth(run_at(tmp_path / "ours", ours, decoyed), baseline)}


def test_a_picture_counts_for_the_checkpoint_it_was_planted_in(rows):
    over = rows["lora-over"]
    assert (over.planted, over.found_plain, over.found, over.findings, over.false_findings) == (4, 1, 2, 3, 1)


def test_findings_on_the_clean_checkpoint_and_decoys_are_false(rows):
    assert (rows["full-clean"].planted, rows["full-clean"].false_findings) == (0, 1)
    assert (rows["lora-kohya"].findings, rows["lora-kohya"].false_findings) == (0, 1)


def test_the_table_has_a_row_for_each_checkpoint_and_the_sums(rows, tmp_path: Path):
    lines = table(list(rows.values())).splitlines()
    assert len(lines) == len(ZOO) + 2
    assert lines[-1].split()[:6] == ["all", str(len(list(planted()))), "1", "2", "4", "3"]
    write_truth(list(rows.values()), tmp_path / "truth.csv")
    assert list(pd.read_csv(tmp_path / "truth.csv").columns) == [
        *("checkpoint", "kind", "planted", "found_plain", "found", "findings", "false_findings", "seconds")
    ]


def test_no_decoy_was_planted_anywhere():
    names = [name for _, name in planted()]
    assert len(names) == len(set(names))
    assert not set(DECOYS) & {name for tune in ZOO for name in tune.pictures}
    assert picture("astronaut").size == picture("drawing-010").size == (64, 64)
