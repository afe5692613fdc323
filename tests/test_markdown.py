from __future__ import annotations

import pytest
from fakes_reports import (
    HOSTILE,
    a_checkpoint,
    a_finding,
    a_hostile_report,
    a_job,
    a_matching,
    a_report,
    a_skip,
)

from reports.export.markdown import MOST_FINDINGS, code, summary
from reports.finding import FindingState, Severity
from reports.matching.canaries import CanaryCheck
from scanner.job import State

ONE = a_checkpoint()
MISSED = CanaryCheck(planted=8, found=7, missed=("pdq canary 3",))


def test_a_summary_counts_findings_by_severity_and_state():
    findings = [
        a_finding(ONE, "1", Severity.CRITICAL),
        a_finding(ONE, "2", Severity.CRITICAL, state=FindingState.SUPPRESSED),
        a_finding(ONE, "3", Severity.LOW, state=FindingState.KNOWN),
    ]
    lines = summary(a_report([ONE], findings=findings)).splitlines()
    assert "| severity | count | new | known | changed | gone | suppressed | withdrawn |" in lines
    assert "| critical | 1 | 1 | 0 | 0 | 0 | 1 | 0 |" in lines
    assert "| low | 1 | 0 | 1 | 0 | 0 | 0 | 0 |" in lines


def test_new_and_changed_findings_are_listed_and_others_are_not():
    new = a_finding(ONE, "new.jpg")
    changed = a_finding(ONE, "changed.jpg", state=FindingState.CHANGED)
    known = a_finding(ONE, "known.jpg", state=FindingState.KNOWN)
    explained = a_finding(ONE, "explained.jpg", explained_by_base=True)
    text = summary(a_report([ONE], findings=[new, changed, known, explained]))
    assert f"| `{new.id}` | high | new | `{ONE.id}` | `watchlist` | `new.jpg` | 1 |" in text
    assert changed.id in text
    assert known.id not in text
    assert explained.id not in text


def test_a_long_list_is_cut_and_says_so():
    findings = [a_finding(ONE, f"{n}.jpg") for n in range(MOST_FINDINGS + 5)]
    text = summary(a_report([ONE], findings=findings))
    assert text.count("| `watchlist` |") == MOST_FINDINGS
    assert f"The strongest {MOST_FINDINGS} of {MOST_FINDINGS + 5}; findings.csv has all." in text


def test_coverage_and_the_false_positive_rate_are_told():
    text = summary(a_report([ONE], skips=[a_skip("mira/pickle")]))
    assert "Of 2 checkpoints, 1 were scanned, 1 left out" in text
    assert "| `pickle_only` | 1 |" in text
    assert "Of 11,480 pairs of extraction and decoy, 2 reached high or above" in text
    assert "95 % interval" in text


def test_a_rate_that_was_not_measured_is_said_to_be_so():
    assert "was not measured" in summary(a_report([ONE], matching=a_matching()))
    assert "Not matched yet" in summary(a_report([ONE], matching=None))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (a_report([ONE], ledger=[a_job(ONE, State.FAILED)]), "The run is incomplete"),
        (a_report([ONE], findings=[a_finding(ONE)]), "`leaksweep verify ID`"),
        (a_report([ONE]), "Nothing counts"),
        (a_report(), "Nothing was scanned"),
        (a_report([ONE], matching=a_matching(canaries=MISSED)), "Matching missed canaries"),
        (a_report([ONE], matching=a_matching(canaries=MISSED)), "Of 8 canaries, 7 were found."),
    ],
)
def test_the_summary_says_what_to_do_next(report, words):
    assert words in summary(report)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[text](http://x.test)", "`[text](http://x.test)`"),
        ("a`b``c", "`a[U+0060]b[U+0060][U+0060]c`"),
        ("a|b", "`a[U+007C]b`"),
        ("a\n# b", "`a[U+000A]# b`"),
        ("\u202egnp.exe", "`[U+202E]gnp.exe`"),
        ("", "(empty)"),
        (" ", "(empty)"),
        ("@everyone #1", "`@everyone #1`"),
    ],
)
def test_a_name_is_code_and_nothing_else(text, shown):
    assert code(text) == shown


def test_hostile_names_change_neither_the_lines_nor_the_tables():
    hostile, harmless = summary(a_hostile_report()), summary(a_report([ONE], findings=[a_finding(ONE)]))
    headings = [line for line in harmless.splitlines() if line.startswith("#")]
    assert [line for line in hostile.splitlines() if line.startswith("#")] == headings
    assert all(letter.isprintable() or letter == "\n" for letter in hostile)
    for line in hostile.splitlines():
        if line.startswith("| `"):
            assert line.count("`") % 2 == 0
            outside = "".join(line.split("`")[::2])
            assert not any(name[:20] in outside for name in HOSTILE)


def test_no_prompt_is_told():
    assert ONE.prompts[0].text not in summary(a_report([ONE], findings=[a_finding(ONE)]))
