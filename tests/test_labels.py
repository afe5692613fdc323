"""Labels: each person counts once, what was said stays, and disagreement settles nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from fakes_writers import label_on
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from crawler.catalog.engine import open_engine
from reports.custody.audit import AuditLog
from reports.finding import ReportError
from reports.review.acts import Acts, Reviewer
from reports.review.labels import Label, LabelName, Labels, settle, standing

pytest_plugins = ("fakes_postgres",)

CONFIRMED, FALSE, UNSURE, ESCALATE = LabelName


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def labels(engine: Engine) -> Labels:
    ticks = count()
    return Labels(engine, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC) + timedelta(seconds=next(ticks)))


def said(*votes: tuple[str, LabelName]) -> list[Label]:
    return [Label(finding_id="f", label=label, note="", who=who, at="") for who, label in votes]


def test_a_label_comes_back_with_its_note_and_its_time(labels: Labels) -> None:
    labels.put("f1", "confirmed", " Ann ", "the same\0 harbour")
    labels.put("f1", "unsure", "ben")
    labels.put("f2", "escalate", "ben")
    first, second = labels.of("f1")
    assert (first.label, first.who, first.note) == (CONFIRMED, "Ann", "the same? harbour")
    assert first.at == "2026-11-24T00:00:00+00:00"
    assert second.label == UNSURE
    assert list(labels.all()) == ["f1", "f2"]
    assert labels.of("f3") == []


def test_who_changes_their_mind_counts_once_and_the_history_stays(labels: Labels) -> None:
    for label in ("confirmed", "false_positive", "confirmed"):
        labels.put("f1", label, "ann")
    assert [one.label for one in labels.of("f1")] == [CONFIRMED, FALSE, CONFIRMED]
    assert labels.settled() == {"f1": CONFIRMED}
    assert labels.settled(two_person=True) == {}
    assert labels.conflicts() == {}


@pytest.mark.parametrize("second", ["ann", "Ann", " ann ", "ＡＮＮ", "a n n".replace(" ", "")])
def test_a_person_cannot_count_twice_by_another_spelling(labels: Labels, second: str) -> None:
    labels.put("f1", "confirmed", "ann")
    labels.put("f1", "confirmed", second)
    assert labels.settled(two_person=True) == {}


def test_two_people_who_say_the_same_settle_a_finding(labels: Labels) -> None:
    labels.put("f1", "confirmed", "ann")
    labels.put("f1", "confirmed", "ben")
    assert labels.settled(two_person=True) == {"f1": CONFIRMED}


def test_two_people_who_differ_settle_nothing_and_are_listed(labels: Labels) -> None:
    labels.put("f1", "confirmed", "ann")
    labels.put("f1", "false_positive", "ben")
    assert labels.settled() == {}
    assert {one.who: one.label for one in labels.conflicts()["f1"]} == {"ann": CONFIRMED, "ben": FALSE}
    labels.put("f1", "false_positive", "cay")
    assert labels.settled(two_person=True) == {"f1": FALSE}
    assert "f1" in labels.conflicts()
    labels.put("f1", "false_positive", "ann")
    assert labels.conflicts() == {}


def test_who_is_unsure_stands_in_nobodys_way(labels: Labels) -> None:
    labels.put("f1", "unsure", "ann")
    assert labels.settled() == {"f1": UNSURE}
    labels.put("f1", "confirmed", "ben")
    assert labels.settled() == {"f1": CONFIRMED}
    assert labels.settled(two_person=True) == {}
    assert labels.conflicts() == {}


def test_calibration_is_given_what_is_settled_and_known(labels: Labels) -> None:
    for finding, label in (("a", CONFIRMED), ("b", FALSE), ("c", UNSURE), ("d", ESCALATE)):
        labels.put(finding, label, "ann")
    labels.put("b", FALSE, "ben")
    assert labels.for_calibration() == {"a": True, "b": False}
    assert labels.for_calibration(two_person=True) == {"b": False}


@pytest.mark.parametrize(
    ("label", "who", "note", "reason"),
    [
        ("yes", "ann", "", "there is no such label; give one of confirmed, false_positive, unsure, escalate"),
        ("confirmed", " ", "", "nobody is named who gives the label; say so with --as NAME"),
        ("confirmed", "ann", "x" * 2001, "the note has 2,001 characters, and 2,000 are kept; shorten it"),
    ],
)
def test_what_is_no_label_is_refused(labels: Labels, label: str, who: str, note: str, reason: str) -> None:
    with pytest.raises(ReportError) as raised:
        labels.put("f1", label, who, note)
    assert str(raised.value) == f"f1: {reason}"
    assert labels.of("f1") == []


@given(st.lists(st.tuples(st.sampled_from(["ann", "ben", "cay"]), st.sampled_from(LabelName)), max_size=8))
def test_what_settles_a_finding_is_what_most_people_say(votes: list[tuple[str, LabelName]]) -> None:
    history = said(*votes)
    now = [one.label for one in standing(history)]
    assert len(now) == len({who for who, _ in votes})
    for two_person in (False, True):
        settled = settle(history, two_person=two_person)
        if settled is not None:
            assert now.count(settled) >= 1 + two_person
            assert all(now.count(settled) > now.count(o) for o in LabelName if o not in {settled, UNSURE})
    strict = settle(history, two_person=True)
    assert strict in {None, settle(history, two_person=False)}


def the_acts(engine: Engine, name: str) -> Acts:
    return Acts(
        engine=engine,
        audit=AuditLog(engine),
        labels=Labels(engine),
        reviewer=Reviewer(name=name, account="svc"),
    )


def test_a_label_and_its_entry_in_the_log_are_one(engine: Engine) -> None:
    acts = the_acts(engine, "ann")
    acts.label("f1", "confirmed", "the same")
    with pytest.raises(ReportError, match="no such label"):
        acts.label("f1", "nonsense", "")
    (entry,) = acts.audit.entries()
    assert (entry.who, entry.act, entry.subject) == ("ann", "label", "f1")
    assert entry.details() == {"label": "confirmed", "account": "svc"}
    assert len(acts.labels.of("f1")) == 1


def test_two_reviewers_of_whom_each_is_killed_leave_whole_labels(tmp_path: Path) -> None:
    """A label is there exactly when its entry is, and nobody's label is lost."""
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    engine = open_engine(url)
    watched = the_acts(engine, "watcher")
    spawn = multiprocessing.get_context("spawn")
    begin = spawn.Barrier(3)
    people = [spawn.Process(target=label_on, args=(url, name, begin)) for name in ("ann", "ben")]
    for one in people:
        one.start()
    begin.wait(120)
    for killed, one in enumerate(people, start=1):
        deadline = time.monotonic() + 60
        while len(watched.labels.all()) < 5 * killed and time.monotonic() < deadline:
            pass
        os.kill(one.pid or 0, signal.SIGKILL)
        one.join(30)
    given = {(one.finding_id, one.who) for history in watched.labels.all().values() for one in history}
    logged = [(entry.subject, entry.who) for entry in watched.audit.entries()]
    assert given == set(logged)
    assert len(given) == len(logged) > 5
    assert watched.audit.verify().whole
    watched.label("f0", "confirmed", "still works")
    engine.dispose()
