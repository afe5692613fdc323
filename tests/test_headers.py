"""Headers of safetensors files: real ones are read, hostile ones refused, and no more fetched than needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from crawler.checkpoint import SkipReason
from crawler.evidence.headers import (
    FIRST_READ,
    MAX_HEADER,
    HeaderError,
    TensorInfo,
    parse_header,
    ranged,
    read_header,
)

URL = "https://hub.example/weights.safetensors"


def packed(content: object, body: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text + body


def tensor(dtype: str = "F16", shape: Any = (2,), offsets: Any = (0, 4)) -> Mapping[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_file_written_by_safetensors_is_read() -> None:
    data = save({"b": np.zeros((2, 3), np.float16), "a": np.zeros((), np.float32)}, {"ss_steps": "100"})
    header = parse_header(data, len(data))
    assert header.metadata == {"ss_steps": "100"}
    assert header.tensors == {"a": TensorInfo("F32", (), (0, 4)), "b": TensorInfo("F16", (2, 3), (4, 16))}


def test_a_file_without_metadata_or_tensors_is_read() -> None:
    header = parse_header(packed({}))
    assert (header.metadata, header.tensors) == ({}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{nonsense", "no valid JSON"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": ' + b"[" * 100_000, "no valid JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "no valid JSON"),
        (b'{"a": {}, "a": {}}', "occurs twice"),
        ({"__metadata__": {"a": 1}}, "no table of texts"),
        ({"__metadata__": "a"}, "no table of texts"),
        ({"a": {"dtype": "F16"}}, "lacks its dtype"),
        ({"a": tensor("F7")}, "unknown dtype 'F7'"),
        ({"a": tensor(shape=[-1])}, "shape outside the limits"),
        ({"a": tensor(shape=[True, 2])}, "shape outside the limits"),
        ({"a": tensor(shape=[1] * 9)}, "shape outside the limits"),
        ({"a": tensor(shape=[2**60])}, "shape outside the limits"),
        ({"a": tensor(shape=[3])}, "do not fit its shape"),
        ({"a": tensor(offsets=[4, 8])}, "leave a hole at byte 0"),
        ({"a": tensor(), "b": tensor()}, "overlap"),
        ({"a": tensor(shape=[], offsets=[0, 2]), "b": tensor(offsets=[3, 7])}, "hole at byte 2"),
    ],
)
def test_hostile_headers_are_refused_by_name(content: object, message: str) -> None:
    with pytest.raises(HeaderError, match=message) as caught:
        parse_header(packed(content))
    assert caught.value.reason is SkipReason.UNSAFE_FILE


def test_a_header_over_the_limit_is_refused_by_its_length_alone() -> None:
    with pytest.raises(HeaderError, match="200000000 bytes"):
        parse_header((200_000_000).to_bytes(8, "little") + b"{")


def test_offsets_have_to_end_with_the_file() -> None:
    data = packed({"a": tensor()}, b"\0" * 4)
    assert parse_header(data, len(data)).tensors
    with pytest.raises(HeaderError, match="end at byte 4, the file's data at byte 2"):
        parse_header(data[:-2], len(data) - 2)
    with pytest.raises(HeaderError, match="end at byte 4, the file's data at byte 5"):
        parse_header(data, len(data) + 1)


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html>", b"PK\x03\x04rest", b"\x80\x02ccollections", b"ab", b"12345678ab"]
)
def test_what_is_no_safetensors_file_at_all(data: bytes) -> None:
    with pytest.raises(HeaderError) as caught:
        parse_header(data)
    assert caught.value.reason is SkipReason.NOT_WEIGHTS


@pytest.mark.parametrize("length", [0x3C, 0x80])
def test_a_length_that_looks_like_another_format_is_no_other_format(length: int) -> None:
    assert parse_header(packed(b"{}" + b" " * (length - 2))).tensors == {}


def test_a_header_that_is_cut_off() -> None:
    with pytest.raises(HeaderError, match="cut off"):
        parse_header(packed({"a": tensor()})[:20])


@given(st.binary(max_size=200) | st.binary(max_size=100).map(packed))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with suppress(HeaderError):
        parse_header(data, len(data))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "a"]), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["__metadata__", "a", "b"]), _JSON))
def test_no_json_raises_anything_else(content: dict[str, Any]) -> None:
    with suppress(HeaderError):
        parse_header(packed(content))


class Hub:
    """Serves one file, with or without ranges, and counts what leaves."""

    def __init__(self, data: bytes, *, ranges: bool = True, first_byte: int = 0) -> None:
        self.data, self.ranges, self.first_byte = data, ranges, first_byte
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.headers["Range"])
        if not self.ranges:
            return httpx.Response(200, content=self.data)
        start, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        begin = start + self.first_byte
        headers = {"Content-Range": f"bytes {begin}-{last}/{len(self.data)}"}
        return httpx.Response(206, content=self.data[start : last + 1], headers=headers)

    def read(self, size: int | None) -> bytes:
        with httpx.Client(transport=httpx.MockTransport(self)) as client:
            return read_header(ranged(client, {}), URL, size)


def test_a_short_header_takes_one_request() -> None:
    data = packed({"a": tensor(shape=[10**6], offsets=[0, 2 * 10**6])}, b"\0" * 2 * 10**6)
    hub = Hub(data)
    assert parse_header(hub.read(len(data)), len(data)).tensors["a"].shape == (10**6,)
    assert hub.asked == [f"bytes=0-{FIRST_READ - 1}"]


def test_a_long_header_takes_two() -> None:
    data = packed({"__metadata__": {"ss_tag_frequency": "x" * 300_000}})
    hub = Hub(data)
    assert hub.read(None) == data
    assert hub.asked == [f"bytes=0-{FIRST_READ - 1}", f"bytes={FIRST_READ}-{len(data) - 1}"]


def test_a_small_file_is_not_asked_for_more_than_it_has() -> None:
    data = packed({"a": tensor()}, b"\0" * 4)
    hub = Hub(data)
    hub.read(len(data))
    assert hub.asked == [f"bytes=0-{len(data) - 1}"]


def test_a_length_over_the_limit_or_the_file_is_not_followed() -> None:
    hub = Hub((MAX_HEADER + 1).to_bytes(8, "little") + b"{" + b" " * FIRST_READ)
    with pytest.raises(HeaderError, match=str(MAX_HEADER)):
        hub.read(10**9)
    lying = Hub((10**6).to_bytes(8, "little") + b"{}")
    data = lying.read(10)
    with pytest.raises(HeaderError, match="cut off"):
        parse_header(data, 10)
    assert len(hub.asked) == len(lying.asked) == 1


def test_a_hub_without_ranges_is_cut_short() -> None:
    data = packed({"a": tensor(shape=[10**6], offsets=[0, 2 * 10**6])}, b"\0" * 2 * 10**6)
    assert len(Hub(data, ranges=False).read(len(data))) < 200
    long = packed({"__metadata__": {"a": "x" * 300_000}})
    with pytest.raises(HeaderError, match="part of a file"):
        Hub(long, ranges=False).read(len(long))


def test_another_part_than_asked_for_is_refused() -> None:
    with pytest.raises(HeaderError, match="another part"):
        Hub(packed({}), first_byte=1).read(None)


def test_a_refusal_comes_as_the_clients_own_error() -> None:
    gone = httpx.MockTransport(lambda request: httpx.Response(410))
    with httpx.Client(transport=gone) as client, pytest.raises(httpx.HTTPStatusError, match="410"):
        read_header(ranged(client, {}), URL, None)
