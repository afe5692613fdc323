"""Legal holds: put, released, kept on record; and what they exempt."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crawler.catalog.engine import open_engine
from reports.custody.holds import Holds
from reports.finding import Finding, FindingState, Match, ReportError, Severity

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def holds(tmp_path: Path):
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield Holds(engine, clock=lambda: NOW)
    engine.dispose()


def finding(extraction_id: str, set_name: str = "artist") -> Finding:
    match = Match(
        extraction_id=extraction_id,
        checkpoint_id="huggingface:ann/cats@r:w",
        set_name=set_name,
        ref_id="1.png",
        similarity=0.9,
        descriptor="thumbnail16@1",
        pdq_distance=None,
        phash_distance=None,
        control_similarity=0.1,
        mirrored=False,
    )
    return Finding(
        match=match, severity=Severity.HIGH, state=FindingState.NEW, rule="r", checkpoint_sha256=None
    )


def put(holds: Holds, subject: str, why: str = "court") -> None:
    with holds.engine.begin() as db:
        holds.put(db, subject, "ann", why)


def release(holds: Holds, subject: str) -> None:
    with holds.engine.begin() as db:
        holds.release(db, subject, "ben")


def test_a_hold_and_its_release_stay_on_record(holds: Holds) -> None:
    put(holds, "x-000")
    assert holds.subjects() == {"x-000"}
    release(holds, "x-000")
    assert holds.subjects() == set()
    put(holds, "x-000", "again")
    assert [(one.who, one.why, one.released_by) for one in holds.all()] == [
        ("ann", "court", "ben"),
        ("ann", "again", None),
    ]


def test_wrong_acts_are_refused(holds: Holds) -> None:
    with pytest.raises(ReportError, match="say why"):
        put(holds, "x-000", " ")
    with pytest.raises(ReportError, match="x-000: is not held"):
        release(holds, "x-000")
    put(holds, "x-000")
    with pytest.raises(ReportError, match="is held already"):
        put(holds, "x-000")


@pytest.mark.parametrize("subject", ["x-000", "finding", "huggingface:ann/cats@r:w", "set artist"])
def test_a_hold_reaches_the_extraction_by_each_name(holds: Holds, subject: str) -> None:
    findings = [finding("x-000"), finding("y-000", "other")]
    checkpoints = [("x-000", "huggingface:ann/cats@r:w"), ("y-000", "huggingface:ann/dogs@r:w")]
    put(holds, findings[0].id if subject == "finding" else subject)
    assert holds.extractions(findings, checkpoints) == {"x-000"}


def test_without_a_hold_nothing_is_exempt(holds: Holds) -> None:
    assert holds.extractions([finding("x-000")], [("x-000", "c")]) == set()
