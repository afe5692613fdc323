"""Strangers' files: what is refused before anything is loaded, and with which words."""

from __future__ import annotations

import ast
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

import extraction
from crawler.checkpoint import SkipReason
from extraction.extraction import LoadError
from extraction.weights import Limits, check_finite, open_weights

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stranger.safetensors"


def written(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def refusal(path: Path, limits: Limits = Limits()) -> LoadError:  # noqa: B008  frozen
    with pytest.raises(LoadError) as caught:
        open_weights(path, limits=limits)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isascii()
    return caught.value


def test_tensors_come_back_as_they_were_saved(path):
    tensors = {
        "half": torch.randn(3, 4).half(),
        "brain": torch.randn(2).bfloat16(),
        "alpha": torch.tensor(8.0),
        "ids": torch.arange(7)[None],
        "narrow": torch.randn(4).to(torch.float8_e4m3fn),
    }
    save_file(tensors, path, {"ss_network_dim": "16"})
    weights = open_weights(path)
    assert set(weights) == set(tensors)
    assert weights.metadata == {"ss_network_dim": "16"}
    for name, tensor in tensors.items():
        assert weights.shape(name) == tuple(tensor.shape)
        assert weights.is_floating(name) == tensor.is_floating_point()
        assert torch.equal(weights[name].float(), tensor.float())
    with pytest.raises(KeyError):
        weights["another"]


def test_a_missing_file(path):
    assert refusal(path).reason == "no_weights"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (pickle.dumps({"weight": [1.0] * 50}), "pickle"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS"),
        (b"GGUF\x03\x00\x00\x00" + bytes(64), "GGUF"),
        (b"", "not a safetensors"),
        (b"just some text that is longer than a header", "not a safetensors"),
    ],
)
def test_something_else_under_a_safetensors_name(path, content, what):
    path.write_bytes(content)
    error = refusal(path)
    assert error.reason == "not_weights"
    assert what in str(error)
    assert "stranger.safetensors" in str(error)


def test_a_folder_is_not_a_weights_file(tmp_path):
    assert refusal(tmp_path).reason == "not_weights"


def test_a_file_with_a_pickles_first_byte_is_read(path):
    # A header of 0x0280 bytes begins as a pickle of protocol 2 does.
    text = json.dumps({"weight": ONE}).encode().ljust(0x0280)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert list(open_weights(path)) == ["weight"]


@pytest.mark.parametrize("begins", [b"{", b"\x00"])
def test_a_header_of_200_megabytes(path, begins):
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 200_000_000) + begins)
        os.truncate(file.fileno(), 200_000_100)  # sparse
    error = refusal(path)
    assert error.reason == "unsafe_file"
    assert "200,000,000" in str(error)


def test_a_truncated_file(path):
    save_file({"weight": torch.randn(64, 64)}, path)
    whole = path.read_bytes()
    for length in (40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        error = refusal(path)
        assert error.reason == "unsafe_file"
        assert "truncated" in str(error)
        assert "download it again" in str(error)


@pytest.mark.parametrize(
    ("header", "data", "fault"),
    [
        (b"{not json", b"", "not a JSON object"),
        (b"[1, 2]", b"", "not a JSON object"),
        (b"\xff\xfe{}", b"", "not a JSON object"),
        (b'{"a":' * 100_000, b"", "nested too deeply"),
        (
            b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}',
            b"",
            "not a JSON",
        ),
        (b'{"a": 1, "a": 2}', b"", "twice"),
        ({"__metadata__": {"n": 1}, "a": ONE}, bytes(4), "__metadata__"),
        ({"__metadata__": [], "a": ONE}, bytes(4), "__metadata__"),
        ({"a": 7}, b"", "not described"),
        ({"a": ONE | {"extra": 1}}, bytes(4), "not described"),
        ({"a": ONE | {"dtype": "F4"}}, bytes(4), "dtype 'F4'"),
        ({"a": ONE | {"dtype": ["F32"]}}, bytes(4), "dtype"),
        ({"a": ONE | {"shape": [0]}}, bytes(4), "4 bytes where its shape and dtype need 0"),
        ({"a": ONE | {"shape": [0, 4]}}, bytes(4), "positive"),
        ({"a": ONE | {"shape": [-1]}}, bytes(4), "positive"),
        ({"a": ONE | {"shape": [True]}}, bytes(4), "positive"),
        ({"a": ONE | {"shape": [1] * 7}}, bytes(4), "positive"),
        ({"a": ONE | {"shape": [2**40]}}, bytes(4), "elements"),
        ({"a": ONE | {"shape": [2]}}, bytes(4), "4 bytes where its shape and dtype need 8"),
        ({"a": ONE | {"data_offsets": [4, 0]}}, bytes(4), "bytes where"),
        ({"a": ONE | {"data_offsets": [-4, 0]}}, bytes(4), "offsets"),
        ({"a": ONE | {"data_offsets": [0.0, 4.0]}}, bytes(4), "offsets"),
        ({"a": ONE | {"data_offsets": [1000, 1004]}}, bytes(4), "ends at byte 1004 of 4"),
        ({"a": ONE | {"data_offsets": [4, 8]}}, bytes(8), "gap"),
        ({"a": ONE, "b": ONE}, bytes(4), "overlaps"),
        ({"a": ONE}, bytes(8), "4 bytes at the end"),
        ({"n" * 2000: ONE}, bytes(4), "2000 characters"),
    ],
)
def test_headers_that_lie(path, header, data, fault):
    error = refusal(written(path, header, data))
    assert error.reason == "unsafe_file"
    assert fault in str(error)


def test_no_tensor_at_all(path):
    assert refusal(written(path, {"__metadata__": {"format": "pt"}})).reason == "not_weights"


def test_too_many_tensors(path):
    save_file({str(number): torch.zeros(1) for number in range(11)}, path)
    assert refusal(path, Limits(tensors=10)).reason == "unsafe_file"


def test_a_hostile_name_is_cut_and_escaped(path):
    name = "\x1b[2J\n\u202e" + "x" * 900
    error = refusal(written(path, {name: ONE | {"dtype": "F9"}}, bytes(4)))
    assert "\x1b" not in str(error)
    assert "x" * 100 not in str(error)


def test_a_file_that_changed_after_the_check(path):
    save_file({"weight": torch.randn(8, 8)}, path)
    weights = open_weights(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LoadError) as caught:
        weights["weight"]
    assert caught.value.reason == "unsafe_file"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none(value):
    tensor = torch.zeros(3, 3)
    check_finite("fine", tensor)
    tensor[1, 2] = value
    with pytest.raises(LoadError, match="'bad'") as caught:
        check_finite("bad", tensor)
    assert caught.value.reason == "not_finite"


def reasons(module: Path) -> set[str]:
    """First arguments of every LoadError that a module makes."""
    return {
        call.args[0].value
        for call in ast.walk(ast.parse(module.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "LoadError"
        if isinstance(call.args[0], ast.Constant)
    }


def test_every_reason_is_one_that_a_skip_may_have():
    room = Path(extraction.__file__).parent
    found = set().union(*(reasons(module) for module in room.rglob("*.py")))
    assert len(found) > 8
    assert found <= {reason.value for reason in SkipReason}


GOOD = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4).half()}, {"note": "x"})


def opened_or_refused(path: Path) -> None:
    try:
        weights = open_weights(path)
    except LoadError:
        return
    # What was let through is what the library reads, too.
    assert {name: tuple(tensor.shape) for name, tensor in load_file(path).items()} == {
        name: weights.shape(name) for name in weights
    }
    for name in weights:
        weights[name]


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "arbitrary.safetensors"
    path.write_bytes(content)
    opened_or_refused(path)


@settings(deadline=None, max_examples=120)
@given(place=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(0, 40))
def test_a_damaged_file_raises_nothing_else(tmp_path_factory, place, byte, cut):
    damaged = bytearray(GOOD)
    damaged[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(damaged[: len(damaged) - cut])
    opened_or_refused(path)


SIMPLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
TENSOR = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "I8", "BOOL"]) | SIMPLE,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | SIMPLE,
        "data_offsets": st.lists(st.integers(-1, 20), min_size=2, max_size=2) | SIMPLE,
    }
)


@settings(deadline=None, max_examples=100)
@given(header=st.dictionaries(st.text(max_size=4), TENSOR | SIMPLE, max_size=3), size=st.integers(0, 24))
def test_arbitrary_headers_raise_nothing_else(tmp_path_factory, header, size):
    path = tmp_path_factory.getbasetemp() / "headers.safetensors"
    opened_or_refused(written(path, header, bytes(size)))
