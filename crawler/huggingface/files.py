"""Requests to the Hugging Face Hub over its own client's session, and what the hub's refusals mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import get_session, hf_raise_for_status

from crawler.checkpoint import CrawlError, RemoteFile, SkipReason
from crawler.evidence.headers import RangeReader, ranged
from crawler.guest.hub_httpx import hub_httpx
from crawler.huggingface.cursors import following, unpacked
from crawler.source import UNAVAILABLE, AnswerCache, SourceError

MAX_TEXT = 1_000_000
"""Bytes of a config file; real ones have a few thousand."""
MAX_ENTRIES = 20_000
"""Files and folders of a repository that are listed; pipelines have some tens, data sets millions."""
MAX_PATH = 500
"""Characters of a file's path."""


_DIGEST = re.compile(r"[0-9a-f]{64}")
_BUSY = (429, 503)
"""What a hub answers whoever asks for whatever."""

HubError: type[Exception] = hub_httpx.HTTPError
"""Whatever goes wrong in a request: the hub's refusals (HfHubHTTPError) and broken connections."""


class Unusable(CrawlError):
    """A repository whose list of files is not as documented, or too long."""

    def __init__(self, reason: SkipReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Files:
    """Reads what the client's own methods do not give, or not as plainly.

    Args:
        answers: remembers what is said of a commit, which can never change.
    """

    def __init__(self, api: HfApi, answers: AnswerCache) -> None:
        self._api = api
        self._answers = answers

    def get(self, url: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """The answer to a request with the client's headers.

        Raises:
            HubError: the hub refuses or does not answer; see `refusal`.
        """
        response = get_session().get(url, params=list(query) or None, headers=self._headers())
        hf_raise_for_status(response)
        return response

    def reader(self) -> RangeReader:
        """Reads parts of files."""
        return ranged(get_session(), self._headers())

    def tree(self, repo: str, revision: str) -> dict[str, RemoteFile]:
        """All files by path, with sizes, and with digests where they are kept in LFS.

        A path that cannot be shown is escaped, and its file has no address: nobody will ask for it.

        Raises:
            Unusable: there are more than `MAX_ENTRIES`, or they are not as documented.
            HubError: see `refusal`.
        """
        name = f"tree {repo}@{revision}"
        known = self._answers.answer(name)
        if known is None:
            entries = self._entries(repo, revision)
            self._answers.put_answer(name, json.dumps(entries, separators=(",", ":")).encode())
        else:
            entries = json.loads(known)
        return {
            path: RemoteFile(path=path, url=self._url(repo, path, revision), size=size, sha256=digest)
            for path, size, digest in entries
        }

    def table(self, file: RemoteFile | None) -> Mapping[str, Any]:
        """A small JSON object; empty when the file is missing, over `MAX_TEXT` or something else.

        Raises:
            HubError: see `refusal`.
        """
        try:
            content = json.loads(self._small(file))
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def text(self, file: RemoteFile | None) -> str:
        """A small text; empty when the file is missing or over `MAX_TEXT`.

        Raises:
            HubError: see `refusal`.
        """
        return self._small(file).decode("utf-8", "replace")

    def _small(self, file: RemoteFile | None) -> bytes:
        if file is None or not file.url or (file.size or 0) > MAX_TEXT:
            return b""
        # A file's address names its commit.
        name = f"file {file.url.removeprefix(self._api.endpoint)}"
        data = self._answers.answer(name)
        if data is None:
            answer: bytes = self.get(file.url).content
            data = answer if len(answer) <= MAX_TEXT else b""
            self._answers.put_answer(name, data)
        return data

    def _entries(self, repo: str, revision: str) -> list[tuple[str, int | None, str | None]]:
        # The library's own listing would try again on top of our transport's attempts.
        url = f"{self._api.endpoint}/api/models/{repo}/tree/{quote(revision, safe='')}"
        query = [("recursive", "true")]
        found: list[tuple[str, int | None, str | None]] = []
        cursor, read = None, 0
        while True:
            response = self.get(url, [*query, *unpacked(cursor)])
            try:
                entries = response.json()
                found += [_entry(entry) for entry in entries if entry["type"] == "file"]
                cursor = following(response, query)
            except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
                message = f"its list of files is not as documented: {type(error).__name__}"
                raise Unusable(SkipReason.MALFORMED, message) from error
            read += max(1, len(entries))
            if cursor is None:
                return found
            if read > MAX_ENTRIES:
                raise Unusable(SkipReason.TOO_LARGE, f"more than {MAX_ENTRIES} files and folders")

    def _url(self, repo: str, path: str, revision: str) -> str:
        if not path.isprintable() or len(path) > MAX_PATH or "\\" in path:
            return ""
        return hf_hub_url(repo, path, revision=revision, endpoint=self._api.endpoint)

    def _headers(self) -> dict[str, str]:
        """What the client itself would send: user agent, and the token if it has one."""
        return build_hf_headers(
            token=self._api.token,
            library_name=self._api.library_name,
            library_version=self._api.library_version,
            user_agent=self._api.user_agent,
        )


def refusal(error: Exception) -> tuple[SkipReason, str]:
    """What an error about one repository means for its row, by X-Error-Code rather than by status.

    A 401 or 404 is no proof that anything was deleted: private and missing are not told apart.

    Raises:
        SourceError: it is no word on this repository: the hub is away, asks for peace, or refuses the token.
    """
    detail = " ".join(str(error).split())[:300]
    answer = getattr(error, "response", None)
    if answer is None or answer.status_code in _BUSY:
        raise SourceError(f"{detail or type(error).__name__}; crawl again") from error
    if answer.status_code in UNAVAILABLE or _is_from_storage(answer):
        # It may well be this repository at which the hub fails: the others are asked for all the same.
        return SkipReason.DOWNLOAD_FAILED, f"{detail}; tried again by the next crawl"
    said = answer.headers.get("X-Error-Message", "")
    if said.startswith("Invalid credentials"):
        raise SourceError(
            "the hub refuses the token; check HF_TOKEN, or unset it to crawl as anybody"
        ) from error
    if answer.headers.get("X-Error-Code") == "GatedRepo":
        return SkipReason.GATED, detail
    if said == "Access to this resource is disabled.":
        return SkipReason.DISABLED, detail
    return SkipReason.UNREACHABLE, detail


def _is_from_storage(answer: Any) -> bool:
    """Whether a storage host has the word: it knows signed addresses, which expire, and no repositories."""
    return bool(answer.history) and answer.history[0].url.netloc != answer.url.netloc


def _entry(entry: Mapping[str, Any]) -> tuple[str, int | None, str | None]:
    path = str(entry["path"])
    if not path.isprintable() or len(path) > MAX_PATH:
        escaped = path[:MAX_PATH].encode("unicode_escape").decode()
        # The backslash marks it; real paths with one are not asked for either.
        path = escaped if "\\" in escaped else f"{escaped}\\..."
    size, pointer = entry.get("size"), entry.get("lfs")
    digest = str(pointer["oid"]).lower() if pointer else None
    return (
        path,
        size if type(size) is int and 0 <= size < 2**62 else None,
        digest if digest and _DIGEST.fullmatch(digest) else None,
    )
