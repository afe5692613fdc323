"""The review page shows findings as they stand now, and takes back what came too late."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from fakes_home import opened_home
from fakes_reports import a_checkpoint, a_finding
from fakes_review import BASE, TOKEN, a_desk, a_shelf, acts, csrf, entered, post
from fakes_swept import SETTINGS, swept_home
from sqlalchemy import Engine
from starlette.testclient import TestClient

from crawler.catalog.engine import open_engine
from leaksweep.reporting import read_report
from leaksweep.reviewing import Place, review_app
from reports.finding import Finding, FindingState, Severity
from reports.findings.restating import aside
from reports.review.queue import FRESH, Ranked
from reports.review.session import Door

HIGH, CRITICAL = Severity.HIGH, Severity.CRITICAL


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield engine
    engine.dispose()


def suppressed(found: Finding) -> Finding:
    return aside(
        found, FindingState.SUPPRESSED, "ann", "a licence <b>", "2026-11-20T08:00", until="2026-12-24"
    )


def test_the_queue_has_the_states_of_the_report(tmp_path: Path) -> None:
    root = tmp_path / "home"
    with chdir(tmp_path):
        swept_home(root)
        with opened_home(root, **SETTINGS) as stores:
            door = Door(minutes=60, token=TOKEN)
            app = review_app(stores, "ann", Place(host="127.0.0.1", port=8475), 8475, door)
            client = TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"})

            def listed(show: str) -> set[str]:
                page = client.get(f"/?show={show}").text
                return set(re.findall(r'href="/findings/([0-9a-f]{16})"', page))

            before = listed("open")
            one, other = sorted(stores.findings.findings(), key=lambda each: each.match.ref_id)[:2]
            assert {one.id, other.id} <= before
            stores.suppressions.put(one.id, "ann", "licensed")
            stores.references.withdraw(
                other.match.set_name, other.match.ref_id, who="ben", why="wrong person"
            )
            told = read_report(stores, fail_on=None, now=datetime.now(UTC)).findings
            states = dict(zip(told["id"], told["state"], strict=True))
            assert (states[one.id], states[other.id]) == ("suppressed", "withdrawn")
            assert listed("open") == set(told.loc[told["counts"], "id"])
            assert listed("aside") == set(told.loc[~told["counts"], "id"])
            for name, state in states.items():
                assert f"</code>, {state}" in client.get(f"/findings/{name}").text
            said = client.get(f"/findings/{other.id}").text
            assert "Its reference was withdrawn by <bdi>ben</bdi>" in said
            assert "wrong person" in said
            stores.suppressions.lift(one.id, "ann")
            assert one.id in listed("open")


def test_what_matching_left_is_read_seldom_and_what_people_said_each_time() -> None:
    shelf, now, reads = a_shelf(HIGH, CRITICAL), [0.0], []
    read = shelf.findings

    def findings() -> list[Finding]:
        reads.append(now[0])
        return read()

    shelf.findings = findings  # type: ignore[method-assign]
    ranked = Ranked(shelf, clock=lambda: now[0])
    assert [one.state for one in ranked.findings()] == [FindingState.NEW] * 2
    shelf.since = lambda found: [suppressed(one) for one in found]
    now[0] = FRESH
    assert [one.state for one in ranked.findings()] == [FindingState.SUPPRESSED] * 2
    now[0] = 2 * FRESH + 1
    ranked.findings()
    assert reads == [0.0, 2 * FRESH + 1]


def test_a_finding_that_was_set_aside_says_why_and_gives_no_picture(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    finding = shelf.found[0].id
    desk = a_desk(engine, shelf, scorer=lambda png: 0.1)
    client = entered(desk)
    open_form = csrf(client)
    shelf.since = lambda found: [suppressed(one) for one in found]
    page = client.get(f"/findings/{finding}").text
    assert (
        "Suppressed by <bdi>ann</bdi>, 2026-11-20, until 2026-12-24: <bdi>a licence &lt;b&gt;</bdi>." in page
    )
    assert "/reveal" not in page
    answer = client.post(f"/findings/{finding}/reveal", data={"csrf": open_form, "picture": "extraction"})
    assert answer.status_code == 409
    assert "data:image" not in answer.text
    assert shelf.opened == []
    assert acts(desk) == []
    assert "0 findings wait for your label" in client.get("/").text


def test_a_label_of_a_finding_that_was_set_aside_meanwhile_is_kept(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    desk = a_desk(engine, shelf)
    client, finding = entered(desk), shelf.found[0].id
    open_form = csrf(client)
    shelf.since = lambda found: [suppressed(one) for one in found]
    data = {"csrf": open_form, "label": "false_positive", "note": "other mast"}
    answer = client.post(f"/findings/{finding}/label", data=data)
    assert answer.headers["location"] == f"/?saved={finding}"
    assert acts(desk) == [("label", finding)]
    assert "other mast" in client.get(f"/findings/{finding}").text
    assert desk.queue().numbers()["settled"] == 0


def test_a_note_on_a_finding_that_was_erased_meanwhile_is_given_back(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    minutes = count(0, 60)
    desk = replace(a_desk(engine, shelf), findings=Ranked(shelf, clock=lambda: next(minutes)))
    client, finding = entered(desk), shelf.found[0].id
    open_form = csrf(client)
    shelf.found.clear()
    data = {"csrf": open_form, "label": "confirmed", "note": "the same <b>boat\r\ntwice"}
    answer = client.post(f"/findings/{finding}/label", data=data)
    assert answer.status_code == 404
    assert "it was erased since" in answer.text
    assert "readonly>\nthe same &lt;b&gt;boat\r\ntwice</textarea>" in answer.text
    assert acts(desk) == []


def test_a_note_that_is_too_long_stays_in_its_field_with_the_label(engine: Engine) -> None:
    desk = a_desk(engine, a_shelf(HIGH))
    client, finding = entered(desk), desk.queue().items[0].id
    note = "ein Boot, größer als das andere " * 313
    answer = post(client, f"/findings/{finding}/label", label="escalate", note=note)
    page = html.unescape(answer.text)
    assert answer.status_code == 400
    assert "the note has 10,015 characters, and 2,000 are kept; shorten it" in page
    assert f"autofocus>\n{note}</textarea>" in page
    assert 'value="escalate" required checked' in page
    assert "Show sharp" in page
    assert "Erased" not in page
    assert acts(desk) == []


def test_line_ends_count_once_and_stay(engine: Engine) -> None:
    desk = a_desk(engine, a_shelf(HIGH))
    client, finding = entered(desk), desk.queue().items[0].id
    assert post(client, f"/findings/{finding}/label", label="unsure", note="a\r\n" * 1000).status_code == 303
    assert desk.acts.labels.of(finding)[0].note.count("\n") == 999
    post(client, f"/findings/{finding}/label", label="unsure", note="two\r\nlines\u202e")
    assert '<bdi class="words">two\nlines[U+202E]</bdi>' in client.get(f"/findings/{finding}").text


def test_who_comes_back_after_their_session_goes_on_where_they_were_with_their_note(engine: Engine) -> None:
    now = [0.0]
    desk = a_desk(engine, a_shelf(HIGH))
    finding = desk.queue().items[0].id
    client = entered(desk, Door(minutes=10, token=TOKEN, clock=lambda: now[0]))
    fields = {"csrf": csrf(client), "label": "confirmed", "note": "twenty minutes of work"}
    now[0] = timedelta(minutes=20).total_seconds()
    refused = client.post(f"/findings/{finding}/label", data=fields)
    assert refused.status_code == 401
    assert "twenty minutes of work" in refused.text
    back = re.findall(r'name="back" value="([^"]*)"', refused.text)
    assert back == [f"/findings/{finding}"]
    wrong = client.post("/enter", data={"token": "x", "back": back[0]})
    assert back == re.findall(r'name="back" value="([^"]*)"', wrong.text)
    assert client.post("/enter", data={"token": TOKEN, "back": back[0]}).headers["location"] == back[0]
    old_form = client.post(f"/findings/{finding}/label", data=fields)
    assert old_form.status_code == 403
    assert "twenty minutes of work" in old_form.text
    assert acts(desk) == []


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example/", "/leave", "/findings/x\r\nA: b", ""]
)
def test_the_way_back_leads_to_findings_alone(engine: Engine, back: str) -> None:
    client = entered(a_desk(engine, a_shelf(HIGH)))
    assert client.post("/enter", data={"token": TOKEN, "back": back}).headers["location"] == "/"


def test_what_somebody_else_wrote_is_not_given_back(engine: Engine) -> None:
    """Only to who sent it from a page of ours."""
    client = entered(a_desk(engine, a_shelf(HIGH)))
    client.headers["Origin"] = "http://evil.example"
    answer = client.post("/findings/x/label", data={"note": "call this number"})
    assert answer.status_code == 403
    assert "call this number" not in answer.text


def test_a_fault_nobody_thought_of_is_a_page_too(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    desk = a_desk(engine, shelf)
    client, finding = entered(desk), shelf.found[0].id
    form = csrf(client)

    def broken(found: object) -> list[Finding]:
        raise RuntimeError("lance error: /home/ann/secret.lance")

    shelf.since = broken
    quiet = TestClient(client.app, base_url=BASE, raise_server_exceptions=False, cookies=client.cookies)
    data = {"csrf": form, "label": "confirmed", "note": "mine"}
    answer = quiet.post(f"/findings/{finding}/label", data=data, headers={"Origin": BASE})
    assert answer.status_code == 500
    assert "secret.lance" not in answer.text
    assert "mine</textarea>" in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_a_withdrawn_reference_is_told_from_a_suppression(engine: Engine) -> None:
    found = a_finding(a_checkpoint())
    withdrawn = aside(found, FindingState.WITHDRAWN, "list <hotline>", "", "2026-11-20T08:00")
    shelf = a_shelf()
    shelf.found += [withdrawn, replace(suppressed(a_finding(a_checkpoint("a/b"))), settled_until="")]
    page = entered(a_desk(engine, shelf)).get("/?show=aside").text
    assert "Its reference was withdrawn by <bdi>list &lt;hotline&gt;</bdi>, 2026-11-20." in page
    assert "Suppressed by <bdi>ann</bdi>, 2026-11-20: <bdi>a licence" in page
