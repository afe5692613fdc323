"""The match stage on real stores: what is found, what is erased, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes_matching import (
    BASE_KNOWS,
    DECOY,
    HASHER,
    LEAKED,
    MIRRORED,
    NOW,
    STRANGER,
    World,
    describe,
    extraction,
    fill,
    picture,
    scan,
)
from fakes_scanner import VAULT, job

from reports.finding import FindingState, ReportError, Severity
from reports.findings.store import FindingStore
from reports.matching.hash_store import HashStore
from reports.matching.hashes import Hasher, canonical
from reports.matching.stage import last_summary
from reports.settings import ReportsSettings
from scanner.extraction_store import ExtractionStore
from scanner.job import Outcome, State

needs_pdq = pytest.mark.skipif(not HASHER.has_pdq, reason="pdqhash is not installed")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Stores that nothing has been matched in: copied, never used."""
    home = tmp_path_factory.mktemp("filled")
    fill(home)
    return home


@pytest.fixture
def copy(filled):
    def one(home: Path) -> World:
        shutil.copytree(filled, home, dirs_exist_ok=True)
        return World(home)

    return one


@pytest.fixture
def world(copy, tmp_path):
    return copy(tmp_path)


def ranks(ids):
    return {int(name.rsplit("-", 1)[1]) for name in ids}


def on_disk(folder: Path, content: bytes) -> bool:
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_was_planted_is_found(world):
    summary = world.match()
    found = {one.match.ref_id: one for one in world.store.findings()}
    assert found.keys() == {"1.png", "2.png", "3.png"}
    assert found["1.png"].severity is Severity.CRITICAL
    assert found["1.png"].match.similarity == pytest.approx(1)
    assert found["1.png"].match.phash_distance == 0
    assert not found["1.png"].match.mirrored
    assert found["2.png"].match.mirrored
    assert found["2.png"].match.similarity == pytest.approx(1)
    assert found["2.png"].severity is Severity.CRITICAL
    assert found["3.png"].explained_by_base
    assert summary.explained_by_base == 1
    assert summary.count(Severity.LOW) == summary.new == 2
    assert summary.findings["critical"] == 2
    assert (summary.extractions, summary.hashed, summary.unhashed) == (5, 5, 0)
    assert last_summary(world.store) == summary


def test_a_match_with_a_decoy_is_a_false_one_and_no_finding(world):
    summary = world.match()
    assert {one.match.set_name for one in world.store.findings()} == {"artist"}
    assert [one.ref_id for one in world.store.matches(decoys=True)] == ["11.png"]
    assert summary.false_matches(Severity.HIGH) == (1, 10)
    decoys = next(one for one in summary.sets if one.decoy)
    median, _, highest = decoys.highest[describe.name]
    assert median < 0.8 < highest
    assert highest == pytest.approx(1)


def test_pixels_of_what_matched_nothing_are_gone_from_the_disk(world):
    before = {name: world.extractions.seals([name]) for name in world.extractions.image_ids()}
    summary = world.match()
    assert ranks(world.extractions.image_ids()) == {LEAKED, MIRRORED, BASE_KNOWS}
    assert (summary.erased, summary.kept) == (2, 3)
    for name, seals in before.items():
        key, picture, control, *descriptors = seals
        for seal in (key, picture, control):
            assert on_disk(world.home, seal) == (name in world.extractions.image_ids())
        assert len(descriptors) == 2
        assert all(on_disk(world.home, seal) for seal in descriptors)


def test_what_the_run_says_of_each_picture_is_on_record(world):
    world.match()
    fates = {ranks([one.extraction_id]).pop(): one for one in world.extractions.keys.fates()}
    assert {rank: one.matched for rank, one in fates.items()} == {
        LEAKED: True,
        MIRRORED: True,
        BASE_KNOWS: True,
        STRANGER: False,
        DECOY: False,
    }
    assert fates[STRANGER].dropped_why == "unmatched"
    assert fates[LEAKED].dropped_why is None


def test_a_legal_hold_keeps_a_picture_that_matched_nothing(world):
    (stranger,) = [one for one in world.extractions.image_ids() if ranks([one]) == {STRANGER}]
    with world.engine.begin() as db:
        world.desk.holds.put(db, stranger, "ann", "court")
    world.match()
    assert ranks(world.extractions.image_ids()) == {LEAKED, MIRRORED, BASE_KNOWS, STRANGER}
    with world.engine.begin() as db:
        world.desk.holds.release(db, stranger, "ann")
    world.match()
    assert stranger not in world.extractions.image_ids()


def test_a_negative_set_suppresses_and_what_it_suppresses_keeps_no_picture(world):
    settings = ReportsSettings(decoys=("decoys",), negatives=("innocent",))
    folder = world.home / "innocent"
    folder.mkdir()
    picture(1).save(folder / "logo.png")
    world.references.add_folder("innocent", folder, [describe], now=NOW)
    summary = world.match(settings=settings)
    found = {one.match.ref_id: one for one in world.store.findings()}
    assert found["1.png"].state is FindingState.SUPPRESSED
    assert found["1.png"].settled_by == "set innocent"
    assert found["2.png"].state is FindingState.NEW
    assert "logo.png" not in found
    assert summary.suppressed == 1
    assert ranks(world.extractions.image_ids()) == {MIRRORED, BASE_KNOWS}


def test_a_withdrawn_reference_restates_its_finding(world):
    world.match()
    world.references.withdraw("artist", "1.png", "ann", "asked by the artist")
    summary = world.match()
    found = {one.match.ref_id: one for one in world.store.findings()}
    assert (found["1.png"].state, found["1.png"].settled_by) == (FindingState.WITHDRAWN, "ann")
    assert (summary.withdrawn, summary.gone) == (1, 0)
    assert ranks(world.extractions.image_ids()) == {MIRRORED, BASE_KNOWS}
    world.references.restore("artist", "1.png")
    world.match()
    assert {one.match.ref_id: one.state for one in world.store.findings()}["1.png"] is FindingState.CHANGED


def test_a_suppressed_finding_is_not_counted_until_the_day(world):
    world.match()
    (finding,) = [one for one in world.store.findings() if one.match.ref_id == "1.png"]
    world.desk.suppressions.put(finding.id, "ann", "licensed", until=None)
    summary = world.match()
    assert summary.suppressed == 1
    assert sum(summary.findings.values()) == 1


def test_similarities_are_normalised_against_a_background_that_is_not_looked_for(world):
    folder = world.home / "strangers"
    folder.mkdir()
    for seed in range(60, 66):
        picture(seed).save(folder / f"{seed}.png")
    picture(4).save(folder / "4.png")
    world.references.add_folder("strangers", folder, [describe], now=NOW)
    world.match(settings=ReportsSettings(decoys=("decoys",), background="strangers"))
    found = world.store.findings()
    assert {one.match.set_name for one in found} == {"artist"}
    for one in found:
        assert one.match.normalised_similarity is not None
        assert one.match.normalised_similarity < one.match.similarity


def test_occurrences_lie_under_findings(world):
    scan(world.extractions, "dogs", extraction(0, picture(1), picture(30)))
    world.match()
    found = world.store.findings()
    for one in found:
        assert len(world.store.occurrences(one.id)) == one.occurrences
    assert len(world.store.occurrences()) == sum(one.occurrences for one in found)


@pytest.mark.parametrize(("keep", "left"), [("all", 5), ("never", 0)])
def test_pixels(world, keep, left):
    summary = world.match(settings=ReportsSettings(pixels=keep))
    assert summary.kept == len(world.extractions.image_ids()) == left


def test_a_new_set_is_matched_with_old_extractions_without_their_pixels(world):
    world.match()
    codes = HASHER(canonical(picture(4)))
    assert codes.phash is not None
    listed = world.home / "list.txt"
    listed.write_text(f"phash {codes.phash.hex()}\n" + (f"pdq {codes.pdq.hex()}\n" if codes.pdq else ""))
    world.references.add_list("partner", listed)
    summary = world.match()
    assert summary.hashed == 0
    found = [one for one in world.store.findings() if one.match.set_name == "partner"]
    assert {one.state for one in found} == {FindingState.NEW}
    assert {one.match.ref_id for one in found} == {"1", "2"} if codes.pdq else {"1"}
    assert all(one.match.similarity is None and not one.explained_by_base for one in found)
    partner = next(one for one in summary.sets if one.name == "partner")
    assert partner.compared_by[describe.name] == 0
    assert partner.compared_by["phash"] == 5


@needs_pdq
def test_the_base_explains_a_hash_too(world):
    codes = HASHER(canonical(picture(3)))
    listed = world.home / "list.txt"
    listed.write_text(f"pdq {codes.pdq.hex()}")
    world.references.add_list("partner", listed)
    world.match()
    (found,) = [one for one in world.store.findings() if one.match.set_name == "partner"]
    assert found.match.control_pdq_distance == 0
    assert found.explained_by_base


def test_states_from_run_to_run(world):
    world.match()
    scan(world.extractions, "dogs", extraction(0, picture(1), picture(30)))
    assert world.match().new == 1
    world.references.remove("artist")
    summary = world.match()
    assert (summary.run, summary.gone, summary.count(Severity.LOW)) == (3, 4, 0)
    assert {one.state for one in world.store.findings()} == {FindingState.GONE}
    # What no longer matches anything keeps no pixels either.
    assert summary.kept == 0


def test_twice_in_one_sweep_is_one_run(world):
    world.match(sweep="monday")
    first = world.state()
    world.match(sweep="monday")
    assert world.state() == first
    summary = world.match(sweep="tuesday")
    assert (summary.run, summary.new) == (2, 0)


def test_a_picture_made_again_is_hashed_again(world):
    world.match()
    scan_time = datetime(2026, 11, 25, tzinfo=UTC)
    subject = job("cats")
    found = (extraction(0, picture(2), picture(40)),)
    done = Outcome(job_id=subject.id, state=State.DONE, extractions=found, descriptor=describe.name)
    world.extractions.write(subject, done, now=scan_time)
    summary = world.match()
    assert (summary.extractions, summary.hashed) == (1, 1)
    today = [one for one in world.store.findings() if one.state is not FindingState.GONE]
    assert [(one.match.ref_id, one.match.phash_distance) for one in today] == [("2.png", 0)]


def test_without_pdq_the_summary_says_so(world):
    summary = world.match(hasher=Hasher(None))
    assert summary.pdq == {"not installed": 5}
    assert next(one for one in summary.sets if one.name == "artist").compared_by["pdq"] == 0
    assert summary.findings["critical"] == 2


def test_hashes_come_later_when_the_hasher_does(world):
    world.match(hasher=Hasher(None), settings=ReportsSettings(pixels="all"))
    assert world.match().hashed == (5 if HASHER.has_pdq else 0)


def test_without_references_nothing_is_found_and_nothing_fails(tmp_path):
    world = World(tmp_path)
    scan(world.extractions, "cats", extraction(0, picture(1), picture(2)))
    summary = world.match(settings=ReportsSettings())
    assert (summary.sets, summary.count(Severity.LOW), summary.kept) == ((), 0, 0)


def test_without_extractions_nothing_fails(tmp_path):
    world = World(tmp_path)
    (tmp_path / "list.txt").write_text("9b6cd3a40f2e71d8")
    world.references.add_list("partner", tmp_path / "list.txt")
    assert world.match(settings=ReportsSettings()).extractions == 0


@pytest.mark.parametrize(
    "settings",
    [ReportsSettings(decoys=("none",)), ReportsSettings.model_validate({"sets": {"none": {}}})],
)
def test_a_setting_that_names_no_set_is_an_error(world, settings):
    with pytest.raises(ReportError, match=r'"none", which does not exist; there are: artist, decoys'):
        world.match(settings=settings)
    assert len(world.extractions.image_ids()) == 5


def test_two_matchings_at_once_are_refused(world):
    with world.store.writing(), pytest.raises(ReportError, match="another process"):
        world.match(desk=replace(world.desk, findings=FindingStore(world.store.path, world.engine)))


def test_progress_tells_what_is_done(world):
    seen = []
    world.match(progress=lambda what, done, total: seen.append((what, done, total)))
    assert seen == [("hashing", 5, 5), ("matching", 1, 2), ("matching", 2, 2)]


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def dies(cls, name, *, after, death):
    """Return `cls` with a method that dies before or after it has done its work."""

    def method(self, *args, **kwargs):
        if after:
            getattr(cls, name)(self, *args, **kwargs)
        death()

    return type(f"Dying{cls.__name__}", (cls,), {name: method})


def raise_killed():
    raise Killed


POINTS = [
    (HashStore, "put_hashes", True),
    (FindingStore, "replace_matches", False),
    (FindingStore, "replace_matches", True),
    (FindingStore, "replace_findings", True),
    (FindingStore, "put_run", False),
    (FindingStore, "put_run", True),
    (ExtractionStore, "erase_dropped", False),
    (ExtractionStore, "erase_dropped", True),
]


def dying(world, cls, name, after, death):
    broken = dies(cls, name, after=after, death=death)
    stores = {
        HashStore: ("hashes", lambda: broken(world.desk.hashes.path, VAULT)),
        FindingStore: ("findings", lambda: broken(world.store.path, world.engine)),
        ExtractionStore: ("extractions", lambda: broken(world.extractions.path, world.extractions.keys)),
    }
    place, make = stores[cls]
    return {"desk": replace(world.desk, **{place: make()})}


@pytest.mark.parametrize(("cls", "name", "after"), POINTS)
def test_cut_off_anywhere_and_run_again_it_ends_the_same(copy, tmp_path, cls, name, after):
    undisturbed, cut_off = copy(tmp_path / "a"), copy(tmp_path / "b")
    for world in (undisturbed, cut_off):
        world.match()
        scan(
            world.extractions,
            "dogs",
            extraction(0, picture(1), picture(30)),
            extraction(1, picture(5), picture(31)),
        )
    undisturbed.match(sweep="night")
    with pytest.raises(Killed):
        cut_off.match(sweep="night", **dying(cut_off, cls, name, after, raise_killed))
    # A new process opens the stores anew.
    again = World(tmp_path / "b")
    again.match(sweep="night")
    assert again.state() == undisturbed.state()


def test_kill_9_and_run_again_it_ends_the_same(copy, tmp_path):
    undisturbed, killed = copy(tmp_path / "a"), copy(tmp_path / "b")
    undisturbed.match()
    child = subprocess.run([sys.executable, __file__, str(tmp_path / "b")], check=False, capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert killed.store.last_run() is None
    World(tmp_path / "b").match()
    assert World(tmp_path / "b").state() == undisturbed.state()


def test_the_summary_is_plain_json(world):
    content = json.loads(json.dumps(world.match().as_dict()))
    assert content["findings"] == {"critical": 2, "high": 0, "medium": 0, "low": 0}


if __name__ == "__main__":
    here = World(Path(sys.argv[1]))
    here.match(
        **dying(here, FindingStore, "replace_findings", True, lambda: os.kill(os.getpid(), signal.SIGKILL))
    )
