"""Manners on a real wire: bounds of an answer, what counts as a refusal, and what was spent."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fakes import Answer, loopback

from crawler.checkpoint import Hub
from crawler.crawl import UNREACHABLE
from crawler.guest.budget import Budget
from crawler.guest.client import civitai_client, stream_opener
from crawler.guest.manners import MAX_ANSWER, Manners, PoliteTransport
from crawler.guest.refusals import LeftAlone, Unacceptable
from crawler.guest.traffic import NO_ANSWER, Spent, Traffic
from crawler.settings import CrawlerSettings

LISTING = "/api/v1/models"


def polite(url: str, **settings: object) -> httpx.Client:
    manners = Manners(
        retry_on=(httpx.TransportError,),
        token_origin=url,
        retries=1,
        sleep=lambda seconds: None,
        **settings,  # type: ignore[arg-type]
    )
    return httpx.Client(
        transport=PoliteTransport(httpx.HTTPTransport(), manners), base_url=url, follow_redirects=True
    )


def settings(url: str) -> CrawlerSettings:
    return CrawlerSettings.model_validate(
        {"huggingface_url": url, "civitai_url": url, "civitai_interval_seconds": 0, "retries": 0}
    )


@contextmanager
def dripping() -> Iterator[str]:
    """A server that sends its answer a byte at a time, for as long as anybody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while True:
                        connection.sendall(b" ")
                        time.sleep(0.02)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)
        assert not thread.is_alive()  # the connection was closed


def test_an_answer_of_the_api_has_a_deadline() -> None:
    with dripping() as url, polite(url, deadline=0.2) as client:
        with pytest.raises(Unacceptable, match=r"127.*/api/v1/models: .*not complete after 0\.2 s") as caught:
            client.get(LISTING)
        assert isinstance(caught.value, UNREACHABLE)


def test_an_answer_of_the_api_has_a_size() -> None:
    bomb = Answer(gzip.compress(b" " * 3_000_000), headers={"Content-Encoding": "gzip"})
    with loopback(lambda asked: bomb) as hub, polite(hub.url, max_answer=2_000_000) as client:
        with pytest.raises(Unacceptable, match="larger than 2,000,000 bytes"):
            client.get(LISTING)
        with client.stream("GET", "/a/b/resolve/main/x") as answer:  # a file has the size that it has
            assert len(answer.read()) == 3_000_000
    assert len(hub.seen) == 2
    assert MAX_ANSWER == 64_000_000


def test_a_packed_answer_is_the_same_after_it_was_read_whole() -> None:
    page = b'{"items": []}' * 100
    packed = Answer(gzip.compress(page), headers={"Content-Encoding": "gzip", "Link": "<x>", "ETag": '"1"'})
    with loopback(lambda asked: packed) as hub, polite(hub.url) as client:
        answer = client.get(LISTING)
        assert answer.content == page
        assert (answer.headers["Link"], answer.headers["ETag"]) == ("<x>", '"1"')
        assert "Content-Encoding" not in answer.headers
        assert client.head(LISTING).headers["Content-Encoding"] == "gzip"


def test_an_answer_of_the_api_that_was_cut_is_asked_for_again() -> None:
    cuts = iter([3, None])
    with loopback(lambda asked: Answer(b"[1, 2]", cut=next(cuts))) as hub, polite(hub.url) as client:
        assert client.get(LISTING).json() == [1, 2]
    assert len(hub.seen) == 2


def test_a_request_without_any_timeout_gets_one() -> None:
    """As those of HfApi.model_info, which sets none in place of the client's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        polite(f"http://127.0.0.1:{mute.getsockname()[1]}", timeout=0.1) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.get(LISTING, timeout=None)


def test_a_redirect_out_of_tls_is_refused() -> None:
    plain = httpx.Response(302, headers={"Location": "http://hub.test/file"})
    manners = Manners(retry_on=(httpx.TransportError,), token_origin="https://hub.test")
    transport = PoliteTransport(httpx.MockTransport(lambda request: plain), manners)
    with (
        httpx.Client(transport=transport, follow_redirects=True) as client,
        pytest.raises(Unacceptable, match=r"the redirect leaves TLS for http://hub\.test"),
    ):
        client.get("https://hub.test/a/b/resolve/main/x")


@pytest.mark.parametrize("path", [LISTING, "/api/models/a/b", "/api/models/a/resolve-this"])
def test_the_api_answers_from_its_host_only(path: str) -> None:
    with loopback(lambda asked: Answer(b"[]")) as elsewhere:
        moved = Answer(status=307, headers={"Location": f"{elsewhere.url}/x"})
        with (
            loopback(lambda asked: moved) as hub,
            polite(hub.url) as client,
            pytest.raises(Unacceptable, match=r"the API redirects to .*crawler\.civitai_url"),
        ):
            client.get(path)
    assert not elsewhere.seen
    assert len(hub.seen) == 1


def test_a_renamed_repository_is_followed_on_the_same_host() -> None:
    def reply(asked: object) -> Answer:
        first = len(hub.seen) == 1
        return Answer(status=307, headers={"Location": "/api/models/a/new"}) if first else Answer(b"{}")

    with loopback(reply) as hub, polite(hub.url) as client:
        assert client.get("/api/models/a/old").json() == {}


@pytest.mark.parametrize(
    "value", ["²", "9" * 5000, "-1", "Mon, 99 Foo 2026", "Thu, 01 Jan 99999 00:00:00 GMT"]
)
def test_nonsense_in_the_headers_is_no_error(value: str) -> None:
    answers = iter([Answer(status=503, headers={"Retry-After": value}), Answer(b"[]")])
    with loopback(lambda asked: next(answers)) as hub, polite(hub.url) as client:
        try:
            assert client.get(LISTING).status_code in (200, 503)
        except LeftAlone:
            assert value == "9" * 5000  # a day, at most
    nonsense = {"RateLimit": f'"api";r={value};t={value}', "RateLimit-Policy": f'"x";q={value};w={value}'}
    with loopback(lambda asked: Answer(b"[]", headers=nonsense)) as hub, polite(hub.url) as client:
        assert client.get(LISTING).status_code == 200


def test_an_unusual_amount_of_downloading_stops_downloads_for_a_day(tmp_path: Path) -> None:
    said = Answer(
        b'{"error": "We\'ve noticed an unusual amount of downloading from your account."}', status=429
    )

    def another_process() -> Budget:
        return Budget(tmp_path / "guest.db")

    with loopback(lambda asked: said if "download" in asked.path else Answer(b"[]")) as hub:
        url = f"{hub.url}/api/download/models/1"
        open_stream = stream_opener(settings(hub.url), {}, budget=another_process())
        with open_stream(Hub.CIVITAI, url, {}) as answer:
            assert answer.status_code == 429
            assert "unusual amount" in answer.read().decode()
        open_stream = stream_opener(settings(hub.url), {}, budget=another_process())
        told = r"127.* is left alone until 2.* UTC: it answered 429 and asks for 86400 s of silence"
        with pytest.raises(LeftAlone, match=told) as caught, open_stream(Hub.CIVITAI, url, {}):
            pass
        assert 86_000 < caught.value.until.timestamp() - time.time() <= 86_400
        assert len(hub.seen) == 1
        with civitai_client(settings(hub.url), None, budget=another_process()) as client:
            assert client.get(LISTING).status_code == 200  # the listing goes on


def test_what_was_spent_is_counted_on_the_wire() -> None:
    page = gzip.compress(b" " * 100_000)
    answers = iter([
        Answer(status=503, headers={"Retry-After": "0"}),
        Answer(page, headers={"Content-Encoding": "gzip"}),
        Answer(b"weights" * 100),
        Answer(b"weights" * 100, cut=300),
    ])  # fmt: skip
    traffic = Traffic()
    with loopback(lambda asked: next(answers)) as hub:
        with polite(hub.url, traffic=traffic) as client:
            client.get(LISTING)
            client.get("/a/b/resolve/main/x")
            with pytest.raises(httpx.RemoteProtocolError):
                client.get("/a/b/resolve/main/y")
        host = hub.url.removeprefix("http://")
    with polite(hub.url, traffic=traffic) as client, pytest.raises(httpx.ConnectError):
        client.get("/page")
    api, pages, resolvers = traffic.spent()
    assert (api.host, api.bucket, api.requests) == (host, "api", 2)
    assert api.answers == ((200, 1), (503, 1))
    assert api.bytes_received == len(page)
    assert pages.answers == ((NO_ANSWER, 2),)
    assert pages.waited_seconds > 0
    assert resolvers.bytes_received == 1000


def test_what_was_spent_reads_as_a_line() -> None:
    spent = Spent(
        host="huggingface.co",
        bucket="api",
        requests=1204,
        answers=((200, 1202), (429, 2)),
        bytes_received=310_000_000,
        waited_seconds=12.4,
    )
    assert str(spent) == "huggingface.co api: 1,204 requests (2 without success), 310.0 MB, waited 12 s"
