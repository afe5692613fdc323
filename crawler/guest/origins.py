"""Where a request goes: its origin, which sees the token, and the bucket that the hub counts it in."""

from __future__ import annotations

from urllib.parse import urljoin

import httpx

Origin = tuple[str, str, int | None]
"""Scheme, host and port."""

API, DOWNLOADS, RESOLVERS, PAGES, FILES = "api", "downloads", "resolvers", "pages", "files"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}


def origin(url: httpx.URL) -> Origin:
    """Whom an address belongs to; a default port counts as written."""
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme)


def host(url: httpx.URL) -> str:
    """The name that a host goes by in budgets and messages: with its port where that is not the usual one."""
    return url.host if url.port is None else f"{url.host}:{url.port}"


def bucket(url: httpx.URL, home: Origin) -> str:
    """What a hub counts a request as: Hugging Face has three quotas, Civitai one for downloads.

    Whatever is not at home is a file: storage hosts sign addresses of any form.
    """
    if origin(url) != home:
        return FILES
    match url.path.split("/")[1:]:
        case ["api", "download", *_]:
            return DOWNLOADS
        case ["api", "resolve-cache", *_] | ["api", _, _, _, "resolve", *_]:
            return RESOLVERS
        case ["api", *_]:
            return API
        case [_, _, *rest] if "resolve" in rest:
            return RESOLVERS
    return PAGES


def misdirection(request: httpx.Request, response: httpx.Response, *, api: bool) -> str:
    """Why a redirect must not be followed; "" when it may, or when there is none.

    Downloads may lead to a storage host, but not out of TLS. An answer of the API comes from its host only.
    """
    location = response.headers.get("Location")
    if response.status_code not in _REDIRECTS or not location:
        return ""
    try:
        target = httpx.URL(urljoin(str(request.url), location))
    except (httpx.InvalidURL, ValueError):
        return "the redirect leads to no address"
    if request.url.scheme == "https" and target.scheme != "https":
        return f"the redirect leaves TLS for {target.scheme}://{host(target)}"
    if api and origin(target) != origin(httpx.URL(str(request.url))):
        return (
            f"the API redirects to {target.scheme}://{host(target)}; if that is its new address, "
            "set crawler.huggingface_url or crawler.civitai_url"
        )
    return ""
