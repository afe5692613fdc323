"""Hostile names and reasons on a terminal: each entry is one line, and none forges another."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fakes_lists import hma_content
from fakes_swept import Swept, swept_home

from leaksweep.cli import main

FORGED = "x\n  99  2026-01-01  nobody  FORGED\r\x1b[31m\u202e\u2028\x9b2J"
COMMON = ("--set", "recipe.descriptor=thumbnail", "--set", 'reports.decoys=["decoys"]')


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    """A home with a list whose giver names an entry so, an entry that matches."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = swept_home(folder / "home", names=("cats",))
        contents = [
            hma_content(1, made.listed[1].hex(), id=FORGED),
            hma_content(2, "0" * 64, id=f"{FORGED}2"),
        ]
        (folder / "evil.json").write_text(json.dumps(contents))
        assert main(["refs", "add", "evil", "evil.json", "--home", "home"]) == 0
        assert main(["match", *COMMON, "--home", "home"]) == 0
        yield made


def call(swept: Swept, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main([*words, "--home", str(swept.root)]) == 0
    shown = capsys.readouterr()
    for line in (shown.out + shown.err).split("\n"):
        assert line.isprintable(), words
        assert not line.lstrip().startswith("99"), words
    return shown.out.splitlines()


def test_names_of_a_list(swept: Swept, capsys: pytest.CaptureFixture[str]) -> None:
    extraction = call(swept, capsys, "explain")[0].split()[0]
    account = call(swept, capsys, "explain", extraction, *COMMON)
    (line,) = [line for line in account if "FORGED" in line]
    assert line.startswith("Reference x\\n  99")
    assert "of evil: " in line
    call(swept, capsys, "refs", "withdraw", "evil", FORGED, "--reason", FORGED)
    (withdrawn,) = call(swept, capsys, "refs", "withdrawn")
    assert withdrawn.count("FORGED") == 2
    call(swept, capsys, "refs", "list")


def test_reasons(swept: Swept, capsys: pytest.CaptureFixture[str]) -> None:
    extraction, *_, finding = call(swept, capsys, "explain")[0].split()
    call(swept, capsys, "suppress", finding, "--why", FORGED)
    (suppressed,) = call(swept, capsys, "suppress", "--list")
    assert "FORGED" in suppressed
    call(swept, capsys, "hold", extraction, "--why", FORGED)
    (held,) = call(swept, capsys, "hold")
    assert "FORGED" in held
    entries = call(swept, capsys, "audit", "list")
    assert sum("FORGED" in line for line in entries) >= 2
