"""A disk that is full, whichever of the store's writes it strikes: a row, and the next run goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes_weights import remote, weights

from crawler.checkpoint import Hub, RemoteFile, SkipReason
from crawler.store import Store
from crawler.store.refusal import DownloadError

HF = Hub.HUGGINGFACE
BODIES = {number: weights(number) for number in (1, 2)}


@contextmanager
def whole(hub: Hub, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
    """A hub that gives each file at once."""
    yield httpx.Response(200, content=BODIES[int(url.rpartition("/")[2])])


def store_at(root: Path, open_stream: Any = whole, budget: int = 10**6) -> Store:
    return Store(root, budget=budget, open_stream=open_stream, retries=0, sleep=lambda seconds: None)


WRITES = ("write_text", "replace", "touch", "symlink_to", "rename", "open", "mkdir")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("write", WRITES)
def test_a_full_disk_is_a_row_wherever_it_strikes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, code: int
) -> None:
    store = store_at(tmp_path)
    config = RemoteFile(path="unet/config.json", url="http://hub.test/1", size=None, sha256=None)
    weights_file = RemoteFile(path="unet/w.safetensors", url="http://hub.test/2", size=None, sha256=None)

    def full(*args: object, **more: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(Path, write, full)
        with pytest.raises(DownloadError, match=r"full|quota of this user") as caught:
            store.fetch_folder([weights_file, config], HF)
        assert caught.value.reason is SkipReason.BUDGET
    folder = store.fetch_folder([weights_file], HF)
    assert (folder / "unet/w.safetensors").read_bytes() == BODIES[2]


def test_another_error_of_the_system_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path)

    def broken(*args: object, **more: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "touch", broken)
    with pytest.raises(OSError, match="Input/output"):
        store.fetch(remote("http://hub.test/1", BODIES[1]), HF)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this user may mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_in_the_middle(tiny_disk: Path) -> None:
    body = weights(1, 700_000)
    file = remote("http://hub.test/1", body)

    @contextmanager
    def stream(hub: Hub, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        start = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

        def pieces() -> Iterator[bytes]:
            for at in range(start, len(body), 10_000):
                if at == 300_000 and other is not None:
                    other.write_bytes(bytes(500_000))  # somebody else fills the disk
                yield body[at : at + 10_000]

        place = f"bytes {start}-{len(body) - 1}/{len(body)}"
        told = {"ETag": '"1"'} | ({"Content-Range": place} if start else {})
        yield httpx.Response(206 if start else 200, headers=told, content=pieces())

    other: Path | None = tiny_disk / "other"
    store = store_at(tiny_disk / "store", stream, budget=10**9)
    with pytest.raises(DownloadError, match="the disk is full; make room") as caught:
        store.fetch(file, HF)
    assert caught.value.reason is SkipReason.BUDGET
    with pytest.raises(DownloadError, match=r"lacks .* on the disk"):
        store.fetch(file, HF)  # now it is known before a hub is asked
    assert other
    other.unlink()
    other = None
    assert store.fetch(file, HF).read_bytes() == body
