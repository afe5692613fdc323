"""The HTTP clients of both hubs: user agent, timeout, and tokens that stay with the host that issued them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast
from urllib.request import getproxies, proxy_bypass

import httpx
from huggingface_hub import HfApi, constants, set_client_factory
from huggingface_hub.utils import httpx as hub_httpx  # type: ignore[attr-defined]  # httpx2 since 2.0
from huggingface_hub.utils._http import hf_request_event_hook

from crawler.checkpoint import Hub
from crawler.guest.manners import Manners, PoliteTransport
from crawler.settings import CrawlerSettings

OpenStream = Callable[[Hub, str, Mapping[str, str]], AbstractContextManager[httpx.Response]]
"""Opens a download: hub, address and request headers in, an answer with an unread body out."""

NAME = "leaksweep"


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


def hub_api(settings: CrawlerSettings, token: str | None) -> HfApi:
    """The Hugging Face client, with our timeout and manners under it.

    huggingface_hub shares one HTTP client among all its users in a process, so this replaces the process's
    client factory; the last caller wins. The token is given to this instance only; without one the requests
    are anonymous, even on a machine where somebody has logged in.
    """
    manners = Manners(
        retry_on=(hub_httpx.TransportError,),
        token_origin=settings.huggingface_url,
        retries=settings.retries,
        headroom=settings.headroom,
    )

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
    settings: CrawlerSettings, token: str | None, *, transport: httpx.BaseTransport | None = None
) -> httpx.Client:
    """A client whose base address is Civitai's; the token never leaves that host."""
    inner = transport or httpx.HTTPTransport(proxy=proxy_for(settings.civitai_url))
    return _client(settings, Hub.CIVITAI, token, inner)


def stream_opener(settings: CrawlerSettings, tokens: Mapping[Hub, str | None]) -> OpenStream:
    """What the download store opens files with: one client a hub, each with its own token.

    Downloads are long and far between, so no idle connection is kept, and nothing has to be closed.
    """
    no_idle = httpx.Limits(max_keepalive_connections=0)
    clients = {}
    for hub in Hub:
        transport = httpx.HTTPTransport(limits=no_idle, proxy=proxy_for(_url(settings, hub)))
        clients[hub] = _client(settings, hub, tokens.get(hub), transport)

    def open_stream(hub: Hub, url: str, headers: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        return clients[hub].stream("GET", url, headers=dict(headers))

    return open_stream


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address; httpx does not look with a transport of ours."""
    address = httpx.URL(url)
    return None if proxy_bypass(address.host) else getproxies().get(address.scheme)


def _url(settings: CrawlerSettings, hub: Hub) -> str:
    return settings.civitai_url if hub is Hub.CIVITAI else settings.huggingface_url


def _client(
    settings: CrawlerSettings, hub: Hub, token: str | None, transport: httpx.BaseTransport
) -> httpx.Client:
    url = _url(settings, hub)
    headers = {"User-Agent": user_agent(settings)}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    manners = Manners(
        retry_on=(httpx.TransportError,),
        token_origin=url,
        retries=settings.retries,
        headroom=settings.headroom,
        interval=settings.civitai_interval_seconds if hub is Hub.CIVITAI else 0.0,
    )
    return httpx.Client(
        base_url=url,
        headers=headers,
        follow_redirects=True,
        timeout=settings.timeout_seconds,
        transport=PoliteTransport(transport, manners),
    )
