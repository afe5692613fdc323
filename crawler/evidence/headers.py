"""The header of a safetensors file: parsed within limits, read over HTTP without the rest of the file.

The format (huggingface/safetensors, README): 8 bytes little-endian length N, N bytes of JSON, then the
tensors' bytes, which the JSON has to account for without holes or overlaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crawler.checkpoint import CrawlError, SkipReason

MAX_HEADER = 25_000_000
"""Bytes of JSON; the limit of huggingface_hub. Headers of real adapters stay under 1 MB."""
MAX_TENSORS = 100_000
MAX_RANK = 8
MAX_NAME = 300
"""Characters of a tensor's name; real ones stay under 200. Patterns are searched in each."""
FIRST_READ = 100_000
"""Bytes of the first request: enough for most headers (97 % according to huggingface_hub)."""

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""Bits of an element, by dtype."""


_OTHERS = {b"<": "a web page", b"PK\x03\x04": "a pickle in a zip", b"\x80": "a pickle"}


class HeaderError(CrawlError):
    """A file is no safetensors file, or one whose header is outside the limits."""

    def __init__(self, message: str, reason: SkipReason = SkipReason.UNSAFE_FILE) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies and what it is."""

    dtype: str
    shape: tuple[int, ...]
    offsets: tuple[int, int]
    """First byte and one past the last, counted from the end of the header."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says of itself. Text from strangers: nothing here is a path or a command."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorInfo]


def header_length(data: bytes) -> int:
    """Bytes of the JSON, from a file's first nine bytes.

    Raises:
        HeaderError: the file is something else (reason NOT_WEIGHTS), or the length is over the limit.
    """
    # The length may begin with any byte: only what follows it tells a safetensors file from others.
    if data[8:9] != b"{":
        what = next((what for start, what in _OTHERS.items() if data.startswith(start)), "something else")
        raise HeaderError(f"no safetensors file but {what}", SkipReason.NOT_WEIGHTS)
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= MAX_HEADER:
        raise HeaderError(f"the header has {length} bytes; between 2 and {MAX_HEADER} are allowed")
    return length


def parse_header(data: bytes, size: int | None = None) -> Header:
    """Parse a file's leading bytes: the length and all of the JSON; anything behind it is ignored.

    Args:
        size: bytes of the whole file, when known; the tensors have to end there.

    Raises:
        HeaderError: not a safetensors header, or one outside the limits.
    """
    length = header_length(data)
    if len(data) < 8 + length:
        raise HeaderError(f"the header is cut off: {len(data) - 8} of {length} bytes")
    try:
        content = json.loads(data[8 : 8 + length], object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"the header is no valid JSON: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise HeaderError("the header is no JSON object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise HeaderError("__metadata__ is no table of texts")
    if len(content) > MAX_TENSORS:
        raise HeaderError(f"{len(content)} tensors; at most {MAX_TENSORS} are allowed")
    tensors = {name: _tensor(name, entry) for name, entry in content.items()}
    _check_layout(tensors, None if size is None else size - 8 - length)
    return Header(metadata, tensors)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key occurs twice")
    return entries


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _tensor(name: str, entry: Any) -> TensorInfo:
    if len(name) > MAX_NAME:
        raise HeaderError(f"a tensor's name has {len(name)} characters; at most {MAX_NAME} are allowed")
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise HeaderError(f"tensor {name[:100]!r} lacks its dtype, shape or offsets")
    if dtype not in BITS:
        raise HeaderError(f"tensor {name[:100]!r} has the unknown dtype {dtype[:20]!r}")
    whole = all(type(side) is int and 0 <= side < 2**48 for side in shape)
    if not whole or len(shape) > MAX_RANK or isinstance(begin, bool) or isinstance(end, bool):
        raise HeaderError(f"tensor {name[:100]!r} has a shape outside the limits")
    if (end - begin) * 8 != math.prod(shape) * BITS[dtype]:
        raise HeaderError(f"tensor {name[:100]!r}: its {end - begin} bytes do not fit its shape")
    return TensorInfo(dtype, tuple(shape), (begin, end))


def _check_layout(tensors: Mapping[str, TensorInfo], available: int | None) -> None:
    position = 0
    for begin, end in sorted(tensor.offsets for tensor in tensors.values()):
        if begin != position or end < begin:
            raise HeaderError(f"the tensors overlap or leave a hole at byte {position}")
        position = end
    if available is not None and position != available:
        raise HeaderError(f"the tensors end at byte {position}, the file's data at byte {available}")


class RangeReader(Protocol):
    """Reads a part of a file on a hub."""

    def __call__(self, url: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop - 1`; fewer where the file ends earlier.

        Raises:
            HeaderError: the hub sends something else than this part.
        """
        ...


class StreamingClient(Protocol):
    """What httpx and httpx2 clients have in common, as far as it is used here."""

    def stream(
        self, method: str, url: str, *, headers: Any, follow_redirects: bool
    ) -> AbstractContextManager[Any]: ...


def ranged(client: StreamingClient, headers: Mapping[str, str]) -> RangeReader:
    """A reader over an httpx client. Status errors pass through as that client's library raises them."""

    def read(url: str, start: int, stop: int) -> bytes:
        wanted = {**headers, "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with client.stream("GET", url, headers=wanted, follow_redirects=True) as response:
            response.raise_for_status()
            partial = response.status_code == 206
            if partial and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise HeaderError("the hub sent another part than was asked for")
            if not partial and start > 0:
                raise HeaderError("the hub does not answer requests for a part of a file")
            # A hub without ranges sends the whole file: stop reading, so that the connection is dropped.
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) >= stop - start:
                    break
        return bytes(data[: stop - start])

    return read


def local_header(path: Path) -> Header:
    """The header of a file on this machine.

    Raises:
        HeaderError: as `parse_header`.
    """
    with path.open("rb") as file:
        start = file.read(9)
        return parse_header(start + file.read(header_length(start) - 1), path.stat().st_size)


def read_header(read: RangeReader, url: str, size: int | None) -> bytes:
    """Read a file's leading bytes up to the end of its header, for `parse_header`; two requests at most.

    Raises:
        HeaderError: not a safetensors file, or a header over the limit, of which no more is read.
    """
    data = read(url, 0, FIRST_READ if size is None else min(size, FIRST_READ))
    end = 8 + header_length(data)
    if len(data) < end and (size is None or end <= size):
        data += read(url, len(data), end)
    return data[:end]
