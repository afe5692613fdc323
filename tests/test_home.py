"""The home folder: who can look into it, what it keeps out of a repository, and which pages go."""

from __future__ import annotations

import logging
import resource
import subprocess
from pathlib import Path

import pytest
from fakes_swept import swept_home

from leaksweep.cli import main
from leaksweep.home import Home

COMMON = ("--set", "recipe.descriptor=thumbnail", "--set", 'reports.decoys=["decoys"]')


def test_a_new_home_is_its_owners_and_no_repository_takes_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    home = Home(tmp_path / "home")
    home.prepare()
    (home.root / "key").write_text("secret")
    assert home.root.stat().st_mode & 0o777 == 0o700
    seen = subprocess.run(
        ["git", "-C", str(tmp_path), "status", "--porcelain", "-uall"], check=True, capture_output=True
    )
    assert seen.stdout == b""


def test_an_empty_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    root.chmod(0o777)
    Home(root).prepare()
    assert root.stat().st_mode & 0o777 == 0o700
    assert not (root / ".gitignore").exists()


def test_a_folder_that_is_open_and_holds_something_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "home"
    root.mkdir()
    (root / "note").touch()
    root.chmod(0o755)
    with caplog.at_level(logging.WARNING):
        Home(root).prepare()
    assert f"{root}: others on this machine can look into it; chmod 700 {root}" in caplog.text
    assert root.stat().st_mode & 0o777 == 0o755
    caplog.clear()
    root.chmod(0o750)
    Home(root).prepare()
    assert caplog.text == ""


def test_a_page_without_pictures_stays(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert not home.forget_shown_pictures()
    home.prepare()
    (home.report / "report.html").write_text("<p>img-src data:</p>")
    assert not home.forget_shown_pictures()
    assert (home.report / "report.html").exists()


def test_what_a_killed_writing_left_of_a_page_goes_too(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    (home.report / ".report.html.17.part").write_text('<img src="data:image/png;base64,iVBO')
    assert home.forget_shown_pictures()
    assert list(home.report.iterdir()) == []


def test_a_matching_removes_a_page_that_shows_pictures_which_it_may_erase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    swept = swept_home(tmp_path / "home", names=("cats",))
    page = swept.root / "report" / "report.html"
    assert main(["report", "--thumbs", *COMMON, "--home", str(swept.root)]) == 1
    assert b"data:image/png;base64," in page.read_bytes()
    # What it shows is withdrawn, so that its picture goes with the next matching.
    for name in ("artist", "hotline"):
        assert main(["refs", "remove", name, "--home", str(swept.root)]) == 0
    capsys.readouterr()
    address = "https://hooks.test/T0KEN"
    assert main(["match", *COMMON, "--set", f"reports.notices.webhook_url={address}", "--home", "home"]) == 0
    said = capsys.readouterr().out
    assert "pictures: 2 erased, 0 kept" in said
    assert "the last report's page showed pictures that may have gone, so it was removed" in said
    assert not page.exists()
    # The settings of a run are kept with it, without the web hook's address.
    kept = b"".join(path.read_bytes() for path in swept.root.rglob("*") if path.is_file())
    assert b"T0KEN" not in kept


def test_a_command_leaves_no_core(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        assert main(["status", "--home", str(tmp_path / "none")]) == 0
        assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
