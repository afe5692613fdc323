"""What the documents show is what the command does."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from leaksweep.cli import new_app

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    for name, found in (group or get_command(new_app())).commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


COMMANDS = dict(commands())


def find(words: list[str]) -> tuple[Any, list[str]]:
    """The command that a line calls, and what is left of the line."""
    for length in (2, 1):
        found = COMMANDS.get(tuple(words[:length]))
        if found is not None:
            return found, words[length:]
    raise AssertionError(f"there is no command {' '.join(words)!r}")


def blocks(text: str) -> Iterator[str]:
    """Lines of code blocks, indented or fenced, that call the command."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif (fenced or line.startswith("    ")) and (
            call := re.search(r"(?:^|[\s/=])leaksweep ([a-z].*)", line)
        ):
            yield call[1].split("  ")[0].strip()


def shown() -> list[tuple[str, str]]:
    """(document, line) for every call in a code block; usage lines with "|" or "..." are no calls."""
    return [
        (path.name, line)
        for path in DOCUMENTS
        for line in blocks(path.read_text(encoding="utf-8"))
        if not re.search(r"\||\.\.\. |\.\.\.$|\[", line)
    ]


def mentioned() -> list[tuple[str, str]]:
    """(document, words) for every mention between backticks."""
    return [
        (path.name, words)
        for path in DOCUMENTS
        for words in re.findall(r"`leaksweep ([a-z][^`|]*)`", path.read_text(encoding="utf-8"))
        if "..." not in words
    ]


@pytest.mark.parametrize(("document", "line"), shown())
def test_a_shown_command_can_be_parsed(document: str, line: str) -> None:
    found, rest = find(shlex.split(line, comments=True))
    try:
        found.make_context("leaksweep", list(rest))
    except typer.TyperException as error:
        pytest.fail(f"{document}: leaksweep {line}: {error.format_message()}")


@pytest.mark.parametrize(("document", "words"), mentioned())
def test_a_mentioned_command_and_its_options_exist(document: str, words: str) -> None:
    if words.split()[0] in {path[0] for path in COMMANDS if len(path) == 2} and len(words.split()) == 1:
        return
    found, rest = find(words.split())
    known = {option for parameter in found.params for option in parameter.opts}
    assert not [word for word in rest if word.startswith("--") and word not in known]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_is_documented(path: tuple[str, ...]) -> None:
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert f"leaksweep {' '.join(path)}" in text


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_helps_with_examples_that_parse(path: tuple[str, ...]) -> None:
    found = COMMANDS[path]
    assert found.help
    examples = re.findall(r"^ *leaksweep (.*)$", found.epilog or "", re.MULTILINE)
    assert examples, "its --help shows no example"
    for example in examples:
        called, rest = find(shlex.split(example))
        assert called is found
        called.make_context("leaksweep", list(rest))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_does(path: tuple[str, ...]) -> None:
    assert [one.name for one in COMMANDS[path].params if not getattr(one, "help", None)] == []


def test_make_targets_that_are_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert set(re.findall(r"^ {4}make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert {"demo", "test", "check"} <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    pages = re.findall(r"\bdocs/[a-z-]+\.md\b", text)
    gone = [link for link in links if not (document.parent / link).exists()]
    assert not gone + [page for page in pages if not (ROOT / page).exists()]


def test_settings_that_are_shown_exist() -> None:
    """A dotted key between backticks is one of config.toml, or a section of it."""
    settings = tomllib.loads((ROOT / "config.toml").read_text(encoding="utf-8"))
    sections = "|".join(name for name, value in settings.items() if isinstance(value, dict))
    for document in DOCUMENTS:
        for key in re.findall(rf"`((?:{sections})(?:\.[a-z_]+)+)[` =]", document.read_text(encoding="utf-8")):
            table: Any = settings
            for name in key.split("."):
                assert name in table, f"{document.name}: there is no setting {key}"
                table = table[name]


def test_every_import_is_a_declared_dependency() -> None:
    """What the packages import has to be in pyproject.toml, not only on this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in wanted}
    makers = packages_distributions()
    ours = {"crawler", "extraction", "scanner", "reports", "leaksweep"}
    undeclared = set()
    for package in ours:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                for name in {one.partition(".")[0] for one in names} - ours - sys.stdlib_module_names:
                    sources = {one.lower().replace("_", "-") for one in makers.get(name, [name])}
                    if not sources & declared:
                        undeclared.add(f"{path.relative_to(ROOT)} imports {name}")
    assert not undeclared


def test_every_feature_names_a_test_that_there_is() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "features.md").read_text("utf-8"))
    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), f"{file}::{name}"
