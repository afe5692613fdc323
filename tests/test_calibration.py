"""Calibration: what it measures, what it chooses, and what it refuses."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from fakes_pictures import scene
from scipy.stats import norm
from scipy.stats import t as student

from extraction.descriptors import Thumbnail
from leaksweep.cli import main
from leaksweep.config_text import section_text
from reports.calibration import told
from reports.calibration.choose import Chosen, Targets, choose, severities
from reports.calibration.curves import curve, look_alikes, loosest, reached
from reports.calibration.distortions import DISTORTIONS
from reports.calibration.labels import precision_by
from reports.calibration.pairs import SIGNALS, Measured, measure_folder
from reports.calibration.shares import share_by_thing, share_of_strangers
from reports.finding import ReportError, Severity
from reports.matching.hashes import open_hasher
from reports.rates.estimate import Z, clustered
from reports.rates.leakage import Proportion
from reports.settings import Ladder, Similarities

FEW = {name: DISTORTIONS[name] for name in ("as it is", "JPEG 50", "mirrored", "5 % cut off each side")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of different things, and two of one thing."""
    root = tmp_path_factory.mktemp("pictures")
    for seed in range(12):
        scene(seed, (128, 96)).save(root / f"{seed:02d}.png")
    (root / "thing").mkdir()
    for seed in (50, 51):
        scene(seed, (128, 96)).save(root / "thing" / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def measured(folder: Path) -> Measured:
    return measure_folder(folder, Thumbnail(), open_hasher(), min_pdq_quality=0, distortions=FEW)


@pytest.fixture(scope="module")
def chosen(measured: Measured) -> Chosen:
    return choose(measured, Targets(critical=0.05, high=0.05, low=0.1), Ladder())


def test_every_copy_is_held_against_every_picture(measured: Measured) -> None:
    assert len(measured.names) == 14
    assert measured.copies.shape == (14 * len(FEW), 14)
    assert measured.copies.sum() == 14 * len(FEW)
    assert measured.alike.sum() == 2 * len(FEW)
    total = measured.copies | measured.alike | measured.strangers
    assert total.all()
    assert not (measured.copies & measured.strangers).any()


def test_a_picture_as_it_is_lies_at_no_distance(measured: Measured) -> None:
    plain = np.array(measured.distortions) == "as it is"
    own = measured.copies[plain]
    assert (measured.values["phash"][plain][own] == 0).all()
    np.testing.assert_allclose(measured.values["similarity"][plain][own], 1, atol=1e-5)


def test_a_mirror_is_found_and_a_crop_is_further_off_than_a_jpeg(measured: Measured) -> None:
    kinds = np.array(measured.distortions)

    def median(kind: str) -> float:
        rows = kinds == kind
        return float(np.nanmedian(measured.values["phash256"][rows][measured.copies[rows]]))

    assert median("mirrored") == 0
    assert median("JPEG 50") < median("5 % cut off each side")


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_looser_threshold_never_reaches_less(measured: Measured, signal: str) -> None:
    points = curve(measured, signal)
    for rate in ("recall", "false_pairs", "false_pictures"):
        counts = [getattr(one, rate).count for one in points]
        assert counts == sorted(counts)


@pytest.mark.parametrize("rate", [0.0005, 0.01, 0.03, 0.1, 0.3])
def test_the_loosest_threshold_keeps_the_interval_below_the_rate(measured: Measured, rate: float) -> None:
    points = curve(measured, "similarity")
    found = loosest(points, rate)
    if found is None:
        assert points[0].false_pairs.interval[1] > rate
    else:
        assert found.false_pairs.interval[1] <= rate
        looser = [one for one in points if one.threshold < found.threshold]
        assert not looser or looser[0].false_pairs.interval[1] > rate


def test_nothing_is_chosen_that_is_looser_than_what_was_published(chosen: Chosen) -> None:
    published = Ladder()
    for name in ("pdq_critical", "pdq_high", "pdq_low", "phash_high", "phash_low", "phash256_high"):
        assert getattr(chosen.ladder, name) <= getattr(published, name)
    assert chosen.ladder.thumbnail.high >= published.thumbnail.high
    assert chosen.limited


def test_too_few_pairs_for_a_rate_are_said_and_what_was_published_is_kept(measured: Measured) -> None:
    strict = choose(measured, Targets(critical=1e-9, high=1e-9, low=1e-9), Ladder())
    assert strict.ladder.pdq_high == Ladder().pdq_high
    assert any(
        re.fullmatch(r"pdq_high: shown to be below 0\.\d+ only, not 1e-09; the published 30 is kept", one)
        for one in strict.limited
    )


def test_strangers_that_were_seen_make_it_stricter_even_where_nothing_can_be_shown(
    measured: Measured,
) -> None:
    points = curve(measured, "similarity")
    first = next(at for at, one in enumerate(points) if one.false_pairs.count)
    loose = Ladder(thumbnail=Similarities(critical=0.99, high=0.3, medium=0.25, low=0.2))
    strict = choose(measured, Targets(critical=1e-9, high=1e-9, low=1e-9), loose)
    assert strict.ladder.thumbnail.high == points[first - 1].threshold > 0.3
    assert any(
        "thumbnail.high: 0.3 lets in more than 1e-09 of the strangers" in one for one in strict.limited
    )


def test_a_severity_or_above_finds_what_its_rules_find(measured: Measured, chosen: Chosen) -> None:
    found = severities(measured, chosen.ladder, chosen.curves)
    recalls = [found[severity].point.recall.count for severity in reversed(Severity)]
    assert recalls == sorted(recalls)
    for rule in chosen.rules:
        assert rule.point.recall.count <= found[rule.severity].point.recall.count
    plain = found[Severity.CRITICAL].by_distortion["as it is"]
    assert plain.count == plain.of == 14


def test_what_is_told_holds_no_name_and_no_hash(measured: Measured, chosen: Chosen) -> None:
    content = told.content(measured, chosen)
    plain = json.dumps(content)
    assert "00.png" not in plain
    assert content["pictures"] == 14
    assert set(content["curves"]) == set(SIGNALS)
    text = told.text(measured, chosen)
    assert "14 pictures, 56 distorted copies" in text
    assert "critical or above" in text
    assert "note:" in text


def test_the_ladder_as_a_settings_file_is_read_back(
    measured: Measured, chosen: Chosen, tmp_path: Path
) -> None:
    text = section_text("reports.ladder", chosen.ladder)
    read = tomllib.loads(text)["reports"]["ladder"]
    assert Ladder.model_validate(read) == chosen.ladder
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert main(["config", "check", "--config", str(file)]) == 0


def test_copies_count_by_thing_as_checkpoints_do_by_owner() -> None:
    hit, things = np.arange(40) < 8, np.arange(40) // 8
    share = share_by_thing(hit, things)
    assert (share.count, share.of) == (8, 40)
    assert share.interval == pytest.approx((clustered(hit, things).low, clustered(hit, things).high))
    assert share_by_thing(np.ones(40, bool), things).interval[0] < 0.6  # five things, not forty copies


def test_the_interval_of_pairs_leaves_out_one_thing_at_a_time() -> None:
    things, rng = np.repeat(np.arange(9), 2), np.random.default_rng(4)
    hit = (things[:, None] != things[None]) & (rng.random((18, 18)) < 0.2)
    share = share_of_strangers(things, things, *np.nonzero(hit))
    left_out = []
    for thing in range(9):
        kept = np.ix_(things != thing, things != thing)
        left_out.append(hit[kept].sum() / (16 * 14))
    value = hit.sum() / (18 * 16)
    variance = 8 / 9 * ((np.array(left_out) - value) ** 2).sum()
    slack = (Z / student.ppf(0.975, 8)) ** 2
    assert (share.count, share.of) == (hit.sum(), 18 * 16)
    assert share.size == pytest.approx(min(18 * 16, value * (1 - value) / variance) * slack)


def test_none_of_many_pairs_of_few_things_shows_little() -> None:
    things, none = np.arange(20), np.zeros(0, np.int64)
    share = share_of_strangers(things, things, none, none)
    assert (share.of, share.size) == (380, 10)
    assert share_of_strangers(things, things, none, none, unseen=100).size == 100
    assert share_of_strangers(things[:2], things[:2], none, none).size == 1


def test_the_interval_of_pairs_holds_the_truth_where_pictures_are_unlike() -> None:
    # Each thing lies more or less near to everything: pairs as if independent hold it in 4 of 10.
    rng, held, naive = np.random.default_rng(5), [], []
    near = rng.standard_normal((400, 40)) * 0.7
    noise = rng.standard_normal((400, 40, 40))
    hits = near[:, :, None] + near[:, None] + noise > 2.5
    hits &= ~np.eye(40, dtype=bool)
    truth = norm.sf(2.5 / np.sqrt(2 * 0.49 + 1))
    for hit in hits:
        share = share_of_strangers(np.arange(40), np.arange(40), *np.nonzero(hit))
        plain = Proportion(count=share.count, of=share.of).interval
        held.append(share.interval[0] <= truth <= share.interval[1])
        naive.append(plain[0] <= truth <= plain[1])
    assert 0.92 <= np.mean(held) <= 0.98
    assert np.mean(naive) < 0.6


def test_look_alikes_are_neither_copies_nor_strangers(measured: Measured) -> None:
    everything = reached(measured, "similarity", -1.0)
    assert look_alikes(measured, everything).count == 2 * len(FEW)


def test_curves_are_drawn(chosen: Chosen, tmp_path: Path) -> None:
    told.plot(chosen.curves).savefig(tmp_path / "curves.svg", format="svg")
    assert "PDQ, bits of 256" in (tmp_path / "curves.svg").read_text()


def test_labels_give_a_precision_for_each_severity_and_rule() -> None:
    from test_holds import finding

    first, second = finding("x-000"), finding("x-000", "other")
    found = precision_by([first, second], {first.id: True, second.id: False, "unknown": True})
    assert {name: (one.count, one.of) for name, one in found.items()} == {
        "severity high": (1, 2),
        "rule r": (1, 2),
    }


def test_the_command_writes_the_ladder_and_the_curves(folder: Path, tmp_path: Path, capsys) -> None:
    options = ["--home", str(tmp_path / "home"), "--set", "recipe.descriptor=thumbnail"]
    options += ["--write", str(tmp_path / "l.toml"), "--plot", str(tmp_path / "c.png"), "--json"]
    assert main(["calibrate", str(folder), *options]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["copies"] == 14 * len(DISTORTIONS)
    assert tomllib.loads((tmp_path / "l.toml").read_text())["reports"]["ladder"]["calibrated_from"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "name a FOLDER of pictures"),
        (["x", "--high", "0.5"], "nor --high above --low"),
        (["x", "--plot", "c.pdf"], "drawn as .svg or .png"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(words: list[str], reason: str, tmp_path: Path, capsys) -> None:
    assert main(["calibrate", *words, "--home", str(tmp_path)]) == 4
    assert reason in capsys.readouterr().err


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    scene(1, (64, 64)).save(tmp_path / "1.png")
    with pytest.raises(ReportError, match="holds 1 pictures, and 10 are the fewest"):
        measure_folder(tmp_path, Thumbnail(), open_hasher())


def test_a_broken_picture_is_named(folder: Path, tmp_path: Path) -> None:
    for seed in range(10):
        scene(seed, (64, 64)).save(tmp_path / f"{seed}.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ReportError, match=r"broken\.png"):
        measure_folder(tmp_path, Thumbnail(), open_hasher())
