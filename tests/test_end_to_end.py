"""The whole way on loopback: a hub with trained checkpoints, swept by the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from fakes_sweep import PLANTED, World, few, served

from leaksweep.hub import HubContent


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> HubContent:
    return few(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def world(content: HubContent, tmp_path: Path) -> Iterator[World]:
    with served(content, tmp_path) as made:
        yield made


def test_the_whole_way(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("planted", "decoys"):
        assert world.call("refs", "add", name, str(world.pictures / name), capsys=capsys)[0] == 0

    code, first = world.call("sweep", capsys=capsys)
    assert code == 1, first
    report = world.home / "report"
    findings = pd.read_csv(report / "findings.csv")
    assert set(findings["set"]) == {"planted"}
    # What a checkpoint gave back is what it was trained on, and the clean one gave nothing.
    for row in findings.itertuples():
        name = row.repo.removeprefix("zoo/") if row.hub == "huggingface" else "lora-kohya"
        assert Path(row.ref_id).stem in PLANTED[name]
    assert not (findings["repo"] == "zoo/full-clean").any()

    checkpoints = pd.read_csv(report / "checkpoints.csv").set_index("repo")
    reasons = checkpoints["reason"].dropna().to_dict()
    assert reasons["zoo/pickle-only"] == "pickle_only"
    assert reasons["zoo/gated"] == "gated"
    assert reasons["zoo/another-family"] == "unsupported_family"
    assert reasons["zoo/same-as-base"] == "same_as_base"
    assert reasons["zoo/lies-about-its-base"] == "does_not_fit"
    assert {"findings.sarif", "report.html", "extractions.parquet"} <= {
        path.name for path in report.iterdir()
    }

    # A second night finds the same and scans nothing again.
    code, second = world.call("sweep", capsys=capsys)
    assert code == 1
    assert second["scan"]["done"] == 0
    again = pd.read_csv(report / "findings.csv")
    assert list(again["id"]) == list(findings["id"])
    assert set(again["state"]) == {"known"}

    # Nobody's pixels stay but those of findings.
    code, status = world.call("status", capsys=capsys)
    held = status["extractions"]
    assert 0 < held["images"] < held["extractions"]
    assert held["images"] <= len(set(findings["extraction_id"]))
