"""What stands under a table of rates: intervals counted, what chance gives, and what to cite."""

from __future__ import annotations

import json

import pytest
from fakes_reports import RECIPE, a_matching, a_set
from test_rates_table import a_table, loras

from reports.rates.about import content, notes


def test_notes_say_how_many_intervals_there_are_what_chance_gives_and_what_to_cite():
    hits = [one.id for one in loras(212)[-3:]]
    intervals, chance, cited = notes(a_table(decoy_hits=hits, by=[("family",), ("kind",)]))
    assert intervals.startswith("These are 3 intervals of 95 %, and about one in twenty misses.")
    assert chance == (
        "If none of the 212 scanned leaked, the match would still give a finding to about 3.1 of them (95 % "
        "interval 1.1 to 9), and to one at least in 95.8 % of such runs (65.8 to over 99.9 %)."
    )
    assert cited == (
        f"leaksweep 0.1.0, 2026-11-24, matching 7, recipe {RECIPE.id}, at high severity or above; "
        "sets: watchlist (1,200 entries); decoys: decoys (1,200 entries)."
    )


def test_a_table_of_one_row_without_decoys_has_only_what_to_cite():
    assert len(list(notes(a_table(matching=a_matching(a_set("watchlist")), by=[])))) == 1
    assert "by_chance" not in content(a_table(matching=a_matching(a_set("watchlist"))))


def test_the_same_is_there_for_machines():
    found = content(a_table(decoy_hits=[loras(1)[0].id], by=[]))
    assert found["by_chance"]["checkpoints"] == pytest.approx(212 * (1 - (1 - 1 / 212) ** (12_000 / 11_480)))
    assert found["by_chance"]["one_at_least"] == pytest.approx(
        1 - (1 - found["by_chance"]["checkpoints"] / 212) ** 212
    )
    assert (found["run"], found["recipe_id"], found["intervals"]) == (7, RECIPE.id, 1)
    json.dumps(found, allow_nan=False)
