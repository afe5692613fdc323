"""Baselines: an earlier report's findings, read from its file, in place of the run before."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes_home import opened_home
from fakes_reports import NOW, a_checkpoint, a_finding, a_report

from leaksweep.cli import main
from reports.export.columns import FINDINGS
from reports.export.jsonl import write_jsonl
from reports.export.typed import arrow_table
from reports.finding import FindingState, ReportError, Severity
from reports.findings.baseline import against_baseline, read_baseline
from reports.findings.states import against
from reports.report import ExitCode

ONE = a_checkpoint()
TWO = a_checkpoint("otto/copy")
NEW, KNOWN, CHANGED = FindingState.NEW, FindingState.KNOWN, FindingState.CHANGED


def line(**fields):
    told = {
        "id": "3f9a0c1d2e4b5a67",
        "severity": "high",
        "state": "known",
        "set": "watchlist",
        "ref_id": "r1",
        "checkpoint_id": ONE.id,
    }
    return json.dumps(told | fields)


def written(folder, found, form="jsonl"):
    """The findings as a report exports them."""
    report = a_report([ONE, TWO], findings=found)
    path = folder / f"findings.{form}"
    if form == "parquet":
        pq.write_table(arrow_table(report.findings, FINDINGS), path)
    else:
        lines = io.BytesIO()
        write_jsonl(lines, [report.findings], FINDINGS)
        path.write_bytes(lines.getvalue())
    return read_baseline(path)


def told(listed):
    return {one.match.ref_id: (one.state, one.changed) for one in listed}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_states_are_told_against_what_an_earlier_report_exported(tmp_path, form):
    then = [
        a_finding(ONE, "same"),
        a_finding(ONE, "worse", Severity.MEDIUM),
        a_finding(ONE, "spread", checkpoint_sha256="ab" * 32, checkpoint_ids=(ONE.id,)),
        a_finding(ONE, "back", state=FindingState.GONE),
        a_finding(ONE, "ended", state=FindingState.SUPPRESSED, settled_by="ann"),
        a_finding(ONE, "gone"),
    ]
    baseline = written(tmp_path, then, form)
    now = [
        a_finding(ONE, "same", state=NEW),
        a_finding(ONE, "worse", Severity.HIGH, state=KNOWN),
        a_finding(ONE, "spread", checkpoint_sha256="ab" * 32, checkpoint_ids=(ONE.id, TWO.id), state=KNOWN),
        a_finding(ONE, "back", state=KNOWN),
        a_finding(ONE, "ended", state=KNOWN),
        a_finding(ONE, "gone", state=FindingState.GONE),
        a_finding(ONE, "fresh", state=KNOWN),
        a_finding(ONE, "aside", state=FindingState.SUPPRESSED),
    ]
    stated = list(against_baseline(now, baseline))
    assert told(stated) == {
        "same": (KNOWN, ""),
        "worse": (CHANGED, "severity high, was medium"),
        "spread": (CHANGED, "1 place more"),
        "back": (CHANGED, "seen again"),
        "ended": (CHANGED, "suppression ended"),
        "gone": (FindingState.GONE, ""),
        "fresh": (NEW, ""),
        "aside": (FindingState.SUPPRESSED, ""),
    }
    assert [
        replace(one, state=two.state, changed=two.changed) for one, two in zip(now, stated, strict=True)
    ] == (stated)
    assert list(against_baseline(stated, baseline)) == stated


def test_weights_with_many_places_have_many_lines_and_one_standing(tmp_path):
    found = a_finding(ONE, checkpoint_sha256="ab" * 32, checkpoint_ids=(ONE.id, TWO.id))
    baseline = written(tmp_path, [found])
    assert baseline.standings[found.id].places == {ONE.id, TWO.id}
    assert told(against_baseline([found], baseline)) == {found.match.ref_id: (KNOWN, "")}


def test_the_fields_that_a_line_needs_are_enough_and_empty_lines_are_passed_over(tmp_path):
    path = tmp_path / "accepted.jsonl"
    path.write_text(f"\n{line()}\n\n")
    baseline = read_baseline(path)
    assert (baseline.name, list(baseline.standings)) == ("accepted.jsonl", ["3f9a0c1d2e4b5a67"])
    path.write_text("")
    assert read_baseline(path).standings == {}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('{"id": "3f9a', "line 2: is no JSON"),
        ("[" * 200_000, "line 2: is no JSON"),
        ("[1]", "line 2: is no JSON object"),
        (line(severity=None), 'line 2: "severity" is missing or no text'),
        (line(id=7), 'line 2: "id" is missing or no text'),
        (line(severity="grave"), "line 2: there is no such severity or state"),
        (line(state="old"), "line 2: there is no such severity or state"),
        (line(rule="x" * (1 << 20)), "line 2: is longer than a finding can be"),
        ("\udcff", "line 2: is no JSON"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, second, message):
    path = tmp_path / "findings.jsonl"
    path.write_bytes(f"{line()}\n{second}\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(ReportError, match=rf"findings\.jsonl, {message}"):
        read_baseline(path)


def test_a_file_that_is_no_parquet_or_is_missing_is_an_error(tmp_path):
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        read_baseline(tmp_path / "none.jsonl")
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        read_baseline(tmp_path / "none.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ReportError, match=r"cut\.parquet: is no parquet file"):
        read_baseline(tmp_path / "cut.parquet")
    pq.write_table(pa.table({"id": ["3f9a0c1d2e4b5a67"]}), tmp_path / "other.parquet")
    with pytest.raises(ReportError, match=r'other\.parquet, row 1: "severity" is missing'):
        read_baseline(tmp_path / "other.parquet")


@pytest.mark.parametrize(
    ("state", "severity", "without", "against"),
    [
        (NEW, Severity.HIGH, ExitCode.FINDINGS, ExitCode.FINDINGS),
        (CHANGED, Severity.HIGH, ExitCode.FINDINGS, ExitCode.FINDINGS),
        (KNOWN, Severity.HIGH, ExitCode.FINDINGS, ExitCode.CLEAN),
        (NEW, Severity.LOW, ExitCode.CLEAN, ExitCode.CLEAN),
        (FindingState.SUPPRESSED, Severity.HIGH, ExitCode.CLEAN, ExitCode.CLEAN),
        (FindingState.WITHDRAWN, Severity.HIGH, ExitCode.CLEAN, ExitCode.CLEAN),
    ],
)
def test_with_a_baseline_only_what_is_new_or_changed_fails(state, severity, without, against):
    found = [a_finding(ONE, severity=severity, state=state)]
    assert a_report([ONE], findings=found).exit_code is without
    assert a_report([ONE], findings=found, baseline="findings.jsonl").exit_code is against


def test_the_command_reads_a_baseline_before_it_writes_over_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = tmp_path / "report"
    found = [a_finding(ONE, "kept"), a_finding(ONE, "spread")]
    with opened_home(tmp_path / "home") as stores:
        stores.findings.replace_findings(against(found, [], 1, NOW))

    def call(*words):
        home = ["--home", str(tmp_path / "home"), "--out", str(report), "--json"]
        code = main(["report", *home, *words])
        said = capsys.readouterr()
        return code, json.loads(said.out)["report"] if said.out else said.err

    assert call()[1]["failing"] == 2
    (_, said) = call("--baseline", str(report / "findings.jsonl"))
    assert (said["failing"], said["baseline"]) == (0, "findings.jsonl")
    (report / "findings.jsonl").write_text("{}")
    assert call("--baseline", str(report / "findings.jsonl")) == (
        2,
        'leaksweep: findings.jsonl, line 1: "id" is missing or no text; give findings.jsonl of a report\n',
    )
