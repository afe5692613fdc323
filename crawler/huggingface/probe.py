"""Asks for single repositories that the listings no longer show: renamed, closed, or denied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crawler.checkpoint import Listing, Presence, Probe, SkipReason
from crawler.huggingface.files import Files, HubError, refusal
from crawler.huggingface.rows import EXPAND, read_row

_PRESENCE = {SkipReason.GATED: Presence.GATED, SkipReason.DISABLED: Presence.DISABLED}


class Prober:
    """Tells by the number, not by the name, whether a repository is still there."""

    def __init__(self, files: Files, url: str, opt_out: Sequence[str]) -> None:
        self._files = files
        self._url = url
        self._opt_out = opt_out

    def ask(self, listing: Listing) -> Probe | None:
        """What the hub says of the repository by its last known name; None without a clear answer.

        A name that has gone to another repository, by a redirect or because somebody took it, denies this one
        as plainly as a 404: had it been renamed, its old name would lead to it.

        Raises:
            SourceError: the hub is away, or refuses the token.
        """
        try:
            response = self._files.get(f"{self._url}/{listing.repo}", [("expand", name) for name in EXPAND])
            found, _ = read_row(response.json(), self._opt_out)
        except HubError as error:
            return _denied(listing, error)
        except (ValueError, RecursionError):
            return None
        if found is None:
            return None
        if found.number != listing.number:
            detail = f"{listing.repo} now leads to {found.repo}, another repository (_id {found.number})"
            return Probe(number=listing.number, presence=Presence.UNREACHABLE, detail=detail, proof=True)
        renamed = f"renamed from {listing.repo}" if found.repo != listing.repo else "the hub answers"
        detail = "private" if found.presence is Presence.UNREACHABLE else renamed
        return Probe(number=found.number, presence=found.presence, detail=detail, listing=found)


def _denied(listing: Listing, error: Exception) -> Probe | None:
    reason, detail = refusal(error)
    if reason is SkipReason.DOWNLOAD_FAILED:
        return None
    answer: Any = getattr(error, "response", None)
    return Probe(
        number=listing.number,
        presence=_PRESENCE.get(reason, Presence.UNREACHABLE),
        detail=detail,
        # A web page's 404 is no word on the repository, and a 401 may mean that it is private or gated.
        proof=(answer.status_code, answer.headers.get("X-Error-Code")) == (404, "RepoNotFound"),
    )
