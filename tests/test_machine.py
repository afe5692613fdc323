"""What a machine is called: the processor, what it can do, and the version of torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scanner import machine
from scanner.machine import machine_of


def test_a_processor_is_named_with_what_it_can_do() -> None:
    named = machine_of(torch.device("cpu"))
    assert named.startswith("cpu ")
    assert torch.backends.cpu.get_cpu_capability() in named
    assert named.endswith(f"torch {torch.__version__}")


def test_it_is_the_same_each_time() -> None:
    assert machine_of(torch.device("cpu")) == machine_of(torch.device("cpu"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [("processor : 0\nmodel name\t: AMD EPYC 7B13\n", "AMD EPYC 7B13"), ("flags : fp\n", None), (None, None)],
)
def test_where_the_name_comes_from(tmp_path: Path, content: str | None, expected: str | None) -> None:
    path = tmp_path / "cpuinfo"
    if content is not None:
        path.write_text(content)
    named = machine._processor(path)
    assert named == expected if expected else named
