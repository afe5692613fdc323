"""The walls of the house: who may import whom, and which rooms must do without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT: dict[str, set[str]] = {
    "crawler": set(),
    "extraction": set(),
    "scanner": {"crawler", "extraction"},
    "reports": {"crawler", "scanner", "extraction"},
    "leaksweep": {"crawler", "extraction", "scanner", "reports"},
}
"""Imports point one way; nobody imports leaksweep."""

REPORTS_MAY_SEE = {
    "scanner": {
        "job",
        "extraction_rows",
        "extraction_store",
        "image_table",
        "ledger",
        "picture_keys",
        "tables",
        "vault",
    },
    "extraction": {"descriptors", "evidence", "extraction", "recipe"},
}
"""Of the rooms upstream, reports see records and stores, and the descriptor; not the work."""

WITHOUT_TORCH = ("crawler", "reports")

FORBIDDEN_NAMES = {"common", "utils", "util", "helpers", "helper", "manager", "misc"}

LONGEST = 300
"""Lines in a file. A file that grows past this holds two ideas."""


def modules(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded(script: str, names: tuple[str, ...]) -> str:
    """Which of these libraries a fresh interpreter has loaded after a script."""
    script = f"{script}\nimport sys\nprint([name for name in {names} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_upstream(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imported(path)
        if name.partition(".")[0] in MAY_IMPORT.keys() - allowed
    ]
    assert not wrong


def test_reports_see_only_records_of_the_scan_and_the_descriptor() -> None:
    wrong = []
    for path in modules("reports"):
        for name in imported(path):
            room, _, rest = name.partition(".")
            if room in REPORTS_MAY_SEE and rest.partition(".")[0] not in REPORTS_MAY_SEE[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_imports_without_torch(package: str) -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules(package)]
    names = [name.removesuffix(".__init__") for name in names]
    assert loaded(f"import {', '.join(names)}", ("torch",)) == "[]"


def test_the_command_starts_without_the_heavy_libraries() -> None:
    heavy = ("torch", "diffusers", "transformers", "lancedb", "ray", "pandas", "matplotlib", "sklearn")
    assert loaded("import leaksweep.cli", heavy) == "[]"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_files_are_short_and_named_for_what_they_hold(package: str) -> None:
    for path in modules(package):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST, f"{path.relative_to(ROOT)} has {lines} lines"
        assert path.stem not in FORBIDDEN_NAMES, path
        assert not {part.name for part in path.parents} & FORBIDDEN_NAMES, path


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_module_says_what_it_is_for(package: str) -> None:
    without = [path for path in modules(package) if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert not without


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_only_the_worker_catches_everything(package: str) -> None:
    """Anywhere else, an unknown error is a fault that must be seen."""
    for path in modules(package):
        if path == ROOT / "scanner" / "worker.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                assert caught not in {"Exception", "BaseException", "everything"}, f"{path}:{node.lineno}"
