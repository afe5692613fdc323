"""An extraction made again from its recipe, by the command, on stores that a real scan filled."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from fakes_home import opened_home

from leaksweep.cli import main
from leaksweep.demo.settings import write_settings
from leaksweep.hub import LocalHub
from leaksweep.zoo.catalogue import ZOO, picture
from leaksweep.zoo.stock import BASE_REPO, stock
from scanner.tolerance import CUDA_32, HALF, OTHER_CPU, SAME_CPU, markdown, tolerance

QUICK = ["--set", "scanner.workers=0", "--set", "recipe.steps=8", "--set", "recipe.images_per_picture=4"]
LORA = next(tune for tune in ZOO if tune.name == "lora-over")


@dataclass(frozen=True)
class Home:
    """What a scan left; the hub it came from is not there any more."""

    root: Path
    config: Path

    def ids(self, *, kept: bool) -> list[str]:
        """Extractions whose picture is kept, or erased."""
        with opened_home(self.root) as stores:
            held = stores.extractions.image_ids()
            every = stores.extractions.rows(["id"])["id"].to_pylist()
        return [name for name in every if (name in held) is kept]

    def change(self, name: str, **values: Any) -> None:
        """Tamper with a stored extraction."""
        table = lancedb.connect(self.root / "lance" / "extractions").open_table("extractions")
        table.update(where=f"id = '{name}'", values=values)

    def call(self, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
        code = main([*words, "--config", str(self.config), "--home", str(self.root), *QUICK])
        said = capsys.readouterr()
        return code, said.out, said.err

    def json(self, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
        code, out, err = self.call(*words, "--json", capsys=capsys)
        assert out, err
        return code, json.loads(out)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One LoRA scanned in batches of 16 and matched with one of its pictures: the others' pixels are gone."""
    folder = tmp_path_factory.mktemp("scanned")
    whole = stock(tmp_path_factory.mktemp("stock"))
    kept = {BASE_REPO, "zoo/lora-over"}
    content = replace(whole, repos=tuple(one for one in whole.repos if one.id in kept), civitai=())
    (folder / "planted").mkdir()
    for name in LORA.pictures[:1]:
        picture(name).save(folder / "planted" / f"{name}.png")
    with LocalHub(content) as hub:
        config = write_settings(folder / "config.toml", hub.url, hub.civitai_url, folder / "home")
        text = config.read_text().replace('decoys = ["decoys"]', "")
        config.write_text(text.replace("[crawler]", '[crawler]\nsources = ["huggingface"]', 1))
        shared = ["--config", str(config), "-q"]
        assert main(["refs", "add", "planted", str(folder / "planted"), *shared]) == 0
        for stage in ("crawl", "plan", "scan", "match"):
            assert main([stage, *shared, *QUICK, "--set", "scanner.batch=16"]) == 0
    return Home(folder / "home", config)


@pytest.fixture
def home(scanned: Home, tmp_path: Path) -> Home:
    shutil.copytree(scanned.root, tmp_path / "home", symlinks=True)
    return Home(tmp_path / "home", scanned.config)


def test_it_comes_again_in_another_batch_without_a_hub(
    scanned: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    name = scanned.ids(kept=True)[0]
    code, said = scanned.json("verify", name, capsys=capsys)
    assert (code, said["passed"], said["picture_kept"]) == (0, True, True)
    assert said["similarity"] > 0.999
    assert said["control_similarity"] > 0.999
    assert said["tolerance"]["title"] == SAME_CPU.title
    assert said["made_on"] == said["here"]
    assert said["phash_distance"] in (0, 2)


def test_an_erased_picture_is_held_against_its_descriptor_and_hashes(
    scanned: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    erased = scanned.ids(kept=False)
    assert erased, "every extraction matched; plant fewer pictures"
    code, out, _ = scanned.call("verify", erased[0], capsys=capsys)
    assert code == 0
    assert out.startswith("PASS")
    assert "erased; its descriptor and hashes were kept" in out
    assert "pHash distance not comparable" not in out


def test_a_finding_s_id_will_do(scanned: Home, capsys: pytest.CaptureFixture[str]) -> None:
    _, listed = scanned.json("explain", capsys=capsys)
    finding = next(name for row in listed["extractions"] for name in row["findings"])
    code, said = scanned.json("verify", finding, capsys=capsys)
    assert code == 0
    assert finding in {name for row in listed["extractions"] for name in row["findings"]}
    assert said["extraction_id"] in {row["id"] for row in listed["extractions"]}


def test_a_descriptor_that_was_tampered_with_fails(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = home.ids(kept=True)[0]
    with opened_home(home.root) as stores:
        row = stores.extractions.row(name)
        assert row is not None
        other = np.roll(row["descriptor"], 7).astype("<f4").tobytes()
        sealed = stores.vault.seal(other, f"descriptor of extraction {name}")
    home.change(name, descriptor=sealed)
    code, out, _ = home.call("verify", name, capsys=capsys)
    assert code == 1
    assert out.startswith("FAIL")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": "0" * 64 + ".safetensors"}, "the weights of .* are not those that were scanned"),
        ({"base_weights": "0" * 32}, "the base model .* are not those that were scanned"),
        ({"descriptor_name": "sscd@another"}, "described by sscd@another, but there is thumbnail16@1 here"),
        ({"recipe": "{}"}, "to this version of leaksweep it is"),
        ({"recipe": '{"novel": 1}'}, "cannot read it; use the version that scanned"),
        ({"job_id": "0" * 16}, "is not in the ledger"),
        ({"descriptor": b"changed"}, "descriptor of extraction .* cannot be opened with"),
    ],
)
def test_what_cannot_be_made_again_is_refused_with_its_reason(
    home: Home, capsys: pytest.CaptureFixture[str], values: dict[str, str], message: str
) -> None:
    name = home.ids(kept=True)[0]
    home.change(name, **values)
    code, out, err = home.call("verify", name, capsys=capsys)
    assert (code, out) == (2, "")
    assert re.search(message, err), err


def test_weights_that_are_gone_are_refused(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (home.root / "store" / "files").iterdir():
        path.unlink()
    name = home.ids(kept=True)[0]
    code, _, err = home.call("verify", name, "--set", "crawler.retries=0", capsys=capsys)
    assert code == 2
    assert "its files cannot be had: download_failed" in err


def test_a_job_of_another_version_is_refused(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(home.root / "catalog.db") as database:
        database.execute("UPDATE jobs SET job = '{}'")
    database.close()
    code, _, err = home.call("verify", home.ids(kept=True)[0], capsys=capsys)
    assert code == 2
    assert "another version of leaksweep wrote its job" in err


def test_an_unknown_id_says_how_to_list_them(scanned: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("verify", "explain"):
        code, _, err = scanned.call(command, "x' OR true --", capsys=capsys)
        assert code == 4
        assert "leaksweep explain without an ID lists them" in err


def test_the_account_of_a_real_scan(scanned: Home, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = scanned.call("explain", scanned.ids(kept=True)[0], capsys=capsys)
    assert code == 0
    for words in (" of 16", 'Prompt: "a picture of sks thing"', "The base alone", "likelihood ratio"):
        assert words in out
    assert "none of the same base was scanned" in out
    assert "0 wrong checkpoints" in out
    assert "not calibrated" in out


@pytest.mark.parametrize(
    ("made_on", "here", "dtype", "expected"),
    [
        ("cpu a", "cpu a", "float32", SAME_CPU),
        ("cpu a", "cpu b", "float32", OTHER_CPU),
        ("", "cpu b", "float32", OTHER_CPU),
        ("cuda x", "cpu b", "float32", CUDA_32),
        ("cuda x", "cuda x", "float32", CUDA_32),
        ("cpu a", "cpu a", "bfloat16", HALF),
        ("cuda x", "cuda x", "float16", HALF),
    ],
)
def test_which_tolerance_applies(made_on: str, here: str, dtype: str, expected: object) -> None:
    assert tolerance(made_on, here, dtype) is expected


def test_a_tolerance_needs_all_that_could_be_compared() -> None:
    assert SAME_CPU.holds(1.0, None, None)
    assert not SAME_CPU.holds(0.5, 0, 0)
    assert not SAME_CPU.holds(1.0, 200, 0)
    assert not SAME_CPU.holds(1.0, None, 30)


def test_the_document_prints_the_table() -> None:
    document = Path(__file__).resolve().parents[1] / "docs" / "evidence.md"
    assert markdown() in document.read_text(encoding="utf-8")
