from __future__ import annotations

import json
import re

import pytest
from fakes_reports import a_checkpoint, a_finding, a_hostile_report, a_job, a_report, a_skip, an_extraction

from crawler.checkpoint import SkipReason
from reports.export.files import write_atomically
from reports.export.write import Format, write_report
from reports.finding import FindingState, ReportError, Severity
from reports.page.page import page
from reports.report import ExitCode
from reports.settings import ReportsSettings
from scanner.job import State

NAMES = {
    Format.CSV: ["findings.csv", "extractions.csv", "checkpoints.csv"],
    Format.PARQUET: ["findings.parquet", "extractions.parquet", "checkpoints.parquet"],
    Format.JSONL: [
        f"{name}.{ending}"
        for name in ("findings", "extractions", "checkpoints")
        for ending in ("jsonl", "schema.json")
    ],
    Format.SARIF: ["findings.sarif"],
    Format.MARKDOWN: ["summary.md"],
    Format.HTML: ["report.html"],
}


@pytest.mark.parametrize("report", [a_report(), a_hostile_report()], ids=["empty", "hostile"])
def test_all_files_are_written_and_none_is_left_half(report, tmp_path):
    paths = write_report(report, tmp_path / "new" / "report")
    assert {path.name for path in paths} == {name for names in NAMES.values() for name in names}
    assert set((tmp_path / "new" / "report").iterdir()) == set(paths)
    assert all(path.stat().st_size for path in paths if path.suffix != ".jsonl")


@pytest.mark.parametrize("format_", Format)
def test_a_format_can_be_asked_for_alone(format_, tmp_path):
    paths = write_report(a_report([a_checkpoint()]), tmp_path, formats=[format_])
    assert sorted(path.name for path in paths) == sorted(NAMES[format_])


def test_the_same_records_give_the_same_files(tmp_path):
    for folder in ("one", "two"):
        write_report(a_hostile_report(), tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_thumbnail_that_is_no_picture_writes_nothing(tmp_path):
    with pytest.raises(ReportError, match="neither PNG nor JPEG"):
        write_report(a_report(), tmp_path, thumbnails={"x": b"GIF89a"})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(ReportError, match=r"report.*cannot be written.*another folder"):
        write_report(a_report(), tmp_path / "report")


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    (tmp_path / "findings.csv").mkdir()
    with pytest.raises(ReportError, match=r"findings\.csv cannot be written"):
        write_atomically(tmp_path / "findings.csv", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["findings.csv"]


def test_a_file_is_replaced_whole(tmp_path):
    write_atomically(tmp_path / "a.txt", b"a longer text")
    write_atomically(tmp_path / "a.txt", b"short")
    assert (tmp_path / "a.txt").read_bytes() == b"short"


def test_sarif_is_json_in_utf8(tmp_path):
    checkpoint = a_checkpoint("mira/日本語")
    write_report(a_report([checkpoint], findings=[a_finding(checkpoint)]), tmp_path, formats=[Format.SARIF])
    assert (
        "日本語"
        in json.loads((tmp_path / "findings.sarif").read_bytes())["runs"][0]["results"][0]["message"]["text"]
    )


ONE = a_checkpoint()
LENIENT = ReportsSettings(fail_on="critical")


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (a_report(), ExitCode.NOTHING_SCANNED),
        (a_report(skips=[a_skip("a/b", SkipReason.GATED)]), ExitCode.NOTHING_SCANNED),
        (a_report([ONE]), ExitCode.CLEAN),
        (a_report([ONE], findings=[a_finding(ONE, severity=Severity.MEDIUM)]), ExitCode.CLEAN),
        (a_report([ONE], findings=[a_finding(ONE)], settings=LENIENT), ExitCode.CLEAN),
        (a_report([ONE], findings=[a_finding(ONE, severity=Severity.CRITICAL)]), ExitCode.FINDINGS),
        (a_report([ONE], findings=[a_finding(ONE, state=FindingState.GONE)]), ExitCode.CLEAN),
        (a_report([ONE], findings=[a_finding(ONE, explained_by_base=True)]), ExitCode.CLEAN),
        (a_report([ONE], ledger=[a_job(ONE, State.QUEUED)], findings=[a_finding(ONE)]), ExitCode.INCOMPLETE),
        (a_report([ONE], ledger=[a_job(ONE, State.QUARANTINED)]), ExitCode.INCOMPLETE),
        (a_report([ONE], ledger=[a_job(ONE, State.SKIPPED)]), ExitCode.NOTHING_SCANNED),
    ],
)  # fmt: skip
def test_the_exit_code(report, code):
    assert report.exit_code is code


def test_findings_are_counted_by_severity_strongest_first():
    findings = [a_finding(ONE, str(n), Severity.LOW if n else Severity.CRITICAL) for n in range(3)]
    counts = a_report([ONE], findings=findings).by_severity
    assert list(counts.items()) == [
        (Severity.CRITICAL, 1),
        (Severity.HIGH, 0),
        (Severity.MEDIUM, 0),
        (Severity.LOW, 2),
    ]


def test_an_extraction_counts_its_findings():
    rows = [an_extraction(ONE, 0), an_extraction(ONE, 1)]
    report = a_report([ONE], extractions=rows, findings=[a_finding(ONE, "1"), a_finding(ONE, "2")])
    assert report.extractions["findings"].tolist() == [2, 0]


def test_a_page_of_many_findings_holds_the_strongest_and_counts_all(monkeypatch):
    monkeypatch.setattr("reports.page.page.MOST_FINDINGS", 2)
    findings = [a_finding(ONE, f"{n}.jpg", Severity.CRITICAL if n == 4 else Severity.LOW) for n in range(5)]
    text = page(a_report([ONE], findings=findings), {})
    assert "the 2 strongest of 5 findings" in text
    assert findings[4].id in text
    assert sum(finding.id in text for finding in findings) == 2
    assert re.search(r'data-view="severity=low&amp;state=new"[^>]*>4<', text)
    assert "strongest of" not in page(a_report([ONE], findings=findings[:2]), {})
