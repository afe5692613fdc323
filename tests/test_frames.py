from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fakes_reports import (
    a_checkpoint,
    a_finding,
    a_hostile_report,
    a_job,
    a_report,
    a_skip,
    an_extraction,
    extractions_table,
)

from crawler.checkpoint import SkipReason
from reports.coverage import MEANINGS, UNPLANNED
from reports.export.columns import PANDAS, TABLES, markdown
from reports.export.frames import NEEDED, extractions_frame
from reports.export.links import PUBLIC
from reports.finding import FindingState, ReportError, Severity
from scanner.extraction_rows import EXTRACTION_SCHEMA
from scanner.job import State

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "report", [a_report(), a_report([a_checkpoint()]), a_hostile_report()], ids=["empty", "one", "hostile"]
)
def test_every_frame_has_the_documented_columns_and_types(report):
    for name, columns in TABLES.items():
        types = {column.name: PANDAS[column.type] for column in columns}
        assert {key: str(dtype) for key, dtype in getattr(report, name).dtypes.items()} == types


def test_the_document_shows_the_columns_as_they_are():
    document = (ROOT / "docs" / "exports.md").read_text("utf-8")
    for columns in TABLES.values():
        assert markdown(columns) in document


def test_no_column_could_hold_a_hash_or_a_descriptor_or_pixels():
    names = {column.name for columns in TABLES.values() for column in columns}
    assert not names & {"pdq", "phash", "hash", "vector", "pixels", "descriptors", "image"}
    text = [column.name for columns in (TABLES["findings"], TABLES["checkpoints"]) for column in columns]
    assert "prompt" not in text


def test_every_skip_reason_has_a_meaning():
    assert set(MEANINGS) == set(SkipReason)


def test_findings_that_count_come_first_and_strongest_first():
    checkpoint = a_checkpoint()
    findings = [
        a_finding(checkpoint, "gone", Severity.CRITICAL, state=FindingState.GONE),
        a_finding(checkpoint, "withdrawn", Severity.CRITICAL, state=FindingState.WITHDRAWN),
        a_finding(checkpoint, "suppressed", Severity.CRITICAL, state=FindingState.SUPPRESSED),
        a_finding(checkpoint, "explained", Severity.CRITICAL, explained_by_base=True),
        a_finding(checkpoint, "low", Severity.LOW),
        a_finding(checkpoint, "near", Severity.HIGH, similarity=0.9),
        a_finding(checkpoint, "nearer", Severity.HIGH, similarity=0.95),
        a_finding(checkpoint, "by hash", Severity.HIGH, similarity=None, pdq_distance=2),
    ]
    report = a_report([checkpoint], findings=findings)
    counted = ["nearer", "near", "by hash", "low"]
    assert report.findings["ref_id"].tolist() == [*counted, "explained", "suppressed", "withdrawn", "gone"]
    assert report.findings["counts"].tolist() == [True] * 4 + [False] * 4
    assert report.checkpoints["findings"].tolist() == [4]
    assert report.checkpoints["worst"].tolist() == ["high"]
    assert report.extractions["findings"].tolist() == [4]


def test_a_finding_carries_the_evidence_of_its_extraction():
    checkpoint = a_checkpoint()
    row = a_report([checkpoint], findings=[a_finding(checkpoint)]).findings.iloc[0]
    stored = an_extraction(checkpoint)
    assert row["seed"] == stored["seed"]
    assert row["cluster_size"] == stored["cluster_size"]
    assert row["cohesion"] == pytest.approx(stored["cohesion"])
    assert row["recipe_id"] == stored["recipe_id"]
    assert row["prompt_origin"] == "instance_prompt"
    assert row["url"] == "https://huggingface.co/mira/harbour-lora/blob/5f2e6c1d/weights.safetensors"


def test_findings_come_in_parts_that_make_the_same_table():
    checkpoints = [a_checkpoint(f"mira/{n}") for n in range(5)]
    ids = tuple(checkpoint.id for checkpoint in checkpoints[:2])
    findings = [a_finding(one, f"{n}.jpg", checkpoint_ids=ids[:n]) for n, one in enumerate(checkpoints)]
    report = a_report(checkpoints, findings=findings)
    parts = list(report.ranked.parts(at_once=3))
    assert [len(part) for part in parts] == [3, 3, 2]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), report.findings)
    assert [len(part) for part in a_report().ranked.parts()] == [0]


def test_what_settled_a_finding_is_told():
    settled = {
        "settled_by": "ann",
        "settled_why": "a logo",
        "settled_at": "2026-11-01T00:00:00+00:00",
        "settled_until": "2027-01-01T00:00:00+00:00",
    }
    finding = a_finding(a_checkpoint(), state=FindingState.SUPPRESSED, first_run=3, last_run=7, **settled)
    row = a_report(findings=[finding]).findings.iloc[0]
    assert {name: row[name] for name in settled} == settled
    assert (row["first_run"], row["last_run"], row["state"], row["counts"]) == (3, 7, "suppressed", False)
    bare = a_report(findings=[a_finding(a_checkpoint())]).findings.iloc[0]
    assert bare[[*settled, "changed", "first_run"]].isna().all()


def test_a_gone_finding_stays_when_its_extraction_and_checkpoint_are_gone():
    row = a_report(findings=[a_finding(a_checkpoint(), state=FindingState.GONE)]).findings.iloc[0]
    assert row["checkpoint_id"] == a_checkpoint().id
    assert pd.isna(row["seed"])
    assert pd.isna(row["repo"])


def test_weights_published_twice_are_one_finding_at_two_places():
    first, second = a_checkpoint("mira/one"), a_checkpoint("nobody/copy")
    finding = a_finding(first, checkpoint_sha256="ab" * 32, checkpoint_ids=(first.id, second.id))
    report = a_report([first, second], findings=[finding])
    assert report.findings["id"].nunique() == 1
    assert set(report.findings["checkpoint_id"]) == {first.id, second.id}
    assert report.findings["places"].tolist() == [2, 2]
    assert sum(report.by_severity.values()) == 1
    assert report.total.leaked.count == 2


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([State.DONE, State.FAILED], State.DONE),
        ([State.QUEUED, State.QUARANTINED], State.QUARANTINED),
        ([State.SKIPPED, State.QUEUED], State.QUEUED),
        ([], UNPLANNED),
    ],
)
def test_the_state_of_a_checkpoint_with_several_jobs(states, expected):
    checkpoint = a_checkpoint()
    ledger = [a_job(checkpoint, state, job_id=str(n)) for n, state in enumerate(states)]
    row = a_report([checkpoint], ledger=ledger).checkpoints.iloc[0]
    assert row["state"] == expected
    assert row["jobs"] == len(states)
    assert row["generations"] == 250 * len(states)


def test_what_the_plan_left_out_is_no_job():
    checkpoint = a_checkpoint()
    left_out = a_job(checkpoint, State.SKIPPED, attempts=0, reason="unknown_base", measures={})
    row = a_report([checkpoint], ledger=[left_out]).checkpoints.iloc[0]
    assert (row["state"], row["reason"], row["jobs"]) == ("skipped", "unknown_base", 0)


def test_a_skip_is_a_row_unless_it_became_a_checkpoint():
    checkpoint = a_checkpoint()
    again = a_skip(checkpoint.repo, SkipReason.GATED, revision=checkpoint.revision, path=checkpoint.path)
    report = a_report([checkpoint], skips=[again, a_skip("mira/pickle"), a_skip("mira/pickle")])
    assert report.checkpoints["repo"].tolist() == ["mira/harbour-lora", "mira/pickle"]
    assert report.checkpoints["state"].tolist() == ["done", "skipped"]
    assert report.checkpoints["reason"].iloc[1] == "pickle_only"


def test_the_base_is_shown_with_its_evidence():
    row = a_report([a_checkpoint()]).checkpoints.iloc[0]
    assert (row["base_repo"], row["evidence_source"], row["evidence_grade"]) == (
        "runwayml/sd15",
        "hub relation",
        "declared",
    )


def test_a_table_of_another_version_is_named():
    table = extractions_table([an_extraction(a_checkpoint())]).drop_columns(["seed", "score"])
    with pytest.raises(ReportError, match="lacks seed, score"):
        extractions_frame(table, {}, PUBLIC, {})


def test_the_order_of_the_records_does_not_matter():
    checkpoints = [a_checkpoint(f"mira/{n}") for n in range(4)]
    findings = [a_finding(checkpoint, f"{n}.jpg") for n, checkpoint in enumerate(checkpoints)]
    forwards, backwards = (
        a_report(checkpoints, findings=findings),
        a_report(checkpoints[::-1], findings=findings[::-1]),
    )
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(forwards, name), getattr(backwards, name))
    assert replace(forwards, ranked=None, extractions=None, checkpoints=None) == replace(
        backwards, ranked=None, extractions=None, checkpoints=None
    )


def test_the_columns_that_are_read_are_the_stores():
    assert set(NEEDED) <= set(EXTRACTION_SCHEMA.names)
    assert not set(NEEDED) & {"descriptor", "control_descriptor"}
