"""The table of rates: units, groups, denominators, samples, and the words for each row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
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
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.catalog.allocation import Allocation
from crawler.catalog.sample import Design, Member, Sample, Stratum
from crawler.catalog.samples import Weight
from crawler.catalog.selection import Selection
from crawler.checkpoint import Hub, Kind, SkipReason
from reports.export.columns import markdown
from reports.export.tables import write_table
from reports.finding import ReportError, Severity
from reports.rates import groups
from reports.rates.accuracy import read_sensitivity
from reports.rates.columns import RATES
from reports.rates.facts import Facts
from reports.rates.frame import rates_frame
from reports.rates.rate import RateTable
from reports.rates.sentence import described, sentence
from reports.rates.table import Drawn, rate_table
from reports.rates.units import Fate
from reports.rates.words import per_cent, span
from reports.settings import Ladder, ReportsSettings
from scanner.job import State


def loras(count: int, **fields):
    """Each of an owner of its own."""
    return [a_checkpoint(f"owner{number}/lora", **fields) for number in range(count)]


def a_table(
    count: int = 212, leaking: int = 31, left_out: int = 96, *, matching=None, **arguments
) -> RateTable:
    """A run of so many scanned LoRAs of SD 1 on Hugging Face, each of its own owner."""
    checkpoints = loras(count)
    report = a_report(
        checkpoints,
        skips=[a_skip(f"gated/{n}", SkipReason.GATED, family="sd1", kind=Kind.LORA) for n in range(left_out)],
        findings=[a_finding(one) for one in checkpoints[:leaking]],
        **({"matching": matching} if matching else {}),
    )
    return rate_table(report, **({"decoy_hits": ()} | arguments))


def said(table: RateTable) -> str:
    return sentence(table.total, table)


def facts(rows: dict[str, tuple[str, str | None, int | None]]) -> Facts:
    """Of checkpoints by id: content, when its repository was made, downloads."""
    repositories = [
        (name.partition(":")[0], name.partition(":")[2].partition("@")[0], made, downloads)
        for name, (_, made, downloads) in rows.items()
    ]
    return Facts(
        checkpoints=pd.DataFrame(
            [(name, content, None) for name, (content, _, _) in rows.items()],
            columns=["checkpoint_id", "content", "own_downloads"],
            dtype="object",
        ),
        repositories=pd.DataFrame(
            repositories, columns=["hub", "repo", "created_at", "downloads"], dtype="object"
        ),
    )


def test_the_sentence_says_all_that_the_number_needs():
    assert said(a_table()) == (
        "Of 212 scanned checkpoints, 31 (14.6 %, 95 % interval 10.5 to 20.0 %) gave back at least one "
        "picture of the reference sets at high severity or above. "
        "96 were left out: if none of these 96 more leaked, or all, the rate would be 10.1 or 41.2 %. "
        "Without the match's false findings (0 % of clean checkpoints, 95 % interval 0 to 1.9 %; 0 of 212 "
        "scanned checkpoints matched a decoy; 1.05 times as many references as decoys), it is 14.6 % (95 % "
        "interval 10.2 to 19.9 %); how many leaks the method misses was not given, so this is a lower "
        "bound of those that leak. "
        "The rate says nothing of pictures that no set holds."
    )


def test_the_sentence_of_a_group_names_it():
    table = a_table(left_out=0, by=[("hub", "family", "kind")])
    (only,) = table.by("hub", "family", "kind")
    assert sentence(only, table).startswith(
        "Of 212 scanned LoRA checkpoints of Stable Diffusion 1 on Hugging Face, 31 (14.6 %, "
    )


def test_both_inputs_of_the_correction_are_named():
    hits = [one.id for one in loras(212)[-3:]]
    text = said(a_table(left_out=0, decoy_hits=hits, sensitivity=read_sensitivity("21/105", "our zoo")))
    assert (
        "Corrected for the match's false findings (1.5 % of clean checkpoints, 95 % interval 0.5 to 4.3 %; "
        "3 of 212 scanned checkpoints matched a decoy; 1.05 times as many references as decoys) and for a "
        "method that finds 20.0 % of those that leak, 13.5 to 28.6 % (our zoo), 66.7 % (95 % interval"
    ) in text
    assert text.endswith(" leak. The rate says nothing of pictures that no set holds.")


@pytest.mark.parametrize(
    ("scanned", "leaking", "beginning"),
    [
        (212, 0, "Of 212 scanned checkpoints, none (0 %, 95 % interval 0 to 1.8 %) gave back"),
        (12, 12, "Of 12 scanned checkpoints, all 12 (100 %, 95 % interval 75.8 to 100 %) gave back"),
        (1, 1, "Of 1 scanned checkpoint, 1 (100 %, 95 % interval 20.7 to 100 %) gave back"),
        (1, 0, "Of 1 scanned checkpoint, none (0 %, 95 % interval 0 to 79.3 %) gave back"),
        (0, 0, "None of the checkpoints was scanned, so there is no rate; 96 were left out."),
    ],
)
def test_the_ends_have_words_of_their_own(scanned, leaking, beginning):
    assert said(a_table(scanned, leaking)).startswith(beginning)


def test_nothing_at_all_has_no_rate():
    assert said(a_table(0, 0, 0)) == "None of the checkpoints was scanned, so there is no rate."


def test_without_reference_sets_nothing_can_be_said():
    table = a_table(5, 0, matching=a_matching(a_set("decoys", decoy=True, pairs=50)))
    assert table.total.estimate is None
    assert said(table) == "No reference set was compared, so nothing can be said of checkpoints."


def test_without_decoys_the_sentence_says_why_nothing_is_corrected():
    text = said(a_table(matching=a_matching(a_set("watchlist")), sensitivity=read_sensitivity("0.2")))
    assert "There is no correction for errors of the match: no decoys were compared, so nobody knows" in text


def test_decoys_that_nobody_looked_at_are_not_taken_for_clean():
    table = a_table(decoy_hits=None)
    assert table.false_findings == table.total.correction == "the matches with decoys were not read"


def test_a_clipped_correction_says_what_the_formula_gave():
    hits = [one.id for one in loras(212)[:5]]
    text = said(a_table(leaking=2, left_out=0, decoy_hits=hits))
    assert "it is 0 % (95 % interval 0 to 1.3 %; the formula gave -1.6 %, which cannot be)" in text


def test_a_correction_that_contradicts_what_was_found_is_none():
    hits = [one.id for one in loras(212)[:40]]
    text = said(a_table(leaking=2, left_out=0, decoy_hits=hits))
    assert "There is no correction for errors of the match: decoys gave a finding to 19.6% of" in text


def test_owners_who_meet_decoys_together_are_as_few_as_they_are():
    checkpoints = [a_checkpoint(f"owner{number // 10}/{number}") for number in range(200)]
    hits = [one.id for one in checkpoints[:10]]
    alike, apart = (
        rate_table(a_report(checkpoints), decoy_hits=hits, cluster=one).false_findings
        for one in ("auto", "none")
    )
    assert (alike.hit, alike.of, apart.size) == (10, 200, None)
    assert alike.interval[1] > 0.2 > 0.1 > apart.interval[1]


def test_a_decoy_that_another_place_of_the_same_weights_matched_counts():
    here, there = loras(2)
    known = facts({here.id: ("aa", None, None), there.id: ("aa", None, None)})
    table = rate_table(a_report([here, there]), facts=known, decoy_hits=[there.id])
    assert (table.false_findings.hit, table.false_findings.of) == (1, 1)


def test_decoys_that_were_judged_by_another_ladder_are_said_to_be():
    strict = ReportsSettings(sets={"watchlist": Ladder(pdq_high=10, pdq_critical=10)})
    table = rate_table(a_report(loras(3), settings=strict), decoy_hits=())
    assert table.false_findings.other_ladder == ("watchlist",)
    assert 'references as decoys; judged by another ladder than "watchlist")' in said(table)
    both = ReportsSettings(sets=dict.fromkeys(("watchlist", "decoys"), strict.sets["watchlist"]))
    assert not rate_table(a_report(loras(3), settings=both), decoy_hits=()).false_findings.other_ladder


def test_what_waits_for_a_matching_is_open():
    checkpoints = loras(4)
    report = a_report(checkpoints, findings=[a_finding(one) for one in checkpoints[:2]])
    total = rate_table(report, unmatched=[checkpoints[0].id, checkpoints[3].id]).total
    assert (total.leaked, total.scanned, total.fates[Fate.OPEN]) == (1, 2, 2)
    assert total.bounds == (0.25, 0.75)


def test_a_sample_of_all_has_no_interval_left_and_no_infinity_in_its_row():
    checkpoints = loras(20)
    report = a_report(checkpoints, findings=[a_finding(one) for one in checkpoints[:4]])
    table = rate_table(report, drawn=a_drawn(checkpoints, [(("sd1",), 20, 20)]), decoy_hits=())
    assert "this is 20.0 % (which are all that there are, so no interval is left)." in said(table)
    row = rates_frame(table).iloc[0]
    assert row["method"] == "whole population"
    assert pd.isna(row["effective_size"])


def test_owners_who_repeat_are_named_and_widen_the_interval():
    checkpoints = [a_checkpoint(f"owner{number // 10}/{number}") for number in range(200)]
    report = a_report(checkpoints, findings=[a_finding(one) for one in checkpoints[:40]])
    apart, alike = (rate_table(report, cluster=one, decoy_hits=()).total.estimate for one in ("none", "auto"))
    assert (apart.value, alike.value, alike.clusters) == (0.2, 0.2, 20)
    assert alike.low < apart.low < apart.high < alike.high
    assert " over 20 owners) gave back" in said(rate_table(report))


def test_on_civitai_a_model_stands_for_its_owner():
    versions = [a_checkpoint("77", hub=Hub.CIVITAI, revision=str(number)) for number in range(4)]
    assert rate_table(a_report(versions)).total.estimate.clusters == 1


def test_every_fate_has_its_own_count_and_they_add_up():
    done, failed, lost, waiting, never, copy = loras(6)
    ledger = [
        a_job(done),
        a_job(failed, State.FAILED),
        a_job(lost, State.QUARANTINED),
        a_job(waiting, State.QUEUED),
        a_job(copy, State.SKIPPED, reason="same_content", attempts=0),
    ]
    skips = [a_skip("x/a"), a_skip("x/b", SkipReason.BASE_MODEL), a_skip("x/c", SkipReason.GATED)]
    report = a_report([done, failed, lost, waiting, never, copy], ledger=ledger, skips=skips)
    total = rate_table(report).total
    assert total.fates == {
        Fate.SCANNED: 1,
        Fate.FAILED: 2,
        Fate.OPEN: 1,
        Fate.SKIPPED: 2,
        Fate.OUTSIDE: 2,
        Fate.UNPLANNED: 1,
    }
    assert sum(total.fates.values()) == report.coverage.total
    assert total.skipped_by_reason == {"gated": 1, "pickle_only": 1}
    assert total.missing == 5
    assert total.bounds == (0, 5 / 6)
    table = rate_table(report)
    assert "2 were left out, 2 failed and 1 is open: if none of these 5 more leaked, or all," in said(table)


def test_weights_that_lie_in_many_places_are_one_checkpoint():
    here, there, other = loras(3)
    known = facts({here.id: ("aa", None, None), there.id: ("aa", None, None), other.id: ("bb", None, None)})
    ledger = [
        a_job(here, State.SKIPPED, reason="same_content", attempts=0),
        a_job(there),
        a_job(other),
    ]
    finding = a_finding(there, checkpoint_ids=(here.id, there.id))
    report = a_report([here, there, other], ledger=ledger, findings=[finding])
    total = rate_table(report, facts=known).total
    assert (total.leaked, total.scanned, total.fates[Fate.OUTSIDE]) == (1, 2, 0)


def test_groups_are_told_apart_by_age_popularity_and_year_in_their_order():
    checkpoints = loras(5)
    told = [("2026-10-01", 5), ("2025-06-01", 12_000), ("2019-01-01", 0), (None, None), ("nonsense", 99)]
    known = facts({one.id: (one.id, *row) for one, row in zip(checkpoints, told, strict=True)})
    table = rate_table(a_report(checkpoints), by=[("age",), ("popularity",), ("year",)], facts=known)
    ages, sizes, years = (
        [rate.group[name] for rate in table.by(name)] for name in ("age", "popularity", "year")
    )
    assert ages == ["under 3 months", "1 to 2 years", "3 years and more", "unknown"]
    assert sizes == ["0", "1-9", "10-99", "10000-99999", "unknown"]
    assert years == ["2019", "2025", "2026", "unknown"]


@pytest.mark.parametrize(
    ("made", "label"),
    [
        ("2026-11-24T00:00:00Z", "under 3 months"),
        ("2026-01-01", "3 to 12 months"),
        ("2024-12-01T10:00:00+00:00", "1 to 2 years"),
        ("2024-02-01", "2 to 3 years"),
        ("1999-01-01", "3 years and more"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_age_is_counted_to_the_report(made, label):
    assert groups.age(made, NOW) == label


@settings(deadline=None, max_examples=8)
@given(st.lists(st.sampled_from(groups.NAMES), min_size=1, max_size=3, unique=True))
def test_the_groups_of_any_crossing_add_up_to_the_total(names):
    checkpoints = [*loras(4), *loras(3, kind=Kind.FULL, family="sdxl", revision="b")]
    report = a_report(checkpoints, skips=[a_skip("a/gated")], findings=[a_finding(checkpoints[0])])
    table = rate_table(report, by=[names])
    rates = table.by(*names)
    assert sum(rate.leaked for rate in rates) == table.total.leaked == 1
    for fate in Fate:
        assert sum(rate.fates[fate] for rate in rates) == table.total.fates[fate]


@pytest.mark.parametrize("by", [("colour",), ("family", "hubs"), ()])
def test_a_group_that_does_not_exist_is_refused(by):
    with pytest.raises(ReportError, match="popularity"):
        rate_table(a_report(loras(1)), by=[by])


def test_the_severity_is_the_reports():
    one = loras(1)
    report = a_report(one, findings=[a_finding(one[0], severity=Severity.MEDIUM)])
    assert rate_table(report).total.leaked == 0
    lower = a_report(
        one,
        findings=[a_finding(one[0], severity=Severity.MEDIUM)],
        settings=ReportsSettings(fail_on="medium"),
    )
    assert rate_table(lower).total.leaked == 1
    gravest = a_report(one, settings=ReportsSettings(fail_on="critical"))
    assert "at critical severity." in said(rate_table(gravest))


def test_sets_of_innocent_pictures_are_no_references():
    matching = a_matching(
        a_set("watch", pairs=100), a_set("ok", pairs=900), a_set("d", decoy=True, pairs=100)
    )
    report = a_report(loras(3), matching=matching, settings=ReportsSettings(negatives=("ok",)))
    assert rate_table(report, decoy_hits=()).false_findings.references == 100


def a_drawn(checkpoints, strata, by=("family",)) -> Drawn:
    """A sample: (values, population, members) of each stratum, the members in the checkpoints' order."""
    rows, members, weights = iter(checkpoints), [], {}
    for number, (_, population, drawn) in enumerate(strata):
        for _ in range(drawn):
            one = next(rows)
            members.append(Member(content=one.id, checkpoint_id=one.id, stratum=number))
            weights[one.id] = Weight(content=one.id, stratum=number, population=population, drawn=drawn)
    sample = Sample(
        design=Design(size=len(members), by=by, seed=7, allocation=Allocation.PROPORTIONAL),
        selection=Selection(),
        strata=tuple(Stratum(values=values, population=size, drawn=drawn) for values, size, drawn in strata),
        members=tuple(members),
        contents=sum(size for _, size, _ in strata),
        places=sum(size for _, size, _ in strata),
    )
    return Drawn(name="may", sample=sample, weights=weights)


STRATA = ((("sd1",), 1000, 20), (("sdxl",), 100, 20))


def a_sample_run():
    """20 of 1,000 SD 1 (4 leak), 20 of 100 SDXL (10 leak), and one that was not drawn."""
    checkpoints = [*loras(20), *loras(20, family="sdxl", revision="x")]
    extra = a_checkpoint("not/drawn")
    leaking = [*checkpoints[:4], *checkpoints[20:30], extra]
    report = a_report([*checkpoints, extra], findings=[a_finding(one) for one in leaking])
    return report, a_drawn(checkpoints, STRATA)


def test_a_samples_weights_lead_back_to_the_population():
    report, drawn = a_sample_run()
    table = rate_table(report, by=[("family",)], drawn=drawn, decoy_hits=())
    total = table.total
    assert (total.leaked, total.scanned) == (14, 40)
    assert total.estimate.value == pytest.approx((1000 * 0.2 + 100 * 0.5) / 1100)
    assert total.estimate.population == pytest.approx(1100)
    assert [rate.estimate.value for rate in table.by("family")] == pytest.approx([0.2, 0.5])
    assert total.estimate.kish_size == pytest.approx(1100**2 / (20 * 50**2 + 20 * 5**2))


def test_the_sentence_of_a_sample_names_it_and_what_it_stands_for():
    report, drawn = a_sample_run()
    table = rate_table(report, drawn=drawn, decoy_hits=())
    assert said(table).startswith(
        'Of 40 scanned checkpoints of the sample "may", 14 gave back at least one picture of the reference '
        "sets at high severity or above; weighted to the 1,100 that they stand for, this is 22.7 % (95 % "
    )
    assert " drawn at random)." in said(table)


def test_members_that_are_missing_are_weighted_up_within_their_stratum():
    report, drawn = a_sample_run()
    lost = [name for name in report.checkpoints["checkpoint_id"] if "owner0/" in name or "owner19/" in name]
    changed = report.checkpoints.copy()
    changed.loc[changed["checkpoint_id"].isin(lost), ["state", "reason"]] = ["skipped", "gated"]
    found = rate_table(replace(report, checkpoints=changed), drawn=drawn, decoy_hits=()).total
    assert (found.scanned, found.missing) == (36, 4)
    assert found.estimate.value == pytest.approx((1000 * 3 / 18 + 100 * 9 / 18) / 1100)
    seen = 3 * 50 + 9 * 5
    assert found.bounds == pytest.approx((seen / 1100, (seen + 2 * 50 + 2 * 5) / 1100))


def test_members_that_no_hub_shows_any_more_are_open_in_their_stratum():
    report, drawn = a_sample_run()
    shown = report.checkpoints[~report.checkpoints["checkpoint_id"].str.contains("owner5/")]
    table = rate_table(replace(report, checkpoints=shown), by=[("family",)], drawn=drawn, decoy_hits=())
    assert table.total.fates[Fate.OPEN] == 2
    assert [rate.fates[Fate.OPEN] for rate in table.by("family")] == [1, 1]


def test_a_stratum_without_any_scan_is_said_to_be_unreached():
    report, drawn = a_sample_run()
    changed = report.checkpoints.copy()
    changed.loc[changed["family"] == "sdxl", ["state", "reason"]] = ["skipped", "gated"]
    table = rate_table(replace(report, checkpoints=changed), drawn=drawn, decoy_hits=())
    assert table.unreached == 100
    assert said(table).endswith(
        "nothing of pictures that no set holds and of 100 checkpoints in strata of which none was scanned."
    )


def test_a_sample_does_not_ask_for_owners():
    report, drawn = a_sample_run()
    assert rate_table(report, drawn=drawn).total.estimate.clusters is None
    with pytest.raises(ReportError, match="without a sample"):
        rate_table(report, drawn=drawn, cluster="owner")


def test_the_frame_is_typed_and_has_a_row_for_each_rate(tmp_path):
    table = a_table(by=[("family", "kind"), ("age",)], sensitivity=read_sensitivity("0.2"))
    frame = rates_frame(table)
    assert list(frame.columns) == [column.name for column in RATES]
    assert list(frame["by"]) == ["", "family,kind", "age"]
    first = frame.iloc[0]
    assert (first["leaked"], first["scanned"], first["skipped"]) == (31, 212, 96)
    assert first["skipped_by_reason"] == "gated 96"
    assert first["sentence"] == said(table)
    assert str(frame["rate"].dtype) == "Float64"
    for name in ("rates.csv", "rates.parquet"):
        assert write_table(tmp_path / name, [frame], RATES) == 3
    assert (pd.read_parquet(tmp_path / "rates.parquet")["corrected"] > 0.14).all()


def test_hostile_names_are_defused_in_the_sentence_and_the_csv(tmp_path):
    table = rate_table(a_hostile_report(), by=[("family", "hub")])
    frame = rates_frame(table)
    assert not frame["sentence"].str.contains("\u202e|\n", regex=True).any()
    write_table(tmp_path / "rates.csv", [frame], RATES)
    text = (tmp_path / "rates.csv").read_text("utf-8")
    assert f'"{HOSTILE[1]}"' not in text
    assert "'=cmd" in text


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ({}, "checkpoints"),
        ({"kind": "full"}, "full checkpoints"),
        ({"kind": "unknown", "family": "unknown"}, "checkpoints of unknown kind of unknown family"),
        ({"family": "kolors", "hub": "civitai"}, "checkpoints of kolors on Civitai"),
        ({"age": "1 to 2 years"}, "checkpoints that are 1 to 2 years old"),
        ({"popularity": "10-99", "year": "2024"}, "checkpoints with 10-99 downloads made in 2024"),
        ({"popularity": "unknown"}, "checkpoints with an unknown number of downloads"),
    ],
)
def test_a_group_is_described_as_a_noun(group, words):
    assert described(group) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0"), (1, "100"), (0.146, "14.6"), (0.0004, "0.04"), (1e-9, "under 0.0001"), (0.99999, "over 99.9")],
)
def test_per_cent_is_never_0_or_100_unless_it_is(share, words):
    assert per_cent(share) == words
    assert span(share, share) == f"{words} to {words} %"


def test_the_same_report_gives_the_same_table():
    assert a_table() == a_table()


def test_the_document_shows_what_is_really_said():
    document = (Path(__file__).parents[1] / "docs" / "rates.md").read_text("utf-8")
    hits = [one.id for one in loras(212)[-3:]]
    table = a_table(decoy_hits=hits, sensitivity=read_sensitivity("21/105", "our zoo, SD 1.5"))
    quoted = " ".join(line[2:] for line in document.split("\n\n## ")[0].splitlines() if line.startswith("> "))
    assert quoted == said(table)
    assert markdown(RATES) in document
