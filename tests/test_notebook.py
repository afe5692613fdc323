"""Homes read for notebooks, and the notebook in docs/ run on one."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import matplotlib
import nbformat
import pandas as pd
import pytest
from fakes_home import opened_home, run_of
from fakes_swept import SETTINGS, Swept, swept_home

import reports
from leaksweep.home import Home
from leaksweep.reporting import read_report
from leaksweep.stages import match
from reports.export.columns import PANDAS, TABLES
from reports.finding import ReportError
from reports.notebook import _STORES, load_report
from reports.rates.columns import RATES

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return swept_home(folder / "home")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_frames_have_the_documented_columns_and_types(swept):
    loaded = {
        "findings": reports.load_findings(swept.root),
        "extractions": reports.load_extractions(str(swept.root)),
        "checkpoints": reports.load_checkpoints(swept.root),
        "rates": reports.load_rates(swept.root),
    }
    for name, columns in {**TABLES, "rates": RATES}.items():
        types = {column.name: PANDAS[column.type] for column in columns}
        assert {key: str(dtype) for key, dtype in loaded[name].dtypes.items()} == types
        assert len(loaded[name])


def test_what_is_loaded_is_what_the_report_says(swept, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    loaded = load_report(swept.root)
    with opened_home(swept.root, **SETTINGS) as stores:
        told = read_report(stores, fail_on=None, now=loaded.generated_at)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(told, name))
    assert loaded.exit_code is told.exit_code
    assert loaded.matching == told.matching


def test_the_labels_that_count_are_loaded_by_either_rule(swept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(swept.root, tmp_path / "home")
    with opened_home(tmp_path / "home", **SETTINGS) as stores:
        agreed, alone, *_ = (one.id for one in stores.findings.findings())
        for finding, who in ((agreed, "ann"), (agreed, "ben"), (alone, "ann")):
            stores.labels.put(finding, "confirmed", who)
        told = read_report(stores, fail_on=None, now=datetime.now(UTC)).findings

    def settled(**rule):
        found = reports.load_findings(tmp_path / "home", **rule).drop_duplicates("id")
        return set(found.loc[found["label"] == "confirmed", "id"])

    assert settled() == settled(two_person=False) == {agreed, alone}
    assert settled(two_person=True) == {agreed}
    pd.testing.assert_series_equal(reports.load_findings(tmp_path / "home")["label"], told["label"])


def test_the_rule_is_the_last_matchings(swept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(swept.root, tmp_path / "home")
    match(run_of(tmp_path / "home", **SETTINGS, reports__review__two_person=True))
    with opened_home(tmp_path / "home", **SETTINGS) as stores:
        stores.labels.put(stores.findings.findings()[0].id, "confirmed", "ann")
    assert reports.load_findings(tmp_path / "home")["label"].isna().all()
    assert reports.load_report(tmp_path / "home", two_person=False).findings["label"].notna().any()


def test_a_home_that_nobody_has_reviewed_has_no_labels(swept, tmp_path):
    shutil.copytree(swept.root, tmp_path / "home")
    with closing(sqlite3.connect(tmp_path / "home" / "catalog.db")) as db:
        db.execute("DROP TABLE IF EXISTS review_label")
    assert reports.load_findings(tmp_path / "home")["label"].isna().all()


def test_reading_a_home_writes_nothing(swept, tmp_path):
    shutil.copytree(swept.root, tmp_path / "home")
    before = contents(tmp_path)
    reports.load_rates(tmp_path / "home")
    reports.load_findings(tmp_path / "home")
    assert contents(tmp_path) == before


def test_a_home_that_is_written_to_meanwhile_can_be_read(swept, tmp_path):
    shutil.copytree(swept.root, tmp_path / "home")
    writer = sqlite3.connect(tmp_path / "home" / "catalog.db")
    writer.execute("CREATE TABLE busy (x)")
    writer.commit()
    assert (tmp_path / "home" / "catalog.db-wal").stat().st_size
    assert len(reports.load_findings(tmp_path / "home"))
    writer.close()


def test_a_folder_that_is_no_home_is_named(tmp_path):
    with pytest.raises(ReportError, match=r"absent: there is no such folder"):
        reports.load_findings(tmp_path / "absent")
    with pytest.raises(ReportError, match="nothing was matched here yet"):
        reports.load_findings(tmp_path)
    for name in _STORES:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ReportError, match="there is no catalog"):
        reports.load_findings(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_stores_lie_where_the_command_puts_them(tmp_path):
    home = Home(tmp_path)
    assert {home.root / name for name in _STORES} == {home.extractions, home.findings}
    assert home.references == tmp_path / "lance/references"


def test_importing_reports_brings_no_pandas_along():
    script = "import reports, sys; print('pandas' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    with pytest.raises(AttributeError, match="no attribute 'load_everything'"):
        reports.load_everything  # noqa: B018


def test_the_notebook_runs(swept, monkeypatch):
    monkeypatch.setenv("LEAKSWEEP_HOME", str(swept.root))
    matplotlib.use("agg")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    before, room = contents(swept.root), {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{NOTEBOOK.name}, {cell.id}", "exec"), room)
    pyplot = room["plt"]
    assert len(pyplot.get_fignums()) == 2
    pyplot.close("all")
    assert room["table"]["scanned"].iloc[0] == 3
    assert len(room["shown"]) == 1
    assert set(room["said"].index.get_level_values("label")) == {"open"}
    assert contents(swept.root) == before


def test_the_notebook_is_committed_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")]
