"""Suppressions: acts in SQL that end or are lifted, and the command that writes them with the audit log."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from fakes_home import opened_home
from test_finding import judged

from crawler.catalog.engine import open_engine
from leaksweep.cli import main
from reports.finding import FindingState, ReportError
from reports.findings.states import against, findings
from reports.findings.suppressions import Suppressions

pytest_plugins = ("fakes_postgres",)

NOW = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
ONE, OTHER = "3f9a0c1d2e4b5a67", "0000000000000001"


class Clock:
    """A clock that stands until it is set."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def acts(database_url, clock):
    engine = open_engine(database_url)
    yield Suppressions(engine, clock=clock)
    engine.dispose()


def test_an_act_holds_until_the_end_of_its_last_day(acts):
    acts.put(ONE, "ann", " licensed to us ", date(2026, 11, 25))
    acts.put(OTHER, "ann", "false alarm", None)
    assert set(acts.active(NOW)) == {ONE, OTHER}
    assert acts.active(NOW)[ONE].why == "licensed to us"
    assert set(acts.active(NOW + timedelta(days=1))) == {ONE, OTHER}
    assert set(acts.active(NOW + timedelta(days=1, minutes=30))) == {OTHER}


def test_the_last_act_counts_and_the_history_is_kept(acts, clock):
    acts.put(ONE, "ann", "first")
    clock.now += timedelta(hours=1)
    acts.put(ONE, "ben", "second", date(2027, 1, 31))
    assert acts.active(clock.now)[ONE].why == "second"
    clock.now += timedelta(hours=1)
    assert acts.lift(ONE, "cat").why == "second"
    assert acts.active(clock.now) == {}
    told = [(one.who, one.why, one.at, one.until, one.lifted_at, one.lifted_by) for one in acts.history(ONE)]
    assert told == [
        ("ann", "first", "2026-11-24T23:30:00+00:00", None, "2026-11-25T00:30:00+00:00", "ben"),
        (
            "ben",
            "second",
            "2026-11-25T00:30:00+00:00",
            date(2027, 1, 31),
            "2026-11-25T01:30:00+00:00",
            "cat",
        ),
    ]


def test_what_ended_by_itself_is_not_said_to_be_lifted(acts, clock):
    acts.put(ONE, "ann", "for a day", date(2026, 11, 24))
    clock.now += timedelta(days=2)
    acts.put(ONE, "ben", "again")
    assert [one.lifted_by for one in acts.history()] == [None, None]
    assert acts.active(clock.now)[ONE].why == "again"


def test_today_is_not_past_and_yesterday_is(acts):
    acts.put(ONE, "ann", "why", date(2026, 11, 24))
    with pytest.raises(ReportError, match=r"2026-11-23 is past.*2026-11-24 or a later day"):
        acts.put(OTHER, "ann", "why", date(2026, 11, 23))
    assert set(acts.active(NOW)) == {ONE}


def test_an_act_needs_a_reason_and_lifting_needs_an_act(acts, clock):
    with pytest.raises(ReportError, match="say why"):
        acts.put(ONE, "ann", "  \n")
    with pytest.raises(ReportError, match="is not suppressed"):
        acts.lift(ONE, "ann")
    acts.put(ONE, "ann", "for a day", date(2026, 11, 24))
    clock.now += timedelta(days=1)
    with pytest.raises(ReportError, match="is not suppressed"):
        acts.lift(ONE, "ann")


def test_an_act_goes_with_the_transaction_that_it_belongs_to(tmp_path, clock):
    engine = open_engine(f"sqlite:///{tmp_path}/acts.db")
    acts = Suppressions(engine, clock=clock)
    with engine.connect() as db:
        acts.put(ONE, "ann", "why", db=db)
        db.rollback()
    assert acts.history() == []


def test_words_that_sql_cannot_hold_are_made_fit(acts):
    acts.put(ONE, "ann", "a\0b\ud800")
    assert acts.active(NOW)[ONE].why == "a?b?"


@pytest.fixture
def home(tmp_path, capsys, monkeypatch):
    """The command on a home with one finding, whose id it is given; returns exit code, JSON or message."""
    monkeypatch.chdir(tmp_path)
    with opened_home(tmp_path) as stores:
        stored = against(findings([judged()], {}), [], 1, NOW)
        stores.findings.replace_findings(stored)

    def call(*words):
        code = main(["suppress", *words, "--home", str(tmp_path), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    call.root, call.id = tmp_path, stored[0].id
    return call


def test_the_command_suppresses_lists_and_lifts_and_the_audit_log_tells(home):
    code, said = home(home.id, "--why", "licensed, ticket 4711", "--until", "2099-01-31")
    assert (code, said["until"], said["why"]) == (0, "2099-01-31", "licensed, ticket 4711")
    assert [one["holds"] for one in home("--list")[1]["suppressions"]] == [True]
    assert home(home.id, "--lift") == (0, {"finding": home.id, "lifted": True})
    (act,) = home("--list")[1]["suppressions"]
    assert (act["holds"], act["why"], act["lifted_by"]) == (False, "licensed, ticket 4711", said["who"])
    with opened_home(home.root) as stores:
        entries = list(stores.audit.entries(home.id))
        assert stores.audit.verify().whole
    assert [(one.act, one.who) for one in entries] == [("suppress", said["who"]), ("lift", said["who"])]
    assert entries[0].details() == {"why": "licensed, ticket 4711", "until": "2099-01-31"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["ID"], 4, "say why with --why"),
        (["ID", "--why", " "], 4, "say why with --why"),
        (["ID", "--why", "x", "--until", "soon"], 4, "--until soon: is no day; write it as 2027-01-31"),
        (["ID", "--why", "x", "--until", "2020-01-01"], 2, "2020-01-01 is past"),
        ([OTHER, "--why", "x"], 4, "there is no such finding"),
        (["mine", "--why", "x"], 4, "is no finding's id"),
        (["ID", "--lift"], 2, "is not suppressed"),
        ([OTHER, "--lift"], 4, "there is no such finding"),
        (["ID", "--lift", "--why", "x"], 4, "takes neither"),
        (["ID", "--list"], 4, "takes neither"),
        ([], 4, "name a finding's id"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_no_trace(home, words, code, message):
    ended, said = home(*[home.id if word == "ID" else word for word in words])
    assert (ended, message in said) == (code, True), said
    with opened_home(home.root) as stores:
        assert stores.suppressions.history() == []
        assert list(stores.audit.entries()) == []


def test_reports_read_a_suppression_at_once(home):
    from leaksweep.reporting import standing_findings

    home(home.id, "--why", "licensed", "--until", "2099-01-31")
    with opened_home(home.root) as stores:
        (stored,) = stores.findings.findings()
        (stated,) = standing_findings(stores, NOW)
        (later,) = standing_findings(stores, datetime(2099, 2, 1, tzinfo=UTC))
    assert (stored.state, stated.state, later.state) == (
        FindingState.NEW,
        FindingState.SUPPRESSED,
        FindingState.NEW,
    )
    assert stated.settled_until == "2099-01-31"
