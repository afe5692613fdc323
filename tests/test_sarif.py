"""SARIF. The official JSON schema is not at hand: SHAPE below repeats the parts of the standard in use.

It was written by hand after OASIS SARIF 2.1.0, section 3, and is not that schema: required properties,
types, closed vocabularies, and no property that the standard does not name outside the property bags.
"""

from __future__ import annotations

import json

import jsonschema
import pytest
from fakes_reports import a_checkpoint, a_finding, a_hostile_report, a_job, a_report, a_skip
from jsonschema.validators import validator_for

from crawler.checkpoint import Hub
from reports.export.sarif import plain, sarif
from reports.finding import FindingState, Severity
from scanner.job import State


def closed(required: list[str], **properties) -> dict:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def some(items: dict) -> dict:
    return {"type": "array", "items": items}


TEXT = {"type": "string", "minLength": 1}
BAG = {"type": "object"}
MESSAGE = closed(["text"], text=TEXT)
LEVEL = {"enum": ["none", "note", "warning", "error"]}
URI = {
    "type": "string",
    "format": "uri",
    "pattern": r"^[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+$",
}
LOCATION = closed(
    ["physicalLocation"],
    physicalLocation=closed(["artifactLocation"], artifactLocation=closed(["uri"], uri=URI)),
    logicalLocations=some(closed([], fullyQualifiedName=TEXT, kind=TEXT)),
)
RULE = closed(
    ["id"],
    id=TEXT,
    name=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=closed([], level=LEVEL),
    properties=BAG,
)
RESULT = closed(
    ["message"],
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations=some(LOCATION),
    relatedLocations=some(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    baselineState={"enum": ["new", "unchanged", "updated", "absent"]},
    suppressions=some(
        closed(
            ["kind"],
            kind={"enum": ["inSource", "external"]},
            status={"enum": ["accepted", "underReview", "rejected"]},
            justification=TEXT,
        )
    ),
    properties=BAG,
)
NOTIFICATION = closed(["message"], level=LEVEL, message=MESSAGE, locations=some(LOCATION), properties=BAG)
INVOCATION = closed(
    ["executionSuccessful"],
    executionSuccessful={"type": "boolean"},
    exitCode={"type": "integer"},
    endTimeUtc={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    toolExecutionNotifications=some(NOTIFICATION),
)
RUN = closed(
    ["tool"],
    tool=closed(
        ["driver"], driver=closed(["name"], name=TEXT, semanticVersion=TEXT, version=TEXT, rules=some(RULE))
    ),
    automationDetails=closed([], id=TEXT),
    invocations=some(INVOCATION),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results=some(RESULT),
    properties=BAG,
)
SHAPE = closed(["version", "runs"], **{"$schema": TEXT, "version": {"const": "2.1.0"}, "runs": some(RUN)})


def a_log(*findings, checkpoints=None, **fields) -> dict:
    log = json.loads(
        json.dumps(sarif(a_report(checkpoints or [a_checkpoint()], findings=findings, **fields)))
    )
    return log["runs"][0]


def test_the_shape_is_a_schema():
    validator_for(SHAPE, default=jsonschema.Draft202012Validator).check_schema(SHAPE)


@pytest.mark.parametrize(
    "report", [a_report(), a_report([a_checkpoint()]), a_hostile_report()], ids=["empty", "one", "hostile"]
)
def test_a_log_has_the_standards_shape(report):
    log = json.loads(json.dumps(sarif(report)))
    jsonschema.validate(log, SHAPE)
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
    ("state", "baseline"),
    [(FindingState.NEW, "new"), (FindingState.KNOWN, "unchanged"), (FindingState.GONE, "absent")],
)
def test_the_baseline_is_the_run_before(state, baseline):
    (result,) = a_log(a_finding(a_checkpoint(), state=state))["results"]
    assert result["baselineState"] == baseline


def test_the_fingerprint_does_not_change_with_the_state_or_the_severity():
    checkpoint = a_checkpoint()
    one = a_finding(checkpoint, severity=Severity.LOW)
    other = a_finding(checkpoint, severity=Severity.HIGH, state=FindingState.KNOWN)
    prints = [a_log(finding)["results"][0]["partialFingerprints"] for finding in (one, other)]
    assert prints[0] == prints[1] == {"findingId/v1": one.id}


def test_the_location_is_the_hubs_page_or_a_name():
    finding = a_finding(a_checkpoint())

    def uri(log: dict) -> str:
        return log["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]

    assert uri(a_log(finding)) == "https://huggingface.co/mira/harbour-lora/blob/5f2e6c1d/weights.safetensors"
    assert uri(a_log(finding, hubs={})) == "hub:huggingface/mira/harbour-lora@5f2e6c1d/weights.safetensors"
    civitai = a_checkpoint("4711", hub=Hub.CIVITAI, revision="9")
    assert (
        uri(a_log(a_finding(civitai), checkpoints=[civitai]))
        == "https://civitai.com/models/4711?modelVersionId=9"
    )


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


def test_no_prompt_is_told():
    checkpoint = a_checkpoint()
    assert checkpoint.prompts[0].text not in json.dumps(a_log(a_finding(checkpoint)))


def test_a_name_cannot_forge_a_link_or_a_placeholder():
    assert plain(r"[text](http://x.test) {0} \ ") == r"\[text\](http://x.test) {{0}} \\ "
