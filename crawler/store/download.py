"""One download: resumed, checked while it streams, and refused when it is not what was promised."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from crawler.checkpoint import CrawlError, Hub, RemoteFile, SkipReason
from crawler.guest.client import OpenStream

logger = logging.getLogger(__name__)

HEAD = 64
"""Bytes that must have come before any is written: enough to tell weights from a web page."""
MAX_HEADER = 100_000_000
"""Bytes; the safetensors library refuses longer headers."""

_FOREIGN = re.compile(rb"\s*<(!doctype|html|\?xml)|PK\x03\x04|\x80[\x02-\x05]|\x1f\x8b", re.IGNORECASE)
"""Beginnings of web pages, zip archives (PyTorch since 1.6), pickles and gzip."""
_REFUSALS = {
    401: SkipReason.GATED,
    403: SkipReason.GATED,
    404: SkipReason.UNREACHABLE,
    410: SkipReason.ARCHIVED,
    451: SkipReason.DISABLED,
}


class DownloadError(CrawlError):
    """A file cannot be had; `reason` is what a skip of it says."""

    def __init__(self, reason: SkipReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Dropped(Exception):
    """The body ended early, or the answer does not fit what is there: worth another attempt."""


@dataclass(slots=True, kw_only=True)
class Download:
    """A file on its way from a hub into `part`; a small JSON file beside it says what the bytes belong to.

    Two processes must not write one `part` at once: the store holds a lock.
    """

    hub: Hub
    file: RemoteFile
    part: Path
    open_stream: OpenStream
    reserve: Callable[[int], None]
    """Called with the number of bytes that come next; raises DownloadError when there is no room."""
    max_bytes: int
    retries: int
    """Further attempts that bring nothing new before giving up."""
    sleep: Callable[[float], None] = time.sleep
    _furthest: int = field(default=0, init=False)
    _fruitless: int = field(default=0, init=False)

    def run(self) -> str:
        """Fetch what is missing and return the SHA-256 of the whole, which is on the disk by then.

        Raises:
            DownloadError: what was wrong is removed; what was only cut short stays, for the next run.
        """
        try:
            digest: str = Retrying(
                retry=retry_if_exception_type((_Dropped, httpx.TransportError)),
                stop=self._hopeless,
                wait=wait_random_exponential(multiplier=0.5, max=60),
                sleep=self.sleep,
                reraise=True,
            )(self._attempt)
        except (_Dropped, httpx.TransportError) as error:
            raise DownloadError(
                SkipReason.DOWNLOAD_FAILED,
                f"{self.file.url}: not delivered, {self._fruitless} attempts in a row brought nothing new "
                f"({str(error) or type(error).__name__}); the next run goes on with it",
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DownloadError(
                SkipReason.BUDGET, f"{self.part.parent}: the disk is full; make room"
            ) from error
        if self.file.sha256 is not None and digest != self.file.sha256.lower():
            self._refuse(
                SkipReason.WRONG_DIGEST,
                f"SHA-256 is {digest[:12]}, the hub told {self.file.sha256[:12]}; crawl again",
            )
        return digest

    def forget(self) -> None:
        """Remove what has come so far."""
        self.part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    @property
    def _state(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def _hopeless(self, state: RetryCallState) -> bool:
        come = self.part.stat().st_size if self.part.exists() else 0
        self._fruitless = 0 if come > self._furthest else self._fruitless + 1
        self._furthest = max(come, self._furthest)
        return self._fruitless > self.retries

    def _attempt(self) -> str:
        offset, etag = self._resumable()
        if offset and offset == self.file.size:
            return self._write(iter(()), offset)
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": etag}
        with self.open_stream(self.hub, self.file.url, headers) as answer:
            content_range = answer.headers.get("Content-Range", "")
            if offset and answer.status_code == 416 and content_range == f"bytes */{offset}":
                return self._write(iter(()), offset)
            if offset and answer.status_code == 206 and content_range.startswith(f"bytes {offset}-"):
                return self._write(answer.iter_bytes(), offset)
            if offset and answer.status_code in (206, 416):
                self.forget()
                raise _Dropped(f"asked for bytes from {offset}, was answered {content_range or 'nothing'}")
            if answer.status_code != 200:
                self._refused(answer)
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                self._refuse(SkipReason.NOT_WEIGHTS, "a web page was served; check the token of this hub")
            self.forget()
            self._remember(answer)
            # No chunk size: chunks that are still being gathered would be lost with the connection.
            return self._write(self._inspected(answer.iter_bytes()), 0)

    def _resumable(self) -> tuple[int, str]:
        """Bytes of the part that can be kept, with the strong ETag that they belong to; 0 when none."""
        try:
            state = json.loads(self._state.read_text())
            size = self.part.stat().st_size
        except (FileNotFoundError, ValueError):
            return 0, ""
        if not isinstance(state, dict) or state.get("url") != self.file.url or not state.get("etag"):
            return 0, ""
        return (size, str(state["etag"])) if self.file.size is None or size <= self.file.size else (0, "")

    def _remember(self, answer: httpx.Response) -> None:
        etag = answer.headers.get("ETag", "")
        if not etag.startswith('"') or "Content-Encoding" in answer.headers:
            etag = ""  # weak, or of other bytes than those that are written: cannot be gone on with
        self._state.write_text(json.dumps({"url": self.file.url, "etag": etag}))

    def _write(self, chunks: Iterator[bytes], offset: int) -> str:
        size = self.file.size
        self.part.touch()  # first, so that it is not taken for an abandoned one
        self.reserve((size or offset) - offset)
        with self.part.open("r+b") as out:
            digest = hashlib.file_digest(out, "sha256")
            out.seek(offset)
            for chunk in chunks:
                offset += len(chunk)
                if size is None:
                    self.reserve(len(chunk))
                elif offset > size:
                    self._refuse(SkipReason.WRONG_DIGEST, f"longer than the {size} bytes that the hub told")
                if offset > self.max_bytes:
                    self._refuse(SkipReason.TOO_LARGE, f"over the {self.max_bytes} of crawler.max_file_bytes")
                out.write(chunk)
                digest.update(chunk)
            out.flush()
            os.fsync(out.fileno())
        if size is not None and offset < size:
            raise _Dropped(f"{offset} of {size} bytes came")
        return digest.hexdigest()

    def _inspected(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        head = b""
        for chunk in chunks:
            if len(head) >= HEAD:
                yield chunk
                continue
            head += chunk
            if len(head) >= HEAD:
                self._inspect(head)
                yield head
        if len(head) < HEAD:
            self._inspect(head)
            yield head

    def _inspect(self, head: bytes) -> None:
        what = foreign_content(self.file.path, head, self.file.size)
        if what:
            self._refuse(SkipReason.NOT_WEIGHTS, what)

    def _refused(self, answer: httpx.Response) -> NoReturn:
        status = answer.status_code
        if status == 403 and answer.history:
            raise _Dropped("the signed address has expired")
        body = next(answer.iter_bytes(300), b"")
        said = answer.headers.get("X-Error-Message") or body.decode("utf-8", "replace")
        reason = _REFUSALS.get(status, SkipReason.DOWNLOAD_FAILED)
        if answer.headers.get("X-Error-Code") in ("RepoNotFound", "EntryNotFound", "RevisionNotFound"):
            reason = SkipReason.UNREACHABLE
        elif reason is SkipReason.GATED and "early access" in said.lower():
            reason = SkipReason.EARLY_ACCESS
        elif reason is SkipReason.GATED and "is disabled" in said.lower():
            reason = SkipReason.DISABLED
        raise DownloadError(reason, f"{self.file.url}: status {status}: {said[:300] or 'no reason given'}")

    def _refuse(self, reason: SkipReason, what: str) -> NoReturn:
        self.forget()
        raise DownloadError(reason, f"{self.file.url}: {what}")


def foreign_content(path: str, head: bytes, size: int | None) -> str:
    """What is wrong with a file that begins with `head`; "" when it may be what its name says.

    A safetensors file begins with its header's length in 8 little-endian bytes, and the header with "{".
    """
    if _FOREIGN.match(head):
        return "the content is a web page, an archive or a pickle, whatever the name says"
    if not path.endswith(".safetensors"):
        return ""
    length = int.from_bytes(head[:8], "little")
    if len(head) < 10 or head[8:9] != b"{" or not 2 <= length <= MAX_HEADER:
        return "the content is no safetensors file"
    if size is not None and 8 + length > size:
        return f"the safetensors header says {length} bytes, the file has {size}"
    return ""
