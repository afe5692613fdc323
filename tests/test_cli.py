"""The command from outside: exit codes, one clear line for each error, one object with --json."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from leaksweep.cli import main, new_app
from leaksweep.run import Run, command

Call = Callable[..., int]

THUMBNAIL = ("--set", "recipe.descriptor=thumbnail")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the command against a home of the test's own, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *argv: main([*argv, "--home", str(home)])


def pictures(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for seed in range(count):
        small = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(small).resize((64, 64)).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["scan", "--nonsense"],
        ["refs"],
        ["refs", "add"],
        ["extract"],
        ["sweep", "--fail-on", "severe"],
        ["crawl", "--limit", "0"],
        ["config", "check", "--set", "scanner.workers"],
        ["config", "check", "--set", "scanner.workers=-1"],
        ["config", "check", "--config", "absent.toml"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_exits_with_4(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_a_wrong_setting_is_named_on_stderr(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", "--set", "scanner.wrokers=2") == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "command line: there is no setting 'scanner.wrokers'; did you mean 'scanner.workers'?" in said.err


def test_config_show_tells_where_each_value_came_from(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text("[scanner]\nbatch = 2\n", encoding="utf-8")
    assert call("config", "show", "--set", "scanner.workers=3", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["settings"]
    assert shown["scanner.workers"] == {"value": 3, "origin": "command line"}
    assert shown["scanner.batch"] == {"value": 2, "origin": "config.toml"}
    assert shown["scanner.attempts"]["origin"] == "default"


def test_config_show_reads_as_settings(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    assert call("config", "show") == 0
    read = tomllib.loads(capsys.readouterr().out)
    assert read["recipe"]["sampler"] == "dpmpp_2m"


def test_config_show_hides_what_may_be_a_secret(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    hook = "reports.notices.webhook_url=https://hooks.test/services/T0KEN"
    database = "database=postgresql+psycopg://ann:hunter2@db.test/x"
    for machine in ((), ("--json",)):
        assert call("config", "show", "--set", hook, "--set", database, *machine) == 0
        said = capsys.readouterr().out
        assert "T0KEN" not in said
        assert "hunter2" not in said
        assert "https://hooks.test/..." in said


def test_config_init_writes_once(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("config", "init", "--out", "new.toml") == 0
    assert call("config", "check", "--config", "new.toml") == 0
    assert call("config", "init", "--out", "new.toml") == 4
    assert "new.toml: is there already; --force overwrites it" in capsys.readouterr().err
    assert call("config", "init", "--out", "new.toml", "--force") == 0


def test_status_of_nothing_makes_nothing(call: Call, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status") == 0
    assert "nothing yet" in capsys.readouterr().out
    assert not home.exists()


def test_reference_sets_are_added_listed_and_removed(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "mine")
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:60])
    assert call("refs", "add", "mine", str(folder), *THUMBNAIL) == 0
    assert "left out: torn.png" in capsys.readouterr().out
    assert call("refs", "list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["sets"]
    assert (listed["name"], listed["entries"], listed["kind"]) == ("mine", 3, "pictures")
    assert call("refs", "add", "mine", str(folder), *THUMBNAIL) == 2
    assert "leaksweep refs remove mine" in capsys.readouterr().err
    assert call("refs", "remove", "mine") == 0
    assert call("refs", "remove", "mine") == 2
    assert 'reference set "mine" does not exist' in capsys.readouterr().err


def test_strict_adds_nothing_when_a_picture_cannot_be_used(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "mine")
    (folder / "torn.png").write_bytes(b"no picture")
    assert call("refs", "add", "mine", str(folder), "--strict", *THUMBNAIL) == 2
    assert "nothing was added" in capsys.readouterr().err
    assert call("refs", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["sets"] == []


def test_a_bad_line_of_a_hash_list_is_named_and_not_shown(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "hashes.txt"
    listed.write_text("c3d4e1f0a5b69788\nc3d4e1f0a5b6978z\n", encoding="utf-8")
    assert call("refs", "add", "list", str(listed)) == 2
    said = capsys.readouterr().err
    assert "2" in said
    assert "c3d4e1f0" not in said


def test_an_absent_folder_of_references(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("refs", "add", "mine", "absent") == 2
    assert "absent" in capsys.readouterr().err


def test_the_stages_of_an_empty_home_say_that_nothing_is_scannable(
    call: Call, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = {stage: call(stage, *THUMBNAIL) for stage in ("plan", "scan", "match", "report")}
    assert codes == {"plan": 3, "scan": 3, "match": 0, "report": 3}
    assert "no reference sets" in capsys.readouterr().out
    assert {path.name for path in (home / "report").iterdir()} >= {
        "findings.csv",
        "findings.parquet",
        "extractions.parquet",
        "checkpoints.csv",
        "findings.sarif",
        "report.html",
    }
    assert call("status") == 0
    assert "on disk" in capsys.readouterr().out


def test_json_is_one_object_on_stdout(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", "--json", *THUMBNAIL) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["exit_code"] == 3
    assert said["report"]["findings"] == {"critical": 0, "high": 0, "medium": 0, "low": 0}


def test_a_home_of_its_owner_only(call: Call, home: Path) -> None:
    call("plan")
    assert home.stat().st_mode & 0o077 == 0


def test_a_hub_that_is_away_leaves_the_crawl_incomplete(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ["--set", 'crawler.sources=["civitai"]', "--set", "crawler.civitai_url=http://127.0.0.1:9"]
    assert call("crawl", *nobody, "--set", "crawler.retries=0", "--json", "-q") == 2
    (source,) = json.loads(capsys.readouterr().out)["crawl"]["sources"]
    assert source["complete"] is False
    assert source["reason"]


def test_a_catalog_of_a_newer_version(call: Call, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("plan")
    with sqlite3.connect(home / "catalog.db") as database:
        database.execute("UPDATE catalog_schema SET version = version + 1")
    database.close()
    capsys.readouterr()
    assert call("plan") == 2
    said = capsys.readouterr()
    assert "install the leaksweep that made it" in said.err
    assert said.out == ""


def test_a_home_that_is_a_file(call: Call, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.write_text("", encoding="utf-8")
    assert call("plan") == 2
    assert str(home) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["absent.safetensors", "--base", "."],
            "CHECKPOINT absent.safetensors: there is no such file or folder",
        ),
        (["here", "--base", "absent"], "--base absent: there is no such file or folder"),
        (["here", "--base", "here"], "--base here: must be a diffusers folder"),
        (["here", "--base", ".", "--against", "absent"], "--against absent: there is no such file or folder"),
    ],
)
def test_extract_names_what_is_missing(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    (tmp_path / "here").write_bytes(b"")
    assert call("extract", *argv) == 4
    assert message in capsys.readouterr().err


def test_extract_names_a_folder_that_is_no_base(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").write_bytes(b"")
    (tmp_path / "base").mkdir()
    assert call("extract", "here", "--base", "base", *THUMBNAIL) == 2
    assert "model_index.json" in capsys.readouterr().err


def test_sigterm_ends_a_crawl_in_order(tmp_path: Path) -> None:
    """A service manager stops the command while a hub keeps it waiting."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        argv = [
            "crawl",
            "--home",
            "home",
            "--set",
            f"crawler.civitai_url={url}",
            "--set",
            'crawler.sources=["civitai"]',
        ]
        running = subprocess.Popen(
            [sys.executable, "-c", "import sys; from leaksweep.cli import main; sys.exit(main())", *argv],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
        connection.close()
    assert running.returncode == 2
    assert "The same command goes on from here" in said
    assert "Traceback" not in said


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    app = typer.Typer()

    @app.command()
    @command
    def stage(run: Run) -> int:
        raise KeyboardInterrupt

    done = CliRunner().invoke(app, ["--home", str(tmp_path)])
    assert done.exit_code == 2
    assert "The same command goes on from here" in done.stderr


def test_every_command_has_the_shared_options() -> None:
    runner = CliRunner(env={"TERMINAL_WIDTH": "200", "COLUMNS": "200"})
    stages = ("sweep", "crawl", "plan", "scan", "match", "report")
    for name in (*stages, "extract", "explain", "verify", "status", "demo"):
        said = runner.invoke(new_app(), [name, "--help"]).output
        for option in ("--config", "--home", "--set", "--json", "--verbose", "--quiet"):
            assert option in said, (name, option)
