"""Faults that do not depend on what is answered: refusals, pages in HTML, cuts, slowness, redirects away."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaksweep.hub.faults import Striker
from leaksweep.hub.limits import Clock
from leaksweep.hub.storage import LOGIN_PAGE


class Mishaps:
    """ASGI middleware.

    Args:
        foreign_url: the foreign host.
    """

    def __init__(self, app: ASGIApp, host: str, striker: Striker, clock: Clock, foreign_url: str) -> None:
        self._app = app
        self._host = host
        self._striker = striker
        self._clock = clock
        self._foreign_url = foreign_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        refusal = None if self._host == "storage" else self._refusal(request)
        what = "body" if self._host == "storage" else "answer"
        cut = self._strikes(f"cut_{what}", request)
        stalled = self._strikes(f"stalled_{what}", request)
        slow = self._host == "storage" and self._strikes("slow_body", request)
        left: int | None = None

        async def meddle(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start" and (cut or stalled):
                length = dict(message["headers"]).get(b"content-length", b"0")
                left = int(length) // 2
            elif message["type"] == "http.response.body":
                if slow:
                    await asyncio.sleep(self._striker.faults.slow_seconds)
                if left is not None:
                    # An answer shorter than its Content-Length makes the server close the connection.
                    body = message.get("body", b"")[:left]
                    left -= len(body)
                    message = {"type": "http.response.body", "body": body, "more_body": True}
            await send(message)

        await (refusal or self._app)(scope, receive, meddle)
        if stalled:
            await asyncio.sleep(self._striker.faults.stall_seconds)

    def _refusal(self, request: Request) -> Response | None:
        faults = self._striker.faults
        seconds = {"Retry-After": str(faults.retry_after)}
        date = {"Retry-After": formatdate(self._clock() + faults.retry_after, usegmt=True)}
        if self._strikes("too_many_requests", request):
            return JSONResponse({"error": "Too many requests"}, 429, seconds | self._quota(request, 499, 293))
        if self._strikes("quota_spent", request):
            return JSONResponse(
                {"error": "Too many requests"}, 429, self._quota(request, 0, faults.retry_after)
            )
        if self._strikes("server_error", request):
            return JSONResponse({"message": "An unexpected error occurred", "error": "Internal"}, 500)
        if self._strikes("bad_gateway", request):
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        if self._strikes("unavailable", request):
            return JSONResponse({"error": "Service Unavailable"}, 503, headers=seconds)
        if self._strikes("unavailable_until", request):
            return JSONResponse({"error": "Service Unavailable"}, 503, headers=date)
        if not request.url.path.startswith("/api/") or request.url.path.startswith("/api/download/"):
            return None
        if self._strikes("html_answer", request):
            return HTMLResponse(LOGIN_PAGE)
        if self._strikes("foreign_api", request):
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"{self._foreign_url}{request.url.path}{query}", 307)
        return None

    def _quota(self, request: Request, remaining: int, reset: int) -> dict[str, str]:
        """Return the header by which Hugging Face says whether it is its quota that is spent."""
        bucket = "api" if request.url.path.startswith("/api/") else "resolvers"
        standing = {"RateLimit": f'"{bucket}";r={remaining};t={reset}'}
        return standing if self._host == "huggingface" else {}

    def _strikes(self, name: str, request: Request) -> bool:
        return self._striker.strikes(name, f"{self._host}{request.url.path}", request.url.query)
