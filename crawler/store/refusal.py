"""Why a file cannot be had: the error, and how a hub's refusal is read."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from crawler.checkpoint import CrawlError, SkipReason

_REFUSALS = {
    401: SkipReason.GATED,
    403: SkipReason.GATED,
    404: SkipReason.UNREACHABLE,
    410: SkipReason.ARCHIVED,
    451: SkipReason.DISABLED,
}
_UNKNOWN = ("RepoNotFound", "EntryNotFound", "RevisionNotFound")
"""X-Error-Codes of the Hugging Face Hub, which come with 404 and with 401."""


class DownloadError(CrawlError):
    """A file cannot be had; `reason` is what a skip of it says."""

    def __init__(self, reason: SkipReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def refusal(url: str, answer: httpx.Response) -> DownloadError:
    """A hub's answer that is no file, as an error; reads at most the first bytes of its body."""
    status = answer.status_code
    body = next(answer.iter_bytes(300), b"")
    said = answer.headers.get("X-Error-Message") or body.decode("utf-8", "replace")
    said = "".join(letter if letter.isprintable() else " " for letter in said[:300])
    reason = _REFUSALS.get(status, SkipReason.DOWNLOAD_FAILED)
    if answer.headers.get("X-Error-Code") in _UNKNOWN:
        reason = SkipReason.UNREACHABLE
    elif reason is SkipReason.GATED and "early access" in said.lower():
        reason = SkipReason.EARLY_ACCESS
    elif reason is SkipReason.GATED and "is disabled" in said.lower():
        reason = SkipReason.DISABLED
    return DownloadError(reason, f"{url}: status {status}: {said or 'no reason given'}")


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Say so when the disk, or the user's quota on it, is full; every write of the store is inside.

    Raises:
        DownloadError: in place of ENOSPC and EDQUOT. Other errors of the system are raised as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota of this user is spent"
        message = f"{folder}: {what}; make room or lower crawler.store_bytes, the next run goes on"
        raise DownloadError(SkipReason.BUDGET, message) from error
