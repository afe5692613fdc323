"""Triage in a scan: the order by expected findings, what is set aside, and that nothing is for good."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes_catalog import begun
from fakes_scanner import BASE, RECIPE, FakeFiles, extraction, extraction_store, job, lora
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Base, Kind, Page, RemoteFile, Skip, SkipReason, Training
from extraction.triage.reading import Reading, Rung
from scanner.job import Job, Outcome, State
from scanner.ledger import Ledger
from scanner.plan import plan
from scanner.scan import ScanSummary, scan
from scanner.settings import ScannerSettings, TriageSettings
from scanner.triage import (
    by_value,
    expected_findings,
    expected_seconds,
    header_reading,
    reason_to_set_aside,
    recorded,
    stands,
)
from scanner.worker import Worker

SKIP = TriageSettings(mode="skip", header_below=0.2, images_below=0.1)


def read(rung: Rung, score: float | None) -> Reading:
    return Reading(rung=rung, score=score, why="so it is", forwards=0, seconds=0.0, measures={"x": 1.0})


def trained(name: str, **known: int) -> Job:
    subject = job(name)
    return replace(subject, checkpoint=replace(subject.checkpoint, training=Training(**known)))


def test_nothing_is_set_aside_by_default():
    assert ScannerSettings().triage.thresholds == {}
    assert TriageSettings(header_below=0.5).thresholds == {}, "a threshold alone is not the mode"
    assert TriageSettings(mode="skip").thresholds == {}, "nor is the mode alone"
    assert SKIP.thresholds == {Rung.HEADER: 0.2, Rung.IMAGES: 0.1}


@pytest.mark.parametrize("wrong", [{"header_below": 2}, {"images_below": -3}, {"mode": "maybe"}])
def test_settings_out_of_range(wrong: dict[str, Any]):
    with pytest.raises(ValidationError):
        TriageSettings(**wrong)


def test_the_reason_names_rung_score_threshold_and_remedy():
    why = reason_to_set_aside([read(Rung.HEADER, 0.5), read(Rung.IMAGES, 0.05)], SKIP)
    assert why == (
        "rung 'images': score 0.05 is below scanner.triage.images_below = 0.1; so it is. "
        "Lower the threshold or set scanner.triage.mode to scan it"
    )


def test_a_rung_that_knows_nothing_sets_nothing_aside():
    assert reason_to_set_aside([read(Rung.HEADER, None)], SKIP) is None
    assert header_reading(lora("silent")).score is None


@pytest.mark.parametrize(
    ("settings", "still"),
    [
        (SKIP, True),
        (SKIP.model_copy(update={"images_below": 0.05}), False),
        (SKIP.model_copy(update={"images_below": None}), False),
        (SKIP.model_copy(update={"mode": "order"}), False),
        (SKIP.model_copy(update={"mode": "off"}), False),
    ],
)
def test_it_stands_only_as_long_as_the_settings_say(settings: TriageSettings, still: bool):
    measures = {"triage": recorded([read(Rung.HEADER, 0.9), read(Rung.IMAGES, 0.05)])}
    assert stands(measures, settings) is still


@pytest.mark.parametrize("measures", [{}, {"triage": 3}, {"triage": [{"rung": "horoscope"}]}])
def test_what_cannot_be_read_comes_back(measures: dict[str, Any]):
    assert not stands(measures, SKIP)


def test_those_that_were_seen_most_come_first():
    few = trained("few", images=10, steps=100, batch=1)
    many = trained("many", images=10, steps=10_000, batch=4)
    unknown = trained("unknown")
    assert [one.checkpoint.repo for one in by_value([few, unknown, many])] == [
        "ann/many",
        "ann/unknown",
        "ann/few",
    ]
    assert expected_findings(many) > expected_findings(unknown) > expected_findings(few) > 0


def test_a_dear_family_waits_for_what_it_is_worth():
    cheap, dear = trained("cheap"), trained("dear")
    dear = replace(dear, checkpoint=replace(dear.checkpoint, family="flux"), base_repo="base/flux")
    assert expected_seconds(dear) > 10 * expected_seconds(cheap)
    assert by_value([dear, cheap]) == [cheap, dear]


def test_a_full_model_is_dearer_to_swap_in():
    full = trained("full")
    full = replace(full, checkpoint=replace(full.checkpoint, kind=Kind.FULL))
    assert expected_seconds(full) == expected_seconds(trained("lora")) + 2


JOBS = st.lists(
    st.builds(
        lambda name, base, steps: replace(
            trained(name, images=5, **({"steps": steps} if steps else {})), base_repo=base
        ),
        st.sampled_from("abcdefgh"),
        st.sampled_from(["base/one", "base/two", "base/three"]),
        st.sampled_from([0, 10, 1000]),
    ),
    max_size=10,
    unique_by=lambda one: one.checkpoint.id,
)


@given(JOBS, st.randoms(use_true_random=False))
def test_the_order_keeps_bases_together_and_does_not_depend_on_the_catalogs(jobs: list[Job], random: Any):
    ordered = by_value(jobs)
    assert sorted(one.id for one in ordered) == sorted(one.id for one in jobs)
    bases = [one.base_repo for one in ordered]
    assert sum(before != after for before, after in pairwise(bases)) == max(0, len(set(bases)) - 1)
    shuffled = list(jobs)
    random.shuffle(shuffled)
    assert by_value(shuffled) == ordered


def test_the_plan_leaves_out_what_the_header_is_below_and_says_so():
    hardly = replace(lora("hardly"), training=Training(images=100, steps=100))
    silent = lora("silent")
    settings = ScannerSettings(triage=SKIP)
    known = Base(repo=BASE, revision="r", family="sd1", files=())
    rows = list(plan([hardly, silent], RECIPE, lambda _: known, frozenset(), settings=settings))
    [skip] = [row for row in rows if isinstance(row, Skip)]
    assert (skip.repo, skip.reason) == ("ann/hardly", SkipReason.SET_ASIDE_BY_TRIAGE)
    assert "seen 1 times" in skip.detail
    assert [row.checkpoint for row in rows if isinstance(row, Job)] == [silent]
    jobs = list(plan([hardly], RECIPE, lambda _: known, frozenset()))
    [done] = [row.id for row in jobs if isinstance(row, Job)]
    assert list(plan([hardly], RECIPE, lambda _: known, {done}, settings=settings)) == []


class SettingAside:
    """A worker that sets everything aside."""

    def run(self, subject: Job, base: Path, weights: Path, progress: Any = None) -> Outcome:
        return Outcome(
            job_id=subject.id,
            state=State.SKIPPED,
            reason=SkipReason.SET_ASIDE_BY_TRIAGE,
            detail="rung 'images'",
            measures={"triage": recorded([read(Rung.IMAGES, 0.05)])},
        )


class Refusing:
    """A worker that can load nothing."""

    def run(self, subject: Job, base: Path, weights: Path, progress: Any = None) -> Outcome:
        return Outcome(job_id=subject.id, state=State.SKIPPED, reason="unsupported_kind", detail="a LoHa")


class Scanning:
    """A worker that scans."""

    def run(self, subject: Job, base: Path, weights: Path, progress: Any = None) -> Outcome:
        return Outcome(job_id=subject.id, state=State.DONE, extractions=(extraction(0),), descriptor="t")


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Scan a catalog of one checkpoint with a worker and settings; returns the summary and the row."""
    engine = open_engine(f"sqlite:///{tmp_path}/leaksweep.db")
    catalog, ledger, store = Catalog(engine), Ledger(engine), extraction_store(tmp_path / "extractions")
    catalog.create()
    catalog.commit(begun(catalog), "all", Page(rows=(lora("a"),)))
    weights = RemoteFile(path="unet.safetensors", url="http://hub.test/base", size=1, sha256=None)
    catalog.bases.put(Base(repo=BASE, revision="r", family="sd1", files=(weights,)))

    def call(worker: type, triage: TriageSettings, **options: Any) -> tuple[ScanSummary, tuple[str, str]]:
        settings = ScannerSettings(triage=triage)
        summary = scan(catalog, ledger, store, FakeFiles(), settings, RECIPE, make_worker=worker, **options)
        [row] = ledger.rows(RECIPE.id)
        return summary, (str(row.state), row.reason)

    yield call
    engine.dispose()


def test_what_was_set_aside_is_scanned_when_the_threshold_is_lowered(run: Any):
    aside = ("skipped", "set_aside_by_triage")
    summary, row = run(SettingAside, SKIP)
    assert (summary.skipped, row) == (1, aside)
    summary, row = run(Scanning, SKIP)
    assert (summary.planned, row) == (0, aside), "the same settings do not ask again"
    summary, row = run(Scanning, SKIP.model_copy(update={"images_below": 0.01}))
    assert (summary.planned, summary.done, row) == (1, 1, ("done", ""))


def test_turning_triage_off_scans_it(run: Any):
    run(SettingAside, SKIP)
    assert run(Scanning, TriageSettings(mode="off"))[1] == ("done", "")


def test_retrying_what_was_skipped(run: Any):
    run(Refusing, TriageSettings())
    assert run(Scanning, TriageSettings())[1] == ("skipped", "unsupported_kind")
    assert run(Scanning, TriageSettings(), retry_skipped=True)[1] == ("done", "")


def worker(triage: TriageSettings, extract: Any, pair: Any) -> Worker:
    return Worker(
        "thumbnail",
        ScannerSettings(device="cpu", triage=triage),
        load_pair=lambda *_, **__: pair,
        extract=extract,
        open_descriptor=lambda *_, **__: SimpleNamespace(name="t"),
        clock=lambda: 0.0,
    )


def test_a_worker_sets_aside_before_the_full_run():
    subject = trained("hardly", images=100, steps=100)
    pair = SimpleNamespace(
        tune=lambda *_: SimpleNamespace(relative_change=0.1, notes=(), words=()), family="sd1"
    )
    found = worker(SKIP, pytest.fail, pair).run(subject, Path("base"), Path("w"))
    assert (found.state, found.reason) == (State.SKIPPED, "set_aside_by_triage")
    assert "rung 'header'" in found.detail
    assert found.measures is not None
    assert stands(found.measures, SKIP)


def test_a_worker_that_is_not_to_skip_climbs_nothing():
    subject = trained("hardly", images=100, steps=100)
    pair = SimpleNamespace(
        tune=lambda *_: SimpleNamespace(relative_change=0.1, notes=(), words=()), family="sd1"
    )
    found = worker(TriageSettings(header_below=0.9), lambda *_, **__: ([extraction(0)], {}), pair).run(
        subject, Path("base"), Path("w")
    )
    assert found.state is State.DONE
    assert found.measures is not None
    assert "triage" not in found.measures
