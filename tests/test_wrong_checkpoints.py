"""Wrong checkpoints: who is one, what they reach, and what is no finding because of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from fakes_scanner import job
from test_match_stage import World, describe, extraction, picture
from test_matching import LIMITS, world

from reports.finding import Severity
from reports.findings.ladder import counts
from reports.matching.dense import NONE, measure
from reports.matching.measures import matches
from reports.matching.wrong_checkpoints import Scans, held_against, place_of
from reports.settings import ReportsSettings
from scanner.job import Outcome, State


def scans(rng, count, groups=6):
    return Scans(
        group=rng.permutation(np.arange(count) % groups),
        place=np.array([f"p{row % 4}" for row in range(groups)], object),
        recipe=np.array(["r"] * groups, object),
        base=np.array([f"b{row % 2}" for row in range(groups)], object),
        digests=[frozenset()] * groups,
    )


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_loop_over_all_pairs_finds(seed):
    probes, index = world(seed, extractions=24, references=9)
    known = scans(np.random.default_rng(seed), 24)
    found = list(matches(probes, index, LIMITS))
    assert found
    held = held_against(found, probes, known, index, 1, block=(5, 2))
    everything = measure(probes, index, np.arange(24), range(len(index)), control=False)
    nearest = np.maximum(everything.similarity, everything.similarity_mirror)
    for match in held:
        if match.similarity is None:
            continue
        row, column = int(match.extraction_id[1:]), int(match.ref_id[1:])
        mine = known.group[row]
        best = {
            group: max((nearest[one, column] for one in np.flatnonzero(known.group == group)), default=NONE)
            for group in range(6)
        }
        same = [
            value
            for group, value in best.items()
            if known.place[group] != known.place[mine]
            and known.base[group] == known.base[mine]
            and value > NONE
        ]
        wider = [
            value for group, value in best.items() if known.place[group] != known.place[mine] and value > NONE
        ]
        others = same or wider
        assert match.others == len(others)
        assert match.others_same_base == bool(same)
        assert match.others_as_near == sum(value >= match.similarity - 1e-6 for value in others)
        if others:
            assert match.others_similarity == pytest.approx(np.median(others), abs=1e-5)
            assert match.p_value == pytest.approx((1 + match.others_as_near) / (1 + len(others)))


def test_blocks_change_nothing():
    probes, index = world(1, extractions=24, references=9)
    known, found = scans(np.random.default_rng(1), 24), list(matches(probes, index, LIMITS))
    whole = held_against(found, probes, known, index, 1)
    parts = held_against(found, probes, known, index, 1, block=(1, 1))
    for one, other in zip(whole, parts, strict=True):
        assert one.others_similarity == pytest.approx(other.others_similarity, abs=2e-5)
        assert replace(one, others_similarity=None) == replace(other, others_similarity=None)


def test_no_matches_need_nothing():
    probes, index = world(1, extractions=4, references=3)
    assert held_against([], probes, scans(np.random.default_rng(1), 4), index, 1) == []


@pytest.mark.parametrize(
    ("change", "is_one"),
    [
        ({}, True),
        ({"place": "a"}, False),
        ({"recipe": "other"}, False),
        ({"base": "other"}, False),
        ({"digests": frozenset({"d"})}, False),
        ({"digests": frozenset({"e"})}, True),
    ],
)
def test_who_is_a_wrong_checkpoint(change, is_one):
    mine = {"place": "a", "recipe": "r", "base": "b", "digests": frozenset({"d"})}
    other = {"place": "z", "recipe": "r", "base": "b", "digests": frozenset(), **change}
    known = Scans(
        group=np.array([0, 1]),
        **{name: np.array([mine[name], other[name]], object) for name in ("place", "recipe", "base")},
        digests=[mine["digests"], other["digests"]],
    )
    assert known.others(0, same_base=True).tolist() == [False, is_one]
    if change == {"base": "other"}:
        assert known.others(0, same_base=False).tolist() == [False, True]


def test_epochs_of_one_training_are_one_place():
    first, second = (f"huggingface:ann/cats@{revision}:e{revision}.safetensors" for revision in "12")
    assert place_of(first) == place_of(second) == "huggingface:ann/cats"


def test_a_part_of_an_index_measures_as_the_whole():
    probes, index = world(3, extractions=6, references=12)
    some = np.array([1, 4, 5, 11])
    part = index.take(some)
    assert part.ref_ids == index.ref_ids.take(pa.array(some))
    whole = measure(probes, index, np.arange(6), range(12), control=False)
    found = measure(probes, part, np.arange(6), range(4), control=False)
    for name in ("phash", "phash256", "pdq", "similarity", "similarity_mirror"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name)[:, some], atol=1e-6)


def scan(stores: World, name: str, *seeds: int, base: str | None = None) -> None:
    subject = job(name)
    if base:
        subject = replace(subject, base_repo=base)
    found = tuple(extraction(rank, picture(seed), picture(900 + seed)) for rank, seed in enumerate(seeds))
    done = Outcome(job_id=subject.id, state=State.DONE, extractions=found, descriptor=describe.name)
    stores.extractions.write(subject, done)


@pytest.fixture
def stores(tmp_path):
    made = World(tmp_path)
    (tmp_path / "artist").mkdir()
    picture(1).save(tmp_path / "artist" / "1.png")
    made.references.add_folder("artist", tmp_path / "artist", [describe])
    made.settings = ReportsSettings(min_others=4)
    scan(made, "leaks", 1)
    return made


def test_a_picture_that_no_other_gives_has_a_low_p_value(stores):
    for number in range(4):
        scan(stores, f"other{number}", 10 + number)
    summary = stores.match()
    (found,) = stores.store.findings()
    assert (found.match.others, found.match.others_as_near, found.match.p_value) == (4, 0, pytest.approx(0.2))
    assert found.match.others_same_base
    assert found.match.others_similarity < 0.8
    assert counts(found)
    assert (summary.explained_by_others, summary.count(Severity.LOW)) == (0, 1)


def test_too_few_are_said_and_give_no_number(stores):
    for number in range(3):
        scan(stores, f"other{number}", 1)
    stores.match()
    found = next(one for one in stores.store.findings() if "leaks" in one.match.checkpoint_id)
    assert (found.match.others, found.match.others_as_near) == (3, 3)
    assert found.match.p_value is None
    assert not found.explained_by_others
    assert counts(found)


def test_what_half_of_the_others_give_is_labelled_and_not_counted(stores):
    for number in range(4):
        scan(stores, f"other{number}", 1 if number < 3 else 10)
    summary = stores.match()
    found = stores.store.findings()
    assert len(found) == 4
    assert all(one.explained_by_others and not one.explained_by_base and not counts(one) for one in found)
    assert {one.match.p_value for one in found} == {0.8}
    assert (summary.explained_by_others, summary.explained_by_base, summary.count(Severity.LOW)) == (4, 0, 0)
    assert summary.new == 0


def test_checkpoints_of_another_base_stand_in_where_there_are_too_few(stores):
    for number in range(4):
        scan(stores, f"other{number}", 10 + number, base="another/base" if number else None)
    stores.match()
    (found,) = stores.store.findings()
    assert (found.match.others, found.match.others_same_base) == (4, False)


def test_a_reference_that_is_a_hash_is_held_against_others_too(stores):
    from reports.matching.hashes import canonical, open_hasher

    code = open_hasher()(canonical(picture(1))).phash
    (stores.home / "list.txt").write_text(f"phash {code.hex()}\n")
    stores.references.add_list("partner", stores.home / "list.txt")
    for number in range(4):
        scan(stores, f"other{number}", 1)
    stores.match()
    mine = [one for one in stores.store.findings() if one.match.set_name == "partner"]
    assert len(mine) == 5
    assert {one.match.others_phash_distance for one in mine} == {0}
    assert all(one.explained_by_others for one in mine)


def test_an_extraction_that_two_checkpoints_give_is_shared(stores):
    scan(stores, "twin", 1, 30)
    scan(stores, "elsewhere", 1, base="another/base")
    summary = stores.match()
    evidence = stores.store.evidence()
    rows = stores.extractions.rows(["id", "checkpoint_id", "rank"]).to_pylist()
    by_name = {(row["checkpoint_id"].split("@")[0].split("/")[1], row["rank"]): row["id"] for row in rows}
    leaks = evidence[by_name["leaks", 0]]
    assert leaks.shared
    assert leaks.nearest_other == by_name["twin", 0]
    assert leaks.nearest_other_similarity == pytest.approx(1)
    assert not evidence[by_name["twin", 1]].shared
    alone = evidence[by_name["elsewhere", 0]]
    assert (alone.shared, alone.nearest_other) == (False, None)
    assert summary.shared == 2


def test_another_recipe_that_gives_it_too_is_told(stores):
    subject = job("leaks", job("leaks").recipe.model_copy(update={"steps": 7}))
    found = (extraction(0, picture(1), picture(50)), extraction(1, picture(60), picture(61)))
    done = Outcome(job_id=subject.id, state=State.DONE, extractions=found, descriptor=describe.name)
    stores.extractions.write(subject, done)
    stores.match()
    evidence = stores.store.evidence()
    assert evidence[f"{job('leaks').id}-000"].recipes_agreeing == (subject.recipe.id,)
    assert evidence[f"{subject.id}-000"].recipes_agreeing == (job("leaks").recipe.id,)
    assert (evidence[f"{subject.id}-001"].recipes, evidence[f"{subject.id}-001"].recipes_agreeing) == (1, ())
