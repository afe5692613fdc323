"""The review page put together and served; `reports.review` knows neither homes nor sockets."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leaksweep.operator_name import operator
from leaksweep.settings import SettingsError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from leaksweep.run import Run
    from leaksweep.stores import Stores
    from reports.review.session import Door

LOOPBACK = ("localhost", "127.0.0.1", "::1")

EXPOSED = (
    "the page is open to every machine that reaches {host}: whoever has the token sees findings and pictures"
)
IN_CLEAR = "; without --certificate, token and pictures cross the network readable for anybody on the way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the page is served."""

    host: str
    port: int
    certificate: Path | None = None
    """PEM, with which the page is served by HTTPS; likewise the next."""
    key: Path | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self, *, expose: bool) -> str:
        """Return what has to be said about this place; empty when only this machine reaches it.

        Raises:
            SettingsError: others reach it, and nobody has asked for that; or half of a certificate is given.
        """
        if bool(self.certificate) != bool(self.key):
            raise SettingsError("--certificate and --key go together; give both, or neither")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise SettingsError(f"{file}: is not there; give a file in PEM")
        if self.loopback:
            return ""
        said = EXPOSED.format(host=self.host) + ("" if self.certificate else IN_CLEAR)
        if not expose:
            raise SettingsError(
                f"{self.host}: {said}. Use 127.0.0.1 and an SSH tunnel, or ask for it with --expose"
            )
        return said


@contextmanager
def bound(place: Place) -> Iterator[tuple[socket.socket, str]]:
    """The socket that is listened on, and the address for people.

    Raises:
        SettingsError: the host cannot be listened on, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((place.host, place.port), family=family)
    except OSError as error:
        raise SettingsError(
            f"{place.host}:{place.port}: cannot be listened on ({error.strerror or error}); choose another "
            "with --host or --port; port 0 takes a free one"
        ) from error
    with listener:
        port = listener.getsockname()[1]
        name = f"[{place.host}]" if ":" in place.host else place.host
        yield listener, f"{place.scheme}://{name}:{port}"


def review_app(stores: Stores, name: str, place: Place, port: int, door: Door) -> ASGIApp:
    """The page of a home for one reviewer."""
    from leaksweep.review_home import HomeFindings, HomePictures
    from reports.review.acts import Acts, Reviewer
    from reports.review.app import new_app
    from reports.review.desk import ReviewDesk
    from reports.review.guard import Rules, hosts
    from reports.review.queue import Ranked
    from reports.review.sensitivity import Scores, open_scorer

    settings = stores.run.settings.reports.review
    desk = ReviewDesk(
        findings=Ranked(HomeFindings(stores)),
        pictures=HomePictures(stores),
        acts=Acts(
            engine=stores.engine,
            audit=stores.audit,
            labels=stores.labels,
            reviewer=Reviewer(name=name, account=operator()),
        ),
        scores=Scores(open_scorer()),
        settings=settings,
    )
    names = {*LOOPBACK, place.host} if place.loopback else {*LOOPBACK, place.host, *_names()}
    rules = Rules(
        known_host=hosts(names, any_address=not place.loopback),
        scheme=place.scheme,
        # Browsers do not tell ports of one host apart when they send cookies; two pages at once must.
        cookie=f"{'__Host-' if place.certificate else ''}leaksweep-review-{port}",
    )
    return new_app(desk, door, rules)


def serve(run: Run, name: str, place: Place) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        SettingsError: there is nothing to review, or no place to serve it.
        CrawlError, ScanError, ReportError: a store cannot be used.
    """
    import uvicorn

    from leaksweep.stores import opened
    from reports.review.session import Door

    if not run.home.exists:
        raise SettingsError(f"nothing has been scanned in {run.home.root}; leaksweep sweep begins")
    if not name.strip():
        raise SettingsError("--as: nobody is named; labels need a name")
    with opened(run) as stores, bound(place) as (listener, address):
        door = Door(minutes=run.settings.reports.review.session_minutes)
        app = review_app(stores, name, place, listener.getsockname()[1], door)
        url = f"{address}/enter#once={door.ticket}"
        run.finish(
            {"url": url, "token": door.token, "reviewer": name},
            f"{url}\n\nThis opens the page once. Token, to come in again: {door.token}\n\n"
            f"For {name} alone: every label and every picture shown is recorded under this name. "
            "Ctrl-C ends it.",
        )
        config = uvicorn.Config(
            app,
            ssl_certfile=place.certificate,
            ssl_keyfile=place.key,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _names() -> set[str]:
    """What this machine is called."""
    return {socket.gethostname(), socket.getfqdn()}
