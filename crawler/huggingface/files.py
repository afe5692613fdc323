"""Requests to the Hugging Face Hub over its own client's session, and what the hub's refusals mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import httpx as hub_httpx  # type: ignore[attr-defined]  # httpx2 since 2.0
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import get_session, hf_raise_for_status

from crawler.checkpoint import RemoteFile, SkipReason
from crawler.evidence.headers import RangeReader, ranged
from crawler.source import UNAVAILABLE

MAX_TEXT = 1_000_000
"""Bytes of a config file; real ones have a few thousand."""


HubError: type[Exception] = hub_httpx.HTTPError
"""Whatever goes wrong in a request: the hub's refusals (HfHubHTTPError) and broken connections."""


class Files:
    """Reads what the client's own methods do not give, or not as plainly."""

    def __init__(self, api: HfApi) -> None:
        self._api = api

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

        Raises:
            HubError: see `refusal`.
        """
        entries = self._api.list_repo_tree(repo, revision=revision, recursive=True)
        return {
            entry.path: RemoteFile(
                path=entry.path,
                url=hf_hub_url(repo, entry.path, revision=revision, endpoint=self._api.endpoint),
                size=entry.size,
                sha256=entry.lfs.sha256.lower() if entry.lfs else None,
            )
            for entry in entries
            if isinstance(entry, RepoFile)
        }

    def table(self, file: RemoteFile | None) -> Mapping[str, Any]:
        """A small JSON object; empty when the file is missing, over `MAX_TEXT` or something else.

        Raises:
            HubError: see `refusal`.
        """
        if file is None or (file.size or 0) > MAX_TEXT:
            return {}
        try:
            content = json.loads(self.get(file.url).content)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def _headers(self) -> dict[str, str]:
        """What the client itself would send: user agent, and the token if it has one."""
        return build_hf_headers(
            token=self._api.token,
            library_name=self._api.library_name,
            library_version=self._api.library_version,
            user_agent=self._api.user_agent,
        )


def refusal(error: Exception) -> tuple[SkipReason, str]:
    """What an error about one repository means for its row.

    A 401 or 404 is no proof that anything was deleted: private and missing are not told apart.
    """
    detail = " ".join(str(error).split())[:300]
    if isinstance(error, GatedRepoError):
        return SkipReason.GATED, detail
    if isinstance(error, DisabledRepoError):
        return SkipReason.DISABLED, detail
    if isinstance(error, RepositoryNotFoundError):
        return SkipReason.UNREACHABLE, detail
    answer = getattr(error, "response", None)
    if answer is None or answer.status_code in UNAVAILABLE:
        return SkipReason.DOWNLOAD_FAILED, f"{detail}; tried again by the next crawl"
    return SkipReason.UNREACHABLE, detail
