"""One download: resumed, checked while it streams, and refused when it is not what was promised."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from crawler.checkpoint import CrawlError, Hub, RemoteFile, SkipReason
from crawler.guest.client import OpenStream
from crawler.store.content import behind_head, foreign_content
from crawler.store.promises import Promises, told_size
from crawler.store.refusal import DownloadError, refusal
from crawler.store.shelves import PART, STATE

STEP = 16 * 2**20
"""Bytes of room that are claimed at a time for a file whose size nobody tells."""
SLOWEST = 1024
"""Bytes a second, over `WINDOW`; what comes more slowly is given up, so that it does not hold up a night."""
WINDOW = 300.0

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


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
    """Called with the bytes that the whole file will have; raises DownloadError when there is no room."""
    max_bytes: int
    retries: int
    """Further attempts that bring nothing new before giving up."""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _promises: Promises = field(init=False)
    _furthest: int = field(default=0, init=False)
    _fruitless: int = field(default=0, init=False)
    _resumed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._promises = Promises(size=self.file.size, sha256=self.file.sha256)

    def run(self) -> str:
        """Fetch what is missing and return the SHA-256 of the whole, which is on the disk by then.

        Raises:
            DownloadError: what was wrong is removed; what was only cut short stays, for the next run.
        """
        if self.file.size is not None:
            self._check_limit(self.file.size)
            self.reserve(self.file.size)  # before a hub is asked in vain
        digest = self._persist()
        if self._promises.broken_by(digest) and self._resumed:
            # Parts of two versions, or bits that rotted meanwhile: the hub gets a second chance.
            self.forget()
            self._resumed, self._furthest, self._fruitless = False, 0, 0
            digest = self._persist()
        if what := self._promises.broken_by(digest):
            self._refuse(SkipReason.WRONG_DIGEST, what)
        return digest

    def forget(self) -> None:
        """Remove what has come so far."""
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    @property
    def state(self) -> Path:
        """The JSON file beside the part."""
        return self.part.with_name(self.part.name.removesuffix(PART) + STATE)

    def _persist(self) -> str:
        try:
            digest: str = Retrying(
                retry=retry_if_exception(_passes),
                stop=self._hopeless,
                wait=wait_random_exponential(multiplier=0.5, max=60),
                sleep=self.sleep,
                reraise=True,
            )(self._attempt)
        except DownloadError:
            raise
        except (_Dropped, httpx.HTTPError, httpx.InvalidURL, CrawlError) as error:
            raise DownloadError(
                SkipReason.DOWNLOAD_FAILED,
                f"{self.file.url}: not delivered, {self._fruitless} attempts in a row brought nothing new "
                f"({str(error) or type(error).__name__}); the next run goes on with it",
            ) from error
        return digest

    def _hopeless(self, _: RetryCallState) -> bool:
        come = self.part.stat().st_size if self.part.exists() else 0
        self._fruitless = 0 if come > self._furthest else self._fruitless + 1
        self._furthest = max(come, self._furthest)
        return self._fruitless > self.retries

    def _attempt(self) -> str:
        offset, etag = self._resumable()
        self._resumed = self._resumed or offset > 0
        if offset and offset == self.file.size:
            return self._write(iter(()), offset)
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": etag}
        with self.open_stream(self.hub, self.file.url, headers) as answer:
            if offset and answer.status_code in (206, 416):
                return self._go_on(answer, offset, etag)
            if answer.status_code == 403 and answer.history:
                raise _Dropped("the signed address has expired")
            if answer.status_code != 200:
                raise refusal(self.file.url, answer)
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                self._refuse(SkipReason.NOT_WEIGHTS, "a web page was served; check the token of this hub")
            self._check_promises(answer)
            self.forget()
            self._remember(answer)
            # No chunk size: chunks that are still being gathered would be lost with the connection.
            return self._write(self._inspected(answer.iter_bytes()), 0)

    def _go_on(self, answer: httpx.Response, offset: int, etag: str) -> str:
        said = answer.headers.get("Content-Range", "")
        found = _CONTENT_RANGE.fullmatch(said)
        same = answer.headers.get("ETag", etag) == etag
        if answer.status_code == 206 and same and found and int(found[1]) == offset:
            self._check_promises(answer)
            return self._write(answer.iter_bytes(), offset)
        if answer.status_code == 416 and said == f"bytes */{offset}":
            self._check_promises(answer)
            return self._write(iter(()), offset)
        self.forget()
        raise _Dropped(f"asked for bytes from {offset}, was answered {said or 'nothing'}")

    def _check_promises(self, answer: httpx.Response) -> None:
        if what := self._promises.contradicted_by(answer):
            self._refuse(SkipReason.WRONG_DIGEST, what)
        size = told_size(answer)
        if size is not None:
            self._check_limit(size)

    def _check_limit(self, size: int) -> None:
        if size > self.max_bytes:
            self._refuse(
                SkipReason.TOO_LARGE, f"{size} bytes, crawler.max_file_bytes allows {self.max_bytes}"
            )

    def _resumable(self) -> tuple[int, str]:
        """Bytes of the part that can be kept, with the strong ETag that they belong to; 0 when none."""
        try:
            size = self.part.stat().st_size
        except FileNotFoundError:
            return 0, ""
        if self.file.size is not None and size > self.file.size:
            return 0, ""
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            # Removed just before a whole part was put on its shelf; the digest tells whether it is one.
            return (size, "") if size == self.file.size and self.file.sha256 else (0, "")
        if not isinstance(state, dict) or state.get("url") != self.file.url or not state.get("etag"):
            return 0, ""
        return size, str(state["etag"])

    def _remember(self, answer: httpx.Response) -> None:
        etag = answer.headers.get("ETag", "")
        if not etag.startswith('"') or "Content-Encoding" in answer.headers:
            etag = ""  # weak, or of other bytes than those that are written: cannot be gone on with
        self.state.write_text(json.dumps({"url": self.file.url, "etag": etag}), encoding="utf-8")

    def _write(self, chunks: Iterator[bytes], offset: int) -> str:
        size = self._promises.size
        reserved = max(offset, size or 0)
        self.part.touch()  # first, so that it is not taken for an abandoned one
        self.reserve(reserved)
        with self.part.open("r+b") as out:
            digest = hashlib.file_digest(out, "sha256")
            for chunk in self._steady(chunks):
                offset += len(chunk)
                if size is not None and offset > size:
                    self._refuse(SkipReason.WRONG_DIGEST, f"longer than the {size} bytes that the hub told")
                self._check_limit(offset)
                if offset > reserved:
                    reserved = offset + STEP
                    self.reserve(reserved)
                out.write(chunk)
                digest.update(chunk)
            out.flush()
            os.fsync(out.fileno())
        if size is not None and offset < size:
            raise _Dropped(f"{offset} of {size} bytes came")
        return digest.hexdigest()

    def _steady(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        begun, come = self.clock(), 0
        for chunk in chunks:
            come += len(chunk)
            if self.clock() - begun > WINDOW:
                if come < WINDOW * SLOWEST:
                    what = f"{come} bytes in {WINDOW:.0f} s are too slow; the next run goes on with it"
                    raise DownloadError(SkipReason.DOWNLOAD_FAILED, f"{self.file.url}: {what}")
                begun, come = self.clock(), 0
            yield chunk

    def _inspected(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for number, chunk in enumerate(behind_head(chunks)):
            if number == 0 and (what := foreign_content(self.file.path, chunk, self._promises.size)):
                self._refuse(SkipReason.NOT_WEIGHTS, what)
            yield chunk

    def _refuse(self, reason: SkipReason, what: str) -> NoReturn:
        self.forget()
        raise DownloadError(reason, f"{self.file.url}: {what}")


def _passes(error: BaseException) -> bool:
    """Worth another attempt: not what the guest has decided of a host, nor an address of another kind."""
    decided = isinstance(error, httpx.UnsupportedProtocol | CrawlError)
    return isinstance(error, _Dropped | httpx.TransportError) and not decided
