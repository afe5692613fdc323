"""`leaksweep sample`, `checkpoints` and the filters of `plan`, from outside."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from fakes_catalog import CIVITAI, begun, checkpoint, listing, page

from crawler.catalog import Catalog
from crawler.catalog.engine import open_engine
from crawler.catalog.samples import weights
from crawler.checkpoint import Base, RemoteFile
from leaksweep.cli import main
from scanner.ledger import Ledger

Call = Callable[..., tuple[int, str, str]]
COUNT = 12


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A catalog of twelve LoRAs on Hugging Face, of which every third is on Civitai too."""
    engine = open_engine(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}")
    catalog = Catalog(engine)
    catalog.create()
    for hub in ("huggingface", "civitai"):
        walk = begun(catalog, CIVITAI) if hub == "civitai" else begun(catalog)
        for number in range(COUNT):
            if hub == "civitai" and number % 3:
                continue
            repo = str(number) if hub == "civitai" else f"a/{number}"
            file = RemoteFile(path="x", url="http://hub.test/x", size=1, sha256=f"{number:064x}")
            one = replace(
                checkpoint(repo, hub=walk.hub), files=(file,), family="sdxl" if number % 2 else "sd1"
            )
            facts = replace(listing(repo, repo, hub=walk.hub, downloads=10**number), license="mit")
            catalog.commit(walk, "all", page(one, listings=[facts]))
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


def jobs(call: Call, *argv: str, command: str = "plan") -> tuple[int, dict[str, int]]:
    code, out, err = call(command, *argv, "--json")
    assert code in {0, 3}, err
    found = json.loads(out)["plan"]
    return found["jobs"]["queued"], found["left_out"]


def test_a_plan_of_a_selection_drops_what_waits_outside_of_it(call: Call) -> None:
    assert jobs(call) == (COUNT, {"same_content": 4})
    assert jobs(call, "--family", "sd1") == (6, {"same_content": 2})
    assert jobs(call, "--family", "sd1,sdxl", "--min-downloads", "100000", "--kind", "lora") == (
        7,
        {"same_content": 2},
    )
    assert jobs(call) == (COUNT, {"same_content": 4})
    assert jobs(call, "--words", "nothing of the kind") == (0, {})


def test_a_selection_never_changes_where_weights_are_scanned(call: Call, home: Path) -> None:
    """Weights that both hubs have are scanned where a plan of everything would scan them."""

    def planned() -> set[str]:
        engine = open_engine(f"sqlite:///{home / 'catalog.db'}")
        ids = {row.checkpoint_id for row in Ledger(engine).rows(planned_only=True)}
        engine.dispose()
        return ids

    call("plan")
    everywhere = planned()
    for hub in ("civitai", "huggingface"):
        assert jobs(call, "--hub", hub)[1] == {"same_content": 4}
        assert planned() <= everywhere


def test_settings_select_and_options_win(call: Call, tmp_path: Path) -> None:
    text = '[scanner.selection]\nfamilies = ["sd1"]\ncreated_before = "none"\n'
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    assert jobs(call)[0] == 6
    assert jobs(call, "--max-downloads", "100")[0] == 2
    assert jobs(call, "--family", "sdxl", "--max-downloads", "100")[0] == 1
    code, out, _ = call("plan")
    assert code == 0
    assert "selected by families ['sd1']" in out


def test_a_sample_is_drawn_planned_and_weighted(call: Call, home: Path, tmp_path: Path) -> None:
    code, out, err = call("sample", "--size", "8", "--by", "family,hub", "--seed", "7", "--out", "may.csv")
    assert (code, err) == (0, "")
    head, *rows, drawn, written = out.splitlines()
    assert head.split() == ["family", "hub", "population", "drawn", "probability", "weight"]
    assert rows[0].split() == ["sd1", "civitai", "2", "2", "1", "1"]
    assert len(rows) == 4
    assert drawn.startswith("sample sample-7: 8 of 12 distinct checkpoints, which lie in 16 places")
    assert written == "written to may.csv"
    with (tmp_path / "may.csv").open(encoding="utf-8") as file:
        members = list(csv.DictReader(file))
    assert len(members) == 8
    assert sum(float(one["weight"]) for one in members) == pytest.approx(12)
    assert {one["stratum"] for one in members} == {
        "sd1/civitai",
        "sd1/huggingface",
        "sdxl/civitai",
        "sdxl/huggingface",
    }
    assert jobs(call, "--sample", "sample-7")[0] == 8
    engine = open_engine(f"sqlite:///{home / 'catalog.db'}")
    assert set(weights(engine, "sample-7")) >= {one["checkpoint_id"] for one in members}
    engine.dispose()


def test_a_sample_as_json(call: Call) -> None:
    code, out, _ = call("sample", "--size", "6", "--by", "", "--name", "may", "--family", "sd1", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["strata"] == [{"population": 6, "drawn": 6, "probability": 1.0, "weight": 1.0}]
    assert (found["name"], found["selection"]) == ("may", {"families": ["sd1"]})


def test_the_catalog_as_csv_and_parquet(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("checkpoints", "--hub", "huggingface", "--licence", "MIT")
    assert (code, out) == (0, "checkpoints.csv: 12 checkpoints\n")
    with (tmp_path / "checkpoints.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["title"] == "'=cmd|' /C calc'!A0"  # no spreadsheet runs it
    expected = {
        "places": "2",
        "downloads": "1",
        "licence": "mit",
        "images": "5",
        "prompt_origin": "instance_prompt",
    }
    assert {name: rows[0][name] for name in expected} == expected
    assert (rows[1]["repo"], rows[1]["places"], rows[1]["created_at"]) == ("a/10", "1", "")
    assert call("checkpoints", "--out", "all.parquet", "-q")[0] == 0
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    assert table.num_rows == 16
    assert table["title"][0].as_py() == "=cmd|' /C calc'!A0"
    assert table.schema.field("places").metadata[b"description"].startswith(b"Checkpoints with these")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_selection_of_nothing_is_an_empty_table(call: Call, tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        assert call("checkpoints", "--family", "flux", "--out", name)[1] == f"{name}: 0 checkpoints\n"
    assert len((tmp_path / "none.csv").read_text(encoding="utf-8").splitlines()) == 1
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["plan", "--kind", "lorra"], 4, "--kind lorra: input should be 'full', 'lora'"),
        (["plan", "--hub", "github"], 4, "--hub github: input should be 'huggingface' or 'civitai'"),
        (
            ["plan", "--family", "sdx"],
            4,
            "family 'sdx' is not known; did you mean 'sdxl'?; the catalog has: sd1 (8)",
        ),
        (["plan", "--sample", "may"], 4, "there is no sample 'may'; leaksweep sample draws one"),
        (["scan", "--sample", "may"], 4, "there is no sample 'may'"),
        (
            ["plan", "--created-since", "yesterday"],
            4,
            "--created-since yesterday: input should be a valid date",
        ),
        (
            ["plan", "--min-downloads", "9", "--max-downloads", "8"],
            4,
            "min_downloads 9 is above max_downloads 8",
        ),
        (
            ["plan", "--min-downloads", "-1"],
            4,
            "--min-downloads -1: input should be greater than or equal to 0",
        ),
        (["plan", "--base-grade", "certain"], 4, "--base-grade certain: input should be 'name', 'label'"),
        (["plan", "--words", ""], 4, "--words : string should have at least 1 character"),
        (["plan", "--set", "scanner.selection.kinds=['x']"], 4, "scanner.selection.kinds"),
        (["checkpoints", "--out", "all.xlsx"], 2, "all.xlsx: a table is written as .csv or .parquet"),
        (
            ["checkpoints", "--out", "catalog.csv/x.csv"],
            2,
            "catalog.csv/x.csv cannot be written: File exists",
        ),
        (["sample"], 4, "Missing option '--size'"),
        (["sample", "--size", "0"], 4, "--size"),
        (
            ["sample", "--size", "99"],
            4,
            "size 99 is more than there is: 12 distinct checkpoints are selected",
        ),
        (["sample", "--size", "3"], 4, "size 3 is too small: 2 of each of 4 strata"),
        (["sample", "--size", "3", "--family", "flux"], 4, "no checkpoint of the catalog is selected"),
        (["sample", "--size", "9", "--by", "famly"], 4, "cannot stratify by 'famly'; did you mean 'family'?"),
        (
            ["sample", "--size", "9", "--out", "may.xlsx"],
            2,
            "may.xlsx: a table is written as .csv or .parquet",
        ),
        (["sample", "--size", "9", "--name", "a/b"], 4, "'a/b' is no name for a sample"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_a_user_can_get_wrong(
    call: Call, tmp_path: Path, argv: Sequence[str], code: int, message: str
) -> None:
    (tmp_path / "catalog.csv").touch()
    got, out, err = call(*argv)
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert "leaksweep sample draws one" in call("plan", "--sample", "sample-0")[2]  # none was kept


def test_a_name_that_is_taken(call: Call) -> None:
    argv = ("sample", "--size", "9", "--name", "may")
    assert call(*argv)[0] == 0
    code, _, err = call(*argv, "--seed", "8")
    assert code == 4
    assert "give another --name, or --replace to forget it" in err
    assert call(*argv, "--seed", "8", "--replace")[0] == 0


def test_a_growing_sample_keeps_its_members(call: Call, tmp_path: Path) -> None:
    def members(size: int) -> set[Any]:
        call("sample", "--size", str(size), "--name", "may", "--replace", "--out", "may.parquet")
        return set(pyarrow.parquet.read_table(tmp_path / "may.parquet")["content"].to_pylist())

    assert members(8) < members(10) < members(12)
