"""Whether Civitai's terms let us in: only with a token of one's own, and one that the hub knows."""

from __future__ import annotations

import ipaddress

import httpx

from crawler.civitai.api import AnswerError, Api
from crawler.source import SourceError

_TERMS = "its terms of use (11.4) allow automated access only with one's own credentials"


def check_member(client: httpx.Client, api: Api) -> None:
    """Ask the hub who we are. On loopback, where a local hub is, nothing is asked without a token.

    Raises:
        SourceError: there is no token, or the hub does not know it. A wrong one would not be refused later:
            the hub answers as it does to strangers, without a word, and shows less.
    """
    if "Authorization" not in client.headers:
        if _is_loopback(client.base_url.host):
            return
        raise SourceError(
            f"civitai: CIVITAI_TOKEN is not set, and {_TERMS}; make a key under Account settings, API keys, "
            "and set CIVITAI_TOKEN to it, or take civitai out of crawler.sources"
        )
    try:
        api.ask("GET", "/api/v1/me")
    except AnswerError as error:
        if error.status not in (401, 403):
            raise
        raise SourceError(
            f"civitai: the hub does not know the token in CIVITAI_TOKEN (status {error.status}), and "
            f"{_TERMS}; it may have expired: make a new key under Account settings, API keys"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
