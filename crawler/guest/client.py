"""The HTTP clients of both hubs: user agent, timeout, and tokens that stay with the host that issued them."""

from __future__ import annotations

import ipaddress
import logging
import platform
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast
from urllib.request import getproxies, proxy_bypass

import httpx
from huggingface_hub import HfApi, constants, set_client_factory
from huggingface_hub.utils._http import hf_request_event_hook

from crawler.checkpoint import CrawlError, Hub
from crawler.guest.budget import Budget, account
from crawler.guest.hub_httpx import hub_httpx
from crawler.guest.manners import Manners, PoliteTransport
from crawler.guest.traffic import Traffic
from crawler.settings import CrawlerSettings

OpenStream = Callable[[Hub, str, Mapping[str, str]], AbstractContextManager[httpx.Response]]
"""Opens a download: hub, address and request headers in, an answer with an unread body out."""

NAME = "leaksweep"
logger = logging.getLogger(__name__)


class TokenError(CrawlError):
    """A token that can be none. The message does not show it."""


def tool_version() -> str:
    """The installed version, or "0" in a checkout that is not installed."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "0"


def user_agent(settings: CrawlerSettings) -> str:
    """Who is asking: the tool, its version and the operator's contact."""
    contact = f"; {settings.contact}" if settings.contact else ""
    return f"{NAME}/{tool_version()} (python/{platform.python_version()}{contact})"


def hub_api(
    settings: CrawlerSettings,
    token: str | None,
    *,
    budget: Budget | None = None,
    traffic: Traffic | None = None,
) -> HfApi:
    """The Hugging Face client, with our timeout and manners under it.

    huggingface_hub shares one HTTP client among all its users in a process, so this replaces the process's
    client factory; the last caller wins. The token is given to this instance only; without one the requests
    are anonymous, even on a machine where somebody has logged in.

    Args:
        budget: what all processes may ask together; None for this client's own, in memory.
        traffic: counts what is asked.

    Raises:
        TokenError: the token holds what no token does.
    """
    token = _checked(Hub.HUGGINGFACE, token)
    _warn_without_contact(settings, Hub.HUGGINGFACE)
    manners = _manners(settings, Hub.HUGGINGFACE, token, hub_httpx.TransportError, budget, traffic)

    def client() -> hub_httpx.Client:
        # The library drops its client after a failed connection: what we know of the rate limit must stay.
        inner = hub_httpx.HTTPTransport(proxy=proxy_for(settings.huggingface_url))
        return hub_httpx.Client(
            transport=cast(Any, PoliteTransport(cast(Any, inner), manners)),
            event_hooks={"request": [hf_request_event_hook]},
            follow_redirects=True,
            timeout=settings.timeout_seconds,
        )

    # With telemetry the library asks huggingface.co, whatever the endpoint, what to add to the user agent.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    set_client_factory(client)
    return HfApi(
        endpoint=settings.huggingface_url.rstrip("/"),
        token=token or False,
        library_name=NAME,
        library_version=tool_version(),
        user_agent={"contact": settings.contact} if settings.contact else None,
    )


def civitai_client(
    settings: CrawlerSettings,
    token: str | None,
    *,
    transport: httpx.BaseTransport | None = None,
    budget: Budget | None = None,
    traffic: Traffic | None = None,
) -> httpx.Client:
    """A client whose base address is Civitai's; the token never leaves that host.

    Args:
        transport: what carries the requests; None for the network.
        budget, traffic: as for `hub_api`.

    Raises:
        TokenError: the token holds what no token does.
    """
    inner = transport or httpx.HTTPTransport(proxy=proxy_for(settings.civitai_url))
    return _client(settings, Hub.CIVITAI, token, inner, budget, traffic)


def stream_opener(
    settings: CrawlerSettings,
    tokens: Mapping[Hub, str | None],
    *,
    budget: Budget | None = None,
    traffic: Traffic | None = None,
) -> OpenStream:
    """What the download store opens files with: one client a hub, each with its own token.

    Downloads are long and far between, so no idle connection is kept, and nothing has to be closed.

    Args:
        budget, traffic: as for `hub_api`.

    Raises:
        TokenError: a token holds what no token does.
    """
    no_idle = httpx.Limits(max_keepalive_connections=0)
    clients = {}
    for hub in Hub:
        transport = httpx.HTTPTransport(limits=no_idle, proxy=proxy_for(_url(settings, hub)))
        clients[hub] = _client(settings, hub, tokens.get(hub), transport, budget, traffic)

    def open_stream(hub: Hub, url: str, headers: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        return clients[hub].stream("GET", url, headers=dict(headers))

    return open_stream


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address; httpx does not look with a transport of ours."""
    address = httpx.URL(url)
    return None if proxy_bypass(address.host) else getproxies().get(address.scheme)


def _url(settings: CrawlerSettings, hub: Hub) -> str:
    return settings.civitai_url if hub is Hub.CIVITAI else settings.huggingface_url


def _manners(
    settings: CrawlerSettings,
    hub: Hub,
    token: str | None,
    retry_on: type[Exception],
    budget: Budget | None,
    traffic: Traffic | None,
) -> Manners:
    return Manners(
        retry_on=(retry_on,),
        token_origin=_url(settings, hub),
        retries=settings.retries,
        headroom=settings.headroom,
        interval=settings.civitai_interval_seconds if hub is Hub.CIVITAI else 0.0,
        account=account(token),
        budget=budget,
        traffic=traffic,
        timeout=settings.timeout_seconds,
    )


def _client(
    settings: CrawlerSettings,
    hub: Hub,
    token: str | None,
    transport: httpx.BaseTransport,
    budget: Budget | None,
    traffic: Traffic | None,
) -> httpx.Client:
    headers = {"User-Agent": user_agent(settings)}
    token = _checked(hub, token)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    _warn_without_contact(settings, hub)
    manners = _manners(settings, hub, token, httpx.TransportError, budget, traffic)
    return httpx.Client(
        base_url=_url(settings, hub),
        headers=headers,
        follow_redirects=True,
        timeout=settings.timeout_seconds,
        transport=PoliteTransport(transport, manners),
    )


def _checked(hub: Hub, token: str | None) -> str | None:
    """The token without the blanks around it that a file or a shell leaves.

    The HTTP library's own complaint about a header that it cannot send shows the header.
    """
    token = (token or "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise TokenError(
            f"{hub}: the token holds blanks, line breaks or letters that no token has; set it anew"
        )
    return token or None


def _warn_without_contact(settings: CrawlerSettings, hub: Hub) -> None:
    if not settings.contact and not _is_loopback(_url(settings, hub)):
        _say_that_contact_is_missing()


@cache
def _say_that_contact_is_missing() -> None:
    """Say so once a process, however many clients it has."""
    logger.warning(
        "crawler.contact is empty: set it to an address or page, so that a hub's operators can reach you "
        "before they lock you out"
    )


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
