"""`leaksweep rates` from outside, on a home whose scan and match are written down by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_catalog import CIVITAI, begun, checkpoint, listing, page

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.checkpoint import Base, RemoteFile, Skip, SkipReason
from leaksweep.cli import main
from reports.rates.facts import read_facts

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Six LoRAs on Hugging Face, of which two are on Civitai too, and a repository that is gated."""
    engine = open_engine(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}")
    catalog = Catalog(engine)
    catalog.create()
    for hub in ("huggingface", "civitai"):
        walk = begun(catalog, CIVITAI) if hub == "civitai" else begun(catalog)
        for number in range(6 if hub == "huggingface" else 2):
            repo = str(number) if hub == "civitai" else f"owner{number}/lora"
            file = RemoteFile(path="x", url="http://hub.test/x", size=1, sha256=f"{number:064x}")
            one = replace(checkpoint(repo, hub=walk.hub), files=(file,))
            told = listing(repo, repo, hub=walk.hub, downloads=10**number)
            catalog.commit(
                walk, "all", page(one, listings=[replace(told, created_at="2024-05-01T00:00:00Z")])
            )
        if hub == "huggingface":
            skip = Skip(
                hub=walk.hub,
                repo="ann/gated",
                revision="r",
                path="",
                reason=SkipReason.GATED,
                detail="asks first",
            )
            told = replace(listing("9", "ann/gated", hub=walk.hub), downloads=5, created_at="2025-01-01")
            catalog.commit(walk, "all", page(skip, listings=[told]))
    catalog.bases.put(Base(repo="a/base", revision="r", family="sd1", files=()))
    engine.dispose()
    return tmp_path / "home"


@pytest.fixture
def call(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        code = main([*argv, "--home", str(home), "--set", "recipe.descriptor=thumbnail"])
        return code, *capsys.readouterr()

    return call


def test_facts_are_read_of_checkpoints_and_of_what_was_skipped(home: Path) -> None:
    engine = open_engine(f"sqlite:///{home / 'catalog.db'}")
    facts = read_facts(engine)
    engine.dispose()
    assert len(facts.checkpoints) == 8
    assert facts.checkpoints["content"].nunique() == 6
    gated = facts.repositories.set_index("repo").loc["ann/gated"]
    assert (gated["created_at"], gated["downloads"]) == ("2025-01-01", 5)


def test_a_plan_without_a_scan_has_denominators_and_no_rate(call: Call) -> None:
    assert call("plan")[0] == 0
    code, out, err = call("rates", "--by", "hub", "--by", "year", "--json")
    assert (code, err) == (0, "")
    total, *rows = json.loads(out)["rates"]
    assert (total["open"], total["skipped"], total["scanned"]) == (6, 1, 0)
    assert "rate" not in total
    assert total["sentence"].startswith(
        "None of the checkpoints was scanned, so there is no rate; 1 was left"
    )
    assert [(row["by"], row.get("hub") or row.get("year")) for row in rows] == [
        ("hub", "civitai"),  # where the plan scans what lies in both
        ("hub", "huggingface"),
        ("year", "2024"),
        ("year", "2025"),
    ]


def test_a_sample_counts_its_members_alone(call: Call) -> None:
    assert call("sample", "--size", "4", "--name", "may", "--by", "family")[0] == 0
    assert call("plan", "--sample", "may")[0] == 0
    code, out, _ = call("rates", "--sample", "may", "--json")
    total = json.loads(out)["rates"][0]
    assert (code, total["open"], total["sample"]) == (0, 4, "may")


def test_the_table_is_printed_and_the_files_are_written(call: Call, tmp_path: Path) -> None:
    call("plan")
    code, out, _ = call("rates", "--by", "family,kind", "--out", str(tmp_path / "rates"))
    assert code == 0
    assert "family, kind" in out
    assert f"written to {tmp_path / 'rates'}" in out
    with (tmp_path / "rates" / "rates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["by"] for row in rows] == ["", "family,kind", "family,kind"]
    assert (tmp_path / "rates" / "rates.parquet").exists()


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--by", "colour"], 2, 'rates by "colour": there is no such group; there are: hub, family'),
        (["--by", " , "], 2, "rates by nothing: name one or several"),
        (["--sample", "june"], 4, "there is no sample 'june'"),
        (["--sensitivity", "20 %"], 2, 'sensitivity "20 %": give it as 0.2, 0.2:0.15-0.26 or 21/105'),
    ],
)
def test_a_wrong_call_is_one_clear_line(call: Call, argv: list[str], code: int, message: str) -> None:
    got, out, err = call("rates", *argv)
    assert (got, out) == (code, "")
    assert message in err
