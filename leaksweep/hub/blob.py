"""One file's bytes, in memory or on disk, with every digest the two hubs publish of it."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from leaksweep.hub.content import Content

CHUNK = 64 * 1024
"""Bytes read, and sent, at a time."""

_AUTOV1_START, _AUTOV1_END = 0x100000, 0x110000
_AUTOV1_MIN_SIZE = 2 * 1024 * 1024


class Blob:
    """Bytes that are read when they are served; a digest is computed when it is first asked for."""

    def __init__(self, content: Content) -> None:
        self._made_from = content

    @cached_property
    def _content(self) -> bytes | Path:
        return self._made_from if isinstance(self._made_from, bytes | Path) else self._made_from()

    @cached_property
    def size(self) -> int:
        """In bytes."""
        return len(self._content) if isinstance(self._content, bytes) else self._content.stat().st_size

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes [start, stop) in pieces of at most `CHUNK`."""
        stop = self.size if stop is None else min(stop, self.size)
        if isinstance(self._content, bytes):
            for at in range(start, stop, CHUNK):
                yield self._content[at : min(at + CHUNK, stop)]
            return
        with self._content.open("rb") as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(CHUNK, stop - start))):
                start += len(piece)
                yield piece

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop)."""
        if isinstance(self._content, bytes):
            return self._content[start:stop]
        return b"".join(self.chunks(start, stop))

    @cached_property
    def sha256(self) -> str:
        """64 lower-case hex digits."""
        return self._sha256(0)

    @cached_property
    def crc32(self) -> str:
        """8 upper-case hex digits."""
        if isinstance(self._content, bytes):
            return f"{zlib.crc32(self._content):08X}"
        crc = 0
        for piece in self.chunks():
            crc = zlib.crc32(piece, crc)
        return f"{crc:08X}"

    @cached_property
    def autov1(self) -> str | None:
        """8 upper-case hex digits of 64 KiB from the second megabyte; None for files under 2 MiB."""
        if self.size < _AUTOV1_MIN_SIZE:
            return None
        return hashlib.sha256(self.read(_AUTOV1_START, _AUTOV1_END)).hexdigest()[:8].upper()

    @cached_property
    def autov3(self) -> str | None:
        """12 upper-case hex digits of what follows a safetensors header; None where there is none."""
        head = self.read(0, 9)
        if len(head) < 9 or head[8:] != b"{":
            return None
        start = 8 + int(struct.unpack("<Q", head[:8])[0])
        return self._sha256(start)[:12].upper() if start <= self.size else None

    @cached_property
    def git_oid(self) -> str:
        """SHA-1 of the file as a git object, 40 hex digits."""
        digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        for piece in self.chunks():
            digest.update(piece)
        return digest.hexdigest()

    @cached_property
    def lfs_pointer(self) -> bytes:
        """The text that git keeps in place of a large file."""
        lines = "version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}", f"size {self.size}"
        return "".join(f"{line}\n" for line in lines).encode()

    @cached_property
    def lfs_oid(self) -> str:
        """SHA-1 of the pointer as a git object, 40 hex digits."""
        return Blob(self.lfs_pointer).git_oid

    def _sha256(self, start: int) -> str:
        if isinstance(self._content, bytes):
            return hashlib.sha256(self._content[start:]).hexdigest()
        digest = hashlib.sha256()
        for piece in self.chunks(start):
            digest.update(piece)
        return digest.hexdigest()
