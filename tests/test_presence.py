"""Walks, events and tombstones: what becomes of repositories over nights and weeks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fakes_catalog import CIVITAI, DAY, HF, WEEK, Clock, begun, checkpoint, listing, page

from crawler.catalog import Catalog, Walk
from crawler.catalog.changes import change_counts, changes
from crawler.catalog.engine import open_engine
from crawler.catalog.walks import MAX_FAILURES
from crawler.checkpoint import Page, Presence, Probe
from crawler.source import Mode

pytest_plugins = ("fakes_postgres",)

TOMBSTONE = timedelta(days=21)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(database_url: str, clock: Clock) -> Iterator[Catalog]:
    engine = open_engine(database_url)
    catalog = Catalog(engine, clock=clock)
    catalog.create()
    yield catalog
    engine.dispose()


def walked(catalog: Catalog, *pages: Page, complete: bool = True) -> Walk:
    """A walk that shows these pages and ends."""
    walk = begun(catalog)
    for one in pages:
        catalog.commit(walk, "all", one)
    catalog.walks.end(walk, complete=complete)
    if complete and walk.mode is Mode.FULL:
        catalog.absences.count(walk)
    return walk


def denied(number: str = "1", *, proof: bool = True) -> Probe:
    return Probe(number=number, presence=Presence.UNREACHABLE, detail="404 RepoNotFound", proof=proof)


def seen(catalog: Catalog) -> list[tuple[str, str]]:
    return [(one.what, one.repo) for one in changes(catalog.engine, "2026")]


def test_first_all_then_what_has_changed_then_all_again(catalog: Catalog, clock: Clock) -> None:
    first = walked(catalog, page())
    assert (first.mode, first.since) == (Mode.FULL, None)
    clock.move(days=1)
    second = walked(catalog, page())
    assert second.mode is Mode.INCREMENT
    assert second.since == datetime(2025, 12, 31, tzinfo=UTC)  # a day of overlap
    clock.move(days=1)
    third = walked(catalog, page())
    assert third.since == datetime(2026, 1, 1, tzinfo=UTC)
    clock.move(days=5)
    assert walked(catalog, page()).mode is Mode.FULL


def test_other_rules_read_all_anew(catalog: Catalog, clock: Clock) -> None:
    rhythm = {"full_every": WEEK, "overlap": DAY}
    for rules, mode in [("a", Mode.FULL), ("a", Mode.INCREMENT), ("b", Mode.FULL), ("b", Mode.INCREMENT)]:
        walk = catalog.walks.begin(HF, **rhythm, rules=rules)
        assert walk.mode is mode, rules
        catalog.walks.end(walk, complete=True)


def test_an_incomplete_walk_counts_for_nothing(catalog: Catalog, clock: Clock) -> None:
    walked(catalog, page(), complete=False)
    assert begun(catalog).mode is Mode.FULL


def test_an_interrupted_walk_goes_on_where_it_was(catalog: Catalog, clock: Clock) -> None:
    walk = begun(catalog, HF, "one", "two")
    catalog.commit(walk, "one", page(cursor="next"))
    clock.move(days=30)
    again = begun(catalog, HF, "one", "three")
    assert again.resumed
    assert (again.number, again.mode) == (walk.number, Mode.FULL)
    assert catalog.walks.cursor(HF, "one") == "next"
    assert [row.shard for row in catalog.walks.shards(HF)] == ["one", "three"]
    assert not begun(catalog, CIVITAI).resumed


def test_a_dump_is_a_walk_of_its_own(catalog: Catalog) -> None:
    dump = catalog.walks.begin_dump(HF)
    catalog.walks.take(dump, ["dump x"])
    assert begun(catalog).mode is Mode.FULL
    again = catalog.walks.begin_dump(HF)
    assert (again.number, again.resumed) == (dump.number, True)


def test_a_dump_does_not_replace_what_is_newer(catalog: Catalog) -> None:
    new = listing(revision="r2", updated_at="2026-01-02")
    walked(catalog, page(checkpoint(revision="r2"), listings=[new]))
    dump = catalog.walks.begin_dump(HF)
    old = listing(updated_at="2026-01-01")
    catalog.commit(dump, "all", page(checkpoint(), listings=[old, listing("2", "b/lora")]))
    assert list(catalog.checkpoints()) == [checkpoint(revision="r2")]
    assert catalog.counts()["repositories"] == 2


def test_a_cursor_that_keeps_failing_is_given_up(catalog: Catalog) -> None:
    walk = begun(catalog)
    catalog.commit(walk, "all", page(listings=[listing()], cursor="expired"))
    for attempt in range(MAX_FAILURES):
        assert catalog.walks.cursor(HF, "all") == "expired", attempt
        catalog.walks.fail(HF, "all", "status 400")
        assert catalog.walks.shards(HF)[0].error == "status 400"
        begun(catalog)
    assert catalog.walks.cursor(HF, "all") is None
    assert catalog.walks.shards(HF)[0].listed == 0


def test_events_say_what_became_of_a_repository(catalog: Catalog, clock: Clock) -> None:
    states = [
        listing(),
        listing(revision="r2"),
        listing(repo="b/new", revision="r2"),
        listing(repo="b/new", revision="r2", presence=Presence.GATED),
        listing(repo="b/new", revision="r2"),
        listing(repo="b/new", revision="r2", presence=Presence.TAKEN_DOWN),
    ]
    for state in states:
        walked(catalog, page(listings=[state]))
        clock.move(days=1)
    whats = ["new", "changed", "renamed", "gated", "opened", "taken_down"]
    assert [what for what, _ in seen(catalog)] == whats
    assert seen(catalog)[2] == ("renamed", "b/new")
    counts = change_counts(catalog.engine, HF, "2026-01-02")
    assert counts == {"changed": 1, "renamed": 1, "gated": 1, "opened": 1, "taken_down": 1}
    assert change_counts(catalog.engine, CIVITAI, "2026") == {}
    assert list(changes(catalog.engine, "2027")) == []


def test_what_did_not_change_is_no_event(catalog: Catalog, clock: Clock) -> None:
    for _ in range(3):
        walked(catalog, page(listings=[listing(downloads=clock.time.day)]))
        clock.move(days=1)
    assert seen(catalog) == [("new", "a/lora")]


def test_only_two_full_walks_without_it_make_a_hub_be_asked(catalog: Catalog, clock: Clock) -> None:
    walked(catalog, page(listings=[listing(), listing("2", "b/there")]))
    for _ in range(2):
        assert catalog.absences.due(HF, 10) == []
        clock.move(days=1)
        walked(catalog, page(listings=[listing("2", "b/there")]))  # an increment proves nothing
        clock.move(days=7)
        walked(catalog, page(listings=[listing("2", "b/there")]))
    (due,) = catalog.absences.due(HF, 10)
    assert due.number == "1"
    assert catalog.absences.due(CIVITAI, 10) == []


def missed(catalog: Catalog, clock: Clock) -> None:
    """A repository with a checkpoint that two full walks did not show."""
    walked(catalog, page(checkpoint(), listings=[listing()]))
    for _ in range(2):
        clock.move(days=7)
        walked(catalog, page())


def test_weeks_of_proof_make_a_tombstone(catalog: Catalog, clock: Clock) -> None:
    missed(catalog, clock)
    for day in range(22):
        assert len(catalog.absences.due(HF, 10)) == 1, day
        catalog.absences.record(HF, [denied()], tombstone_after=TOMBSTONE)
        assert catalog.absences.due(HF, 10) == []
        clock.move(days=1)
    assert seen(catalog)[1:] == [("unreachable", "a/lora"), ("gone", "a/lora")]
    (gone,) = [one for one in changes(catalog.engine, "2026") if one.what == "gone"]
    assert "unreachable since 2026-01-15" in gone.detail
    assert catalog.absences.due(HF, 10) == []
    assert list(catalog.checkpoints()) == []
    assert list(catalog.checkpoints(superseded=True)) == [checkpoint()]  # hash and metadata stay


def test_ambiguous_refusals_are_no_proof(catalog: Catalog, clock: Clock) -> None:
    missed(catalog, clock)
    for _ in range(40):
        catalog.absences.record(HF, [denied(proof=False)], tombstone_after=TOMBSTONE)
        clock.move(days=1)
    catalog.absences.record(HF, [denied()], tombstone_after=TOMBSTONE)
    assert [what for what, _ in seen(catalog)] == ["new", "unreachable"]
    assert list(catalog.checkpoints()) == [checkpoint()]


def test_proof_on_one_day_is_one_proof(catalog: Catalog, clock: Clock) -> None:
    missed(catalog, clock)
    catalog.absences.record(HF, [denied()], tombstone_after=TOMBSTONE)
    clock.move(days=30)
    for _ in range(5):
        catalog.absences.record(HF, [denied()], tombstone_after=TOMBSTONE)
    assert [what for what, _ in seen(catalog)] == ["new", "unreachable"]


def test_one_that_is_still_there_starts_afresh(catalog: Catalog, clock: Clock) -> None:
    missed(catalog, clock)
    catalog.absences.record(HF, [denied()], tombstone_after=TOMBSTONE)
    clock.move(days=1)
    there = Probe(number="1", presence=Presence.PRESENT, detail="200", listing=listing())
    catalog.absences.record(HF, [there], tombstone_after=TOMBSTONE)
    catalog.commit_probed(begun(catalog), [listing()], "")
    assert [what for what, _ in seen(catalog)] == ["new", "unreachable", "returned"]
    clock.move(days=1)
    assert catalog.absences.due(HF, 10) == []


def test_a_disabled_one_is_no_tombstone(catalog: Catalog, clock: Clock) -> None:
    missed(catalog, clock)
    disabled = Probe(number="1", presence=Presence.DISABLED, detail="403: disabled")
    catalog.absences.record(HF, [disabled], tombstone_after=TOMBSTONE)
    assert seen(catalog)[1:] == [("disabled", "a/lora")]
    clock.move(days=1)
    assert catalog.absences.due(HF, 10) == []


def test_one_that_comes_back_in_a_listing_returns(catalog: Catalog, clock: Clock) -> None:
    missed(catalog, clock)
    for _ in range(25):
        catalog.absences.record(HF, [denied()], tombstone_after=TOMBSTONE)
        clock.move(days=1)
    assert list(catalog.checkpoints()) == []
    walked(catalog, page(checkpoint(), listings=[listing()]))
    assert seen(catalog)[-1] == ("returned", "a/lora")
    assert list(catalog.checkpoints()) == [checkpoint()]
