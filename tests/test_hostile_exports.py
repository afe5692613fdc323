"""Strangers choose names: of repositories, files, references, sets. None of them may do anything anywhere."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet
import pytest
from fakes_reports import a_checkpoint, a_finding, a_job, a_matching, a_report, a_set
from prometheus_client.parser import text_string_to_metric_families

from crawler.checkpoint import BaseClaim, Grade, Prompt, PromptOrigin
from crawler.evidence.plain_text import printable
from leaksweep.run import PlainFormatter
from reports.coverage import coverage
from reports.export.text import visible
from reports.export.write import write_report
from reports.finding import FindingState
from reports.findings.states import Flood
from reports.notices.notice import run_notice
from reports.notices.prometheus import write_metrics
from reports.page.page import page
from reports.report import Report
from scanner.job import State

ATTACKS = {
    "script": "<script>alert(1)</script>",
    "attribute": "\" onmouseover='alert(1)' x=\"",
    "formula": '=HYPERLINK("http://x.test","click")',
    "command": "@SUM(1+1)*cmd|' /C calc'!A0",
    "ansi": "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "c1": "\x9b31mred",
    "direction": "photo\u202egnp.exe\u2066",
    "newline": "one\nERROR reports: two\r\n| three |",
    "link": "[click](javascript:alert(1)) ![x](http://x.test/p.png)",
    "table": "a|b`c`|d\\|e",
    "mention": "@everyone #1 http://x.test www.x.test",
    "template": "{{7*7}} {% raw %} {0} ${x}",
    "path": "../../etc/passwd\x00",
    "label": 'a"} 1\nleaksweep_exit_code 0\nx{y="\\',
    "separators": "one\u2028two\u2029three\u0085four\x0bfive\x0csix",
    "link of a terminal": "\x9d8;;http://x.test\x9cclick\x9d8;;\x9c \x90q\x9c",
    "isolates": "\u2067\u2068a\u2069\u202db\u061c\u200f\u200b\ufeff\u2060",
    "end of the script": "</script><!--<script>]]></style></title></noscript>",
    "full-width formula": "\uff1dSUM(A1)",
    "hidden formula": "\u200b\u202e=1+1",
    "formula after a tab": "\t=1+1",
    "formula after a return": "\r=1+1",
    "marks alone": "\u0301\u0489\u20dd" * 40,
    "very long": "x" * 20_000,
    "no characters": "a\U000e0041\U000e007f\ue000\uffff\ufffe\u0378",
    "fillers": "\u3164\u115f\u2800\uffa0\u034f",
}


def attacked(attack: str) -> Report:
    """A report in which every text that a stranger or a reference set's giver chooses is the attack."""
    checkpoints = [
        a_checkpoint(
            attack,
            revision=attack,
            path=path,
            family=attack,
            title=attack,
            prompts=(Prompt(text=attack, origin=PromptOrigin.TRIGGER_WORDS),),
            claims=(BaseClaim(repo=attack, family=attack, source=attack, grade=Grade.LABEL),),
        )
        for path in (attack, f"{attack}2")
    ]
    return a_report(
        checkpoints,
        ledger=[
            a_job(checkpoints[0]),
            a_job(checkpoints[1], State.SKIPPED, reason=attack, detail=attack),
        ],
        findings=[
            a_finding(
                checkpoints[0],
                ref_id=attack,
                set_name=attack,
                rule=attack,
                changed=attack,
                state=FindingState.CHANGED,
            ),
            a_finding(
                checkpoints[0],
                ref_id=f"{attack}2",
                set_name=attack,
                state=FindingState.SUPPRESSED,
                settled_by=attack,
                settled_why=attack,
                settled_at=attack,
                settled_until=attack,
            ),
        ],
        matching=a_matching(a_set(attack), floods=(Flood(attack, attack, 5),)),
    )


@pytest.fixture(scope="module", params=ATTACKS, ids=str)
def written(request, tmp_path_factory) -> tuple[str, Path]:
    attack = ATTACKS[request.param]
    folder = tmp_path_factory.mktemp("written")
    report = attacked(attack)
    write_report(report, folder)
    write_metrics(report, folder / "leaksweep.prom")
    (folder / "notice.json").write_bytes(run_notice(report, "key").body)
    return attack, folder


class Elements(HTMLParser):
    """What a page consists of: which elements have which attributes, where links lead, how many scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: set[tuple[str, str]] = set()
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {(tag, name) for name, _ in attrs} | {(tag, "")}
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.scripts += tag == "script"


HARMLESS = page(attacked("harmless"), {})


def unseen(text: str) -> set[str]:
    """Return what a terminal or a reader would obey and not see."""
    return {letter for letter in text if not letter.isprintable() and letter not in "\n\t\u00a0"}


def test_no_cell_of_a_spreadsheet_is_a_formula(written):
    attack, folder = written
    for path in folder.glob("*.csv"):
        rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
        assert len({len(row) for row in rows}) == 1
        for cell in (cell for row in rows for cell in row):
            assert not re.match(r"[\s\u200b\ufeff]*[=+@]", cell)
            assert not re.match(r"\s*-(?!\d)", cell)
    cells = csv.DictReader(io.StringIO((folder / "findings.csv").read_bytes().decode(), newline=""))
    assert {row["set"].removeprefix("'") for row in cells} == {attack}


def test_parquet_and_json_lines_hold_the_name_as_it_is(written):
    attack, folder = written
    assert set(pyarrow.parquet.read_table(folder / "findings.parquet")["set"].to_pylist()) == {attack}
    lines = (folder / "findings.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["set"] for line in lines} == {attack}
    assert len(lines) == 2


@pytest.mark.parametrize("name", ["findings.jsonl", "extractions.jsonl", "notice.json", "leaksweep.prom"])
def test_what_machines_read_obeys_nothing_on_a_terminal(written, name):
    _, folder = written
    text = (folder / name).read_bytes().decode("utf-8" if name.endswith(".prom") else "ascii")
    assert unseen(text) == set()


def samples(text: str) -> list:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def test_a_label_forges_no_metric(written):
    _, folder = written
    found = samples((folder / "leaksweep.prom").read_text("utf-8"))
    assert [sample.value for sample in found if sample.name == "leaksweep_exit_code"] == [1]
    assert {sample.name for sample in found if not sample.name.startswith("leaksweep_")} == set()
    assert [sample.value for sample in found if sample.name == "leaksweep_skipped"] == [1]


def test_a_sarif_message_holds_no_link_and_nothing_unseen(written):
    _, folder = written
    (run,) = json.loads((folder / "findings.sarif").read_bytes())["runs"]
    messages = [result["message"]["text"] for result in run["results"]]
    messages += [why["justification"] for one in run["results"] for why in one.get("suppressions", ())]
    assert len(messages) == 3
    for text in messages:
        assert unseen(text) == set()
        assert "\n" not in text
        assert not re.search(r"(?<!\\)(?:\\\\)*\[[^\]]*(?<!\\)\]\(", text)
        assert not re.search(r"(?<!\{)\{\d+\}(?!\})", text)
    for result in run["results"]:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"huggingface/[A-Za-z0-9._~%@/-]+", uri)
        assert ".." not in uri.split("/")


def test_the_summary_keeps_its_lines_and_shows_names_as_code(written):
    _, folder = written
    lines = (folder / "summary.md").read_text("utf-8").splitlines()
    assert unseen("".join(lines)) == set()
    assert [line for line in lines if line.startswith("#")] == [
        "# leaksweep",
        "## Findings",
        "## New and changed",
        "## Coverage",
        "## How far the match can be trusted",
        "## What to do next",
    ]
    (row,) = [line for line in lines if re.match(r"\| `[0-9a-f]{16}` ", line)]
    assert row.count("|") == 8
    outside = "".join(row.split("`")[::2])
    assert set(outside) <= set("| highcanged1")


def test_the_page_has_no_element_and_no_attribute_of_a_stranger(written):
    _, folder = written
    text = (folder / "report.html").read_text("utf-8")
    elements = Elements()
    elements.feed(text)
    harmless = Elements()
    harmless.feed(HARMLESS)
    assert elements.attributes <= harmless.attributes
    assert elements.scripts == harmless.scripts
    assert not [link for link in elements.links if not link.startswith(("https://huggingface.co/", "#"))]
    assert unseen(text) == set()


def test_a_notice_holds_nothing_that_a_stranger_wrote(written):
    attack, folder = written
    text = (folder / "notice.json").read_text("utf-8")
    assert attack[:12] not in json.dumps(json.loads(text), ensure_ascii=False)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_terminal_and_a_log_show_one_line_and_obey_nothing(attack):
    assert unseen(printable(attack)) == set()
    assert "\n" not in printable(attack)
    record = logging.LogRecord("reports", logging.WARNING, "", 0, "%s: cannot be read", (attack,), None)
    line = PlainFormatter("%(levelname)s %(name)s: %(message)s").format(record)
    assert unseen(line) == set()
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_is_made_visible_holds_nothing_hidden(attack):
    assert unseen(visible(attack)) == set()
    assert visible("a\ud800b") == "a[U+D800]b"
    assert visible("\u3164") == "[U+3164]"
    assert visible("日本語　é 👩\u200d🚀") == "日本語　é 👩\u200d🚀"


def test_an_error_in_the_log_shows_its_traceback_and_obeys_nothing():
    try:
        raise ValueError("\x1b[2J\u202e")
    except ValueError as error:
        record = logging.LogRecord(
            "reports", logging.ERROR, "", 0, "broken", (), (type(error), error, error.__traceback__)
        )
    text = PlainFormatter("%(message)s").format(record)
    assert unseen(text) == set()
    assert "Traceback" in text
    assert len(text.splitlines()) > 3


def test_coverage_counts_a_hostile_reason_once():
    report = attacked(ATTACKS["newline"])
    assert dict(coverage(report.checkpoints).skipped) == {ATTACKS["newline"]: 1}
