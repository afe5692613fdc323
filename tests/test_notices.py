from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fakes_reports import (
    HOSTILE,
    NOW,
    a_checkpoint,
    a_finding,
    a_hostile_report,
    a_job,
    a_matching,
    a_report,
    a_set,
    a_skip,
)
from prometheus_client.parser import text_string_to_metric_families

from reports.finding import FindingState, ReportError, Severity
from reports.matching.canaries import CanaryCheck
from reports.notices import notice as module
from reports.notices.notice import run_notice, trial_notice
from reports.notices.prometheus import LAST_SUCCESS, write_metrics
from reports.notices.webhook import ATTEMPTS, SECRET, NoticeError, deliver, secret_of, signature
from scanner.job import State

DOCUMENT = Path(__file__).parent.parent / "docs" / "exports.md"
ONE = a_checkpoint()
SHARED = b"a secret of some length"
URL = "https://hooks.test/services/T0KEN?key=S3CRET"


def post(answers, notice=None, url=URL):
    """Deliver to a receiver that gives these answers; return what it was sent and how long was waited."""
    remaining, sent, waits = iter(answers), [], []

    def receive(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        answer = next(remaining)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer)

    times = iter(range(1_000_000, 2_000_000, 100))
    with httpx.Client(transport=httpx.MockTransport(receive)) as client:
        deliver(
            notice or run_notice(a_report([ONE]), "run-7"),
            url,
            SHARED,
            client=client,
            clock=lambda: float(next(times)),
            sleep=waits.append,
        )
    return sent, waits


def documented_verify():
    """The function that docs/exports.md gives to receivers."""
    (code,) = [part for part in DOCUMENT.read_text("utf-8").split("```")[1::2] if part.startswith("python\n")]
    room: dict = {}
    exec(code.removeprefix("python\n"), room)
    return room["verify"]


def test_a_notice_is_posted_signed_with_a_key_of_its_run():
    ((request,), waits) = post([204])
    assert request.method == "POST"
    assert str(request.url) == URL
    assert request.headers["idempotency-key"] == "run-7"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-leaksweep-signature"] == signature(SHARED, 1_000_000, request.content)
    assert waits == []


def test_the_documented_receiver_takes_a_true_notice_and_no_other():
    verify = documented_verify()
    ((request,), _) = post([200])
    header, body = request.headers["x-leaksweep-signature"], request.content
    assert verify(SHARED, header, body, now=1_000_100)
    assert not verify(SHARED, header, body + b" ", now=1_000_100)
    assert not verify(b"another secret of length", header, body, now=1_000_100)
    assert not verify(SHARED, header, body, now=1_000_400)
    assert not verify(SHARED, header.replace("t=1000000", "t=1000001"), body, now=1_000_100)
    for malformed in ("", "t=,v1=", "t=x,v1=y", "v1=00", header.replace("v1", "v0"), "t=1,t=2"):
        assert not verify(SHARED, malformed, body, now=1_000_100)


def test_a_receiver_that_is_away_is_asked_again_with_a_new_signature_and_the_same_key():
    sent, waits = post([httpx.ConnectError("refused"), 503, 200])
    assert len(sent) == 3
    assert len(waits) == 2
    assert len({request.headers["idempotency-key"] for request in sent}) == 1
    assert len({request.headers["x-leaksweep-signature"] for request in sent}) == 3
    assert len({request.content for request in sent}) == 1


def test_a_receiver_that_stays_away_is_named_by_its_host_alone():
    with pytest.raises(
        NoticeError, match=rf"hooks.test did not take the notice in {ATTEMPTS} attempts: status 503"
    ):
        post([503] * ATTEMPTS)
    with pytest.raises(NoticeError) as told:
        post([httpx.ConnectTimeout(f"could not reach {URL}")] * ATTEMPTS)
    assert "T0KEN" not in str(told.value)
    assert "S3CRET" not in str(told.value)


@pytest.mark.parametrize(
    ("status", "words"), [(401, SECRET), (404, "webhook_url"), (410, "webhook_url"), (302, "redirect")]
)
def test_a_refusal_is_final(status, words):
    answer = httpx.Response(status, headers={"location": "https://elsewhere.test/"} if status == 302 else {})
    with pytest.raises(NoticeError, match=words):
        post([answer])


def test_what_is_no_address_is_said():
    with pytest.raises(NoticeError, match="no address"):
        post([], url="https://[::1")


@pytest.mark.parametrize(("given", "words"), [({}, "is not set"), ({SECRET: "short"}, "fewer than 16")])
def test_without_a_secret_nothing_is_sent(given, words):
    with pytest.raises(NoticeError, match=words) as told:
        secret_of(given)
    assert "short" not in str(told.value)
    assert secret_of({SECRET: "a secret of some length"}) == SHARED


def test_a_notice_counts_by_severity_and_state_and_names_new_findings():
    findings = [
        a_finding(ONE, "1", Severity.CRITICAL),
        a_finding(ONE, "2", Severity.LOW, state=FindingState.CHANGED),
        a_finding(ONE, "3", state=FindingState.KNOWN),
        a_finding(ONE, "4", state=FindingState.SUPPRESSED),
        a_finding(ONE, "5", explained_by_base=True),
    ]
    report = a_report([ONE], findings=findings, skips=[a_skip("mira/pickle")])
    told = json.loads(run_notice(report, "key").body)
    assert told["run"] == 7
    assert told["counts"] == {"critical": 1, "high": 1, "medium": 0, "low": 1}
    assert told["findings"]["high"] == {
        "new": 1, "known": 1, "changed": 0, "gone": 0, "suppressed": 1, "withdrawn": 0,
    }  # fmt: skip
    assert told["new"] == [findings[0].id, findings[1].id]
    assert told["checkpoints"] == {"scanned": 1, "left_out": 1, "failed": 0, "pending": 0, "unplanned": 0}
    assert (told["exit_code"], told["complete"], told["key"]) == (1, True, "key")


def test_canaries_that_were_missed_are_told_and_the_run_is_not_complete(tmp_path):
    canaries = CanaryCheck(planted=8, found=7, missed=("pdq canary 3",))
    report = a_report([ONE], matching=a_matching(canaries=canaries))
    told = json.loads(run_notice(report, "key").body)
    assert (told["canaries"], told["complete"], told["exit_code"]) == ({"planted": 8, "found": 7}, False, 2)
    write_metrics(report, tmp_path / "leaksweep.prom")
    found = metrics(tmp_path / "leaksweep.prom")
    assert (found["leaksweep_canaries_planted",], found["leaksweep_canaries_found",]) == (8, 7)
    assert (LAST_SUCCESS,) not in found


def test_a_notice_holds_counts_and_ids_and_nothing_that_a_stranger_wrote():
    report = a_hostile_report()
    text = run_notice(report, "key").body.decode()
    assert text.isascii()
    ids = set(report.findings["id"])
    held = {value for value in _leaves(json.loads(text)) if isinstance(value, str)}
    fixed = {"key", "run", "high", "2026-11-24T03:12:00Z"}
    assert held - ids <= fixed
    assert not any(name[:10] in text for name in HOSTILE)


def _leaves(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return [leaf for each in node for leaf in _leaves(each)]
    return [node]


def test_a_notice_of_many_findings_says_how_many_ids_it_leaves_out(monkeypatch):
    monkeypatch.setattr(module, "MOST_IDS", 2)
    told = json.loads(
        run_notice(a_report([ONE], findings=[a_finding(ONE, str(n)) for n in range(5)]), "k").body
    )
    assert len(told["new"]) == 2
    assert told["new_left_out"] == 3


def test_a_trial_says_nothing_of_any_run():
    assert set(json.loads(trial_notice("key", NOW).body)) == {"version", "key", "at", "event"}


def metrics(path) -> dict:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text("utf-8"))
        for sample in family.samples
    }


def test_the_metrics_of_a_run(tmp_path):
    findings = [a_finding(ONE, "1", Severity.CRITICAL), a_finding(ONE, "2", state=FindingState.GONE)]
    path = tmp_path / "leaksweep.prom"
    write_metrics(a_report([ONE], findings=findings, skips=[a_skip("mira/pickle")]), path)
    found = metrics(path)
    assert found["leaksweep_findings", "critical", "new"] == 1
    assert found["leaksweep_findings", "high", "gone"] == 1
    assert found["leaksweep_findings", "low", "withdrawn"] == 0
    assert found["leaksweep_findings_counted", "critical"] == 1
    assert found["leaksweep_checkpoints", "scanned"] == 1
    assert found["leaksweep_skipped", "pickle_only"] == 1
    assert found["leaksweep_run_number",] == 7
    assert found["leaksweep_pictures_erased",] == 8
    assert found["leaksweep_pictures_kept",] == 2
    assert found["leaksweep_run_timestamp_seconds",] == NOW.timestamp()
    assert found[LAST_SUCCESS,] == NOW.timestamp()
    assert found["leaksweep_exit_code",] == 1
    assert found["leaksweep_match_false_positive_rate", "estimate"] == pytest.approx(2 / 11_480)
    assert [one.name for one in tmp_path.iterdir()] == ["leaksweep.prom"]


def test_an_incomplete_run_has_its_time_and_keeps_that_of_the_last_success(tmp_path):
    path = tmp_path / "leaksweep.prom"
    incomplete = replace(a_report([ONE], ledger=[a_job(ONE, State.FAILED)]), generated_at=NOW.replace(day=25))
    write_metrics(incomplete, path)
    assert (LAST_SUCCESS,) not in metrics(path)
    write_metrics(a_report([ONE]), path)
    write_metrics(incomplete, path)
    found = metrics(path)
    assert found[LAST_SUCCESS,] == NOW.timestamp()
    assert found["leaksweep_run_timestamp_seconds",] == NOW.replace(day=25).timestamp()


@pytest.mark.parametrize("there", [b"no metrics { at all", b"\xff\xfe", b""])
def test_a_file_that_is_not_ours_is_replaced(tmp_path, there):
    path = tmp_path / "leaksweep.prom"
    path.write_bytes(there)
    write_metrics(a_report([ONE], ledger=[a_job(ONE, State.FAILED)]), path)
    assert metrics(path)["leaksweep_exit_code",] == 2


def test_a_file_that_no_collector_reads_is_refused(tmp_path):
    with pytest.raises(ReportError, match=r"metrics\.txt.*end in \.prom"):
        write_metrics(a_report(), tmp_path / "metrics.txt")


def test_a_report_without_matching_or_decoys_has_metrics_too(tmp_path):
    for matching in (None, a_matching(a_set("watchlist"))):
        write_metrics(a_report([ONE], matching=matching), tmp_path / "leaksweep.prom")
        assert not [name for name in metrics(tmp_path / "leaksweep.prom") if "false_positive" in name[0]]
