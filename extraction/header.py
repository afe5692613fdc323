"""The header of a safetensors file, read and checked before anything of the file is loaded.

A header is a stranger's text: a length of 8 bytes, then JSON that says where each tensor lies. It is
held against limits and against the file's size here, so that what comes after can rely on it.
Format: https://huggingface.co/docs/safetensors (8 bytes little-endian length, JSON, tensor bytes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from extraction.extraction import LoadError

LENGTH_BYTES = 8
"""Bytes of the number that every safetensors file starts with."""

ITEM_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "F64": 8,
        "F32": 4,
        "F16": 2,
        "BF16": 2,
        "F8_E4M3": 1,
        "F8_E5M2": 1,
        "I64": 8,
        "I32": 4,
        "I16": 2,
        "I8": 1,
        "U8": 1,
        "BOOL": 1,
    }
)
"""The dtypes that are read. Packed and scaled ones mean nothing without their scales."""

FLOATING = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""The dtypes a weight may have."""

MARKER = [0]
"""The shape of a tensor that says something by its name alone, such as "v_pred"."""

FOREIGN = {
    b"\x80": "a Python pickle",
    b"PK\x03\x04": "a zip archive, as torch.save writes it",
    b"\x1f\x8b": "a gzip archive",
    b"<": "a web page",
    b"GGUF": "a GGUF file",
    b"version https://git-lfs": "a Git LFS pointer, not the file that it points to",
}
"""How files begin that come under a safetensors name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a header may ask for at most."""

    header_bytes: int = 25_000_000
    """As huggingface_hub's own reader has it."""
    tensors: int = 50_000
    name_length: int = 1024
    """Characters of one tensor's name."""
    dimensions: int = 6
    elements: int = 2**34
    """Of one tensor."""


LIMITS = Limits()
"""Ample for every public text-to-image model."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    """First byte, counted from the end of the header."""
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


def shorten(name: object, length: int = 100) -> str:
    """A stranger's text for a message: escaped to ASCII and cut to `length` characters."""
    text = ascii(str(name)[: length + 1])[1:-1]
    return text if len(text) <= length else text[: length - 3] + "..."


def read_header(path: Path, limits: Limits) -> Header:
    """Read and check the header of one file.

    Raises:
        LoadError: "no_weights" when it is not there; "not_weights" when it is no safetensors file,
            whatever its name; "unsafe_file" when it is truncated or its header lies or is outside the limits.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
            length = int.from_bytes(start[:LENGTH_BYTES], "little")
            _check_start(path, start, length, size, limits)
            file.seek(LENGTH_BYTES)
            text = file.read(length)
    except FileNotFoundError as error:
        raise LoadError(
            "no_weights", f"{shorten(path.name)}: there is no such file; download it again"
        ) from error
    except OSError as error:
        raise LoadError("not_weights", f"{shorten(path.name)}: cannot be read: {error.strerror}") from error
    fields = _parse(path, text)
    metadata = _metadata(path, fields.pop("__metadata__", {}))
    if not fields:
        raise LoadError(
            "not_weights", f"{shorten(path.name)}: the header lists no tensor; nothing can be loaded from it"
        )
    if len(fields) > limits.tensors:
        raise _unsafe(path, f"the header lists {len(fields)} tensors, more than the {limits.tensors} allowed")
    entries = {name: _entry(path, name, value, limits) for name, value in fields.items()}
    _check_offsets(path, entries, size - LENGTH_BYTES - length)
    return Header(MappingProxyType(entries), MappingProxyType(metadata))


def _unsafe(path: Path, fault: str) -> LoadError:
    return LoadError("unsafe_file", f"{shorten(path.name)}: {fault}; download it again or leave it out")


def _check_start(path: Path, start: bytes, length: int, size: int, limits: Limits) -> None:
    """Tell from the first bytes and the size whether a header of bearable length follows."""
    behind = size - LENGTH_BYTES
    opens = start[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"
    if not (opens and length <= behind):
        for magic, what in FOREIGN.items():
            # A safetensors file may begin with any of these bytes, but then a header follows.
            if start.startswith(magic) and (length > behind or not opens):
                remedy = "only safetensors files are loaded, because a pickle can run code"
                raise LoadError("not_weights", f"{shorten(path.name)}: this is {what}; {remedy}")
    if length > limits.header_bytes and (opens or length <= behind):
        raise _unsafe(
            path, f"the header claims {length:,} bytes, more than the {limits.header_bytes:,} allowed"
        )
    if length > behind:
        if opens:
            raise _unsafe(
                path, f"the file is truncated: its header needs {length:,} bytes and {behind:,} are there"
            )
        raise LoadError(
            "not_weights",
            f"{shorten(path.name)}: this is not a safetensors file; its header does not fit into it",
        )


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands there twice")
    return fields


def parse_object(text: bytes) -> dict[str, Any]:
    """Parse a stranger's JSON object.

    Raises:
        ValueError: it is no JSON, no object, nested too deeply, or a key is there twice.
    """
    try:
        fields = json.loads(text, object_pairs_hook=_reject_duplicates)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return fields


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        return parse_object(text)
    except ValueError as error:
        raise _unsafe(path, f"the header is not a JSON object ({shorten(error, 60)})") from error


def _metadata(path: Path, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _unsafe(path, "the header's __metadata__ is not a table of strings")
    return value


def _entry(path: Path, name: str, value: object, limits: Limits) -> Entry:
    what = f"tensor '{shorten(name)}'"
    if len(name) > limits.name_length:
        raise _unsafe(
            path, f"{what} has a name of {len(name)} characters, more than the {limits.name_length} allowed"
        )
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise _unsafe(path, f"{what} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _unsafe(path, f"{what} has the dtype '{shorten(dtype, 20)}', which is not read")
    if not (shape == MARKER or _whole_numbers(shape, least=1)) or len(shape) > limits.dimensions:
        raise _unsafe(path, f"{what} has a shape that is not at most {limits.dimensions} positive numbers")
    if not _whole_numbers(offsets, least=0) or len(offsets) != 2:
        raise _unsafe(path, f"{what} has offsets that are not two numbers")
    elements = math.prod(shape)
    if elements > limits.elements:
        raise _unsafe(path, f"{what} has more than the {limits.elements:,} elements allowed")
    begin, end = offsets
    if end - begin != elements * ITEM_BYTES[dtype]:
        raise _unsafe(
            path,
            f"{what} takes {end - begin} bytes where its shape and dtype need {elements * ITEM_BYTES[dtype]}",
        )
    return Entry(dtype, tuple(shape), begin, end)


def _whole_numbers(value: object, *, least: int) -> bool:
    # bool is an int in Python, and no length in a header; huge numbers are not worth multiplying.
    return isinstance(value, list) and all(
        type(number) is int and least <= number < 2**63 for number in value
    )


def _check_offsets(path: Path, entries: Mapping[str, Entry], data_bytes: int) -> None:
    """Every byte behind the header belongs to exactly one tensor."""
    reached = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.end > data_bytes:
            raise _unsafe(
                path,
                f"tensor '{shorten(name)}' ends at byte {entry.end} of {data_bytes}: "
                "the file is truncated or its offsets lie",
            )
        if entry.begin != reached:
            fault = "overlaps the one before it" if entry.begin < reached else "leaves a gap before it"
            raise _unsafe(path, f"tensor '{shorten(name)}' {fault}")
        reached = entry.end
    if reached != data_bytes:
        raise _unsafe(path, f"{data_bytes - reached} bytes at the end belong to no tensor")
