"""What stands between the network and a hub: the log of requests, and faults that can befall any answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaksweep.hub.faults import Striker


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One request and how it was answered."""

    host: str
    """"huggingface", "civitai" or "storage"."""
    method: str
    path: str
    query: str
    authorized: bool
    """Whether an Authorization header came along."""
    user_agent: str
    range: str | None
    status: int


class Log:
    """ASGI middleware that writes down each request before its answer leaves."""

    def __init__(self, app: ASGIApp, host: str, entries: list[Logged]) -> None:
        self._app = app
        self._host = host
        self._entries = entries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def log_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._entries.append(self._entry(Request(scope), message["status"]))
            await send(message)

        await self._app(scope, receive, log_and_send)

    def _entry(self, request: Request, status: int) -> Logged:
        headers = request.headers
        return Logged(
            host=self._host,
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            authorized="authorization" in headers,
            user_agent=headers.get("user-agent", ""),
            range=headers.get("range"),
            status=status,
        )


class Mishaps:
    """ASGI middleware for the faults that do not depend on what is answered: refusals, cuts, slowness."""

    def __init__(self, app: ASGIApp, host: str, striker: Striker) -> None:
        self._app = app
        self._host = host
        self._striker = striker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        refusal = None if self._host == "storage" else self._refusal(request)
        cut = self._strikes("cut_body" if self._host == "storage" else "cut_answer", request)
        slow = self._host == "storage" and self._strikes("slow_body", request)
        left: int | None = None

        async def meddle(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start" and cut:
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

    def _refusal(self, request: Request) -> JSONResponse | None:
        retry_after = {"Retry-After": str(self._striker.faults.retry_after)}
        if self._strikes("too_many_requests", request):
            headers = retry_after | self._quota_left(request)
            return JSONResponse({"error": "Too many requests"}, 429, headers)
        if self._strikes("server_error", request):
            return JSONResponse({"message": "An unexpected error occurred", "error": "Internal"}, 500)
        if self._strikes("unavailable", request):
            return JSONResponse({"error": "Service Unavailable"}, 503, headers=retry_after)
        return None

    def _quota_left(self, request: Request) -> dict[str, str]:
        """Return the header by which Hugging Face says that it is not its quota that is spent."""
        bucket = "api" if request.url.path.startswith("/api/") else "resolvers"
        return {"RateLimit": f'"{bucket}";r=499;t=293'} if self._host == "huggingface" else {}

    def _strikes(self, name: str, request: Request) -> bool:
        return self._striker.strikes(name, f"{self._host}{request.url.path}", request.url.query)
