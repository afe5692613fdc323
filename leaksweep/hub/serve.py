"""The local hub: both hubs, their storage and a foreign host, on loopback ports, in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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
from leaksweep.hub.civitai_downloads import Downloads
from leaksweep.hub.content import CivitaiModel, HubContent
from leaksweep.hub.faults import Faults, Striker
from leaksweep.hub.foreign import Foreign
from leaksweep.hub.huggingface import HuggingFace
from leaksweep.hub.huggingface_rows import Served
from leaksweep.hub.limits import Clock, Limits, Meter
from leaksweep.hub.mishaps import Mishaps
from leaksweep.hub.paging import Paging
from leaksweep.hub.storage import Storage
from leaksweep.hub.synthetic import Synthetic
from leaksweep.hub.traffic import Log, Logged, Traffic, hosts_that_saw

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
        ports: of Hugging Face, Civitai, the storage and the foreign host; 0, or none, for any that is free.
        log_size: requests that are remembered, the latest ones; all when it is None.
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
        ports: Sequence[int] = (),
        log_size: int | None = None,
    ) -> None:
        limits, striker = limits or Limits(), Striker(faults or Faults())
        self._traffic = Traffic(log_size)
        self._striker, self._clock = striker, clock
        free = (0,) * (4 - len(ports))
        self._sockets = [socket.create_server(("127.0.0.1", port)) for port in (*ports, *free)]
        self.url, self.civitai_url, self.storage_url, self.foreign_url = (
            f"http://127.0.0.1:{bound.getsockname()[1]}" for bound in self._sockets
        )
        meter = Meter(limits.window, clock)
        storage = Storage(self.storage_url, striker, clock, limits.url_lifetime)
        paging = {
            host: Paging(host, striker, clock, limits.cursor_lifetime) for host in ("huggingface", "civitai")
        }
        self._huggingface = HuggingFace(
            self.url, storage, striker, limits, meter, tokens or {}, paging["huggingface"], self.foreign_url,
            schedule,
        )  # fmt: skip
        downloads = Downloads(
            self.civitai_url, storage, striker, limits, meter, civitai_tokens, downloads_need_token,
            self.foreign_url,
        )  # fmt: skip
        self._civitai = Civitai(
            self.civitai_url, striker, downloads, paging["civitai"], self.foreign_url, schedule
        )
        self._synthetic = synthetic
        self.publish(content)
        apps: dict[str, Answer] = {
            "huggingface": self._huggingface,
            "civitai": self._civitai,
            "storage": storage,
            "foreign": Foreign(storage),
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
    def requests(self) -> list[Logged]:
        """The requests so far, in the order of the answers; the latest ones if the log has a size."""
        return list(self._traffic)

    @property
    def counts(self) -> Mapping[tuple[str, int], int]:
        """How many requests there were ever, by host and status."""
        return self._traffic.counts

    def hosts_that_saw(self, secret: str) -> set[str]:
        """Return the hosts to which a text, such as a token, went with any request that is remembered."""
        return hosts_that_saw(secret, self._traffic)

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
        if host != "foreign":
            app = Mishaps(app, host, self._striker, self._clock, self.foreign_url)
        app = Log(app, host, self._traffic)
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
