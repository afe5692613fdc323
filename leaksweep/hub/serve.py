"""The local hub: both hubs and their storage on three loopback ports, in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from leaksweep.hub.changes import Changes, Schedule
from leaksweep.hub.civitai import Civitai
from leaksweep.hub.content import CivitaiModel, HubContent
from leaksweep.hub.faults import Faults, Striker
from leaksweep.hub.huggingface import HuggingFace
from leaksweep.hub.huggingface_rows import Served
from leaksweep.hub.limits import Clock, Limits, Meter
from leaksweep.hub.storage import Storage
from leaksweep.hub.synthetic import Synthetic
from leaksweep.hub.traffic import Log, Logged, Mishaps

Answer = Callable[[Request], Awaitable[Response]]

EMPTY = HubContent()
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]


class LocalHub:
    """Serves content to real clients: `with LocalHub(content) as hub: HfApi(endpoint=hub.url)`.

    Args:
        content: what both hubs hold.
        synthetic: what they hold besides, computed row by row, however many there are.
        schedule: what changes on each hub while it is listed; nothing, unless told.
        faults: what goes wrong; nothing, unless told.
        limits: quotas and lifetimes.
        tokens: valid Hugging Face tokens, each with the gated and private repositories it may read.
        civitai_tokens: valid Civitai tokens.
        downloads_need_token: whether Civitai lets only its members download.
        clock: seconds since 1970; windows of quotas and lifetimes of URLs go by it.
        ports: of Hugging Face, Civitai and the storage; 0 for any that is free.
    """

    def __init__(
        self,
        content: HubContent = EMPTY,
        *,
        synthetic: Synthetic | None = None,
        schedule: Schedule | None = None,
        faults: Faults | None = None,
        limits: Limits | None = None,
        tokens: Mapping[str, Collection[str]] | None = None,
        civitai_tokens: Collection[str] = (),
        downloads_need_token: bool = False,
        clock: Clock = time.time,
        ports: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        limits = limits or Limits()
        self.requests: list[Logged] = []
        """Every request so far, in the order of the answers."""
        self._striker = Striker(faults or Faults())
        self._sockets = [socket.create_server(("127.0.0.1", port)) for port in ports]
        self.url, self.civitai_url, self.storage_url = (
            f"http://127.0.0.1:{bound.getsockname()[1]}" for bound in self._sockets
        )
        meter = Meter(limits.window, clock)
        storage = Storage(self.storage_url, self._striker, clock, limits.url_lifetime)
        self._huggingface = HuggingFace(
            self.url, storage, self._striker, limits, meter, tokens or {}, schedule
        )
        self._civitai = Civitai(
            self.civitai_url,
            storage,
            self._striker,
            limits,
            meter,
            civitai_tokens,
            downloads_need_token,
            schedule,
        )
        self._synthetic = synthetic
        self.publish(content)
        apps: dict[str, Answer] = {
            "huggingface": self._huggingface,
            "civitai": self._civitai,
            "storage": storage,
        }
        self._servers = [uvicorn.Server(self._config(host, app)) for host, app in apps.items()]
        self._thread = threading.Thread(target=self._run, name="local hub", daemon=True)

    def publish(self, content: HubContent) -> None:
        """Serve this content from now on: for repositories that change, or vanish, between two crawls.

        A synthetic catalog starts anew with its first form.
        """
        some = self._synthetic
        self._huggingface.publish(content.repos, some.huggingface() if some else None)
        self._civitai.publish(content.civitai, some.civitai() if some else None)

    @property
    def repo_changes(self) -> Changes[Served]:
        """Changes Hugging Face, and tells what it did. Begins anew with `publish`."""
        return self._huggingface.changes

    @property
    def model_changes(self) -> Changes[CivitaiModel]:
        """Changes Civitai, and tells what it did. Begins anew with `publish`."""
        return self._civitai.changes

    def start(self) -> None:
        """Serve until `stop`. Requests sent before the servers are up wait for them."""
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and free the ports."""
        for server in self._servers:
            server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join()
        for bound in self._sockets:
            bound.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        pairs = zip(self._servers, self._sockets, strict=True)
        await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in pairs))

    def _config(self, host: str, endpoint: Answer) -> uvicorn.Config:
        async def answer(request: Request) -> Response:
            return await endpoint(request)

        # In debug mode an error in the hub itself comes with its trace in the answer; the server's own log of
        # it would be mixed with the cut connections that are meant.
        app: ASGIApp = Starlette(debug=True, routes=[Route("/{path:path}", answer, methods=_METHODS)])
        app = Log(Mishaps(app, host, self._striker), host, self.requests)
        return uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
