"""The hubs' clients: manners on the wire, and tokens that stay at home."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from email.utils import formatdate

import httpx
import pytest
from fakes import Answer, Asked, loopback
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from huggingface_hub.utils import httpx as hub_httpx
from huggingface_hub.utils._http import default_client_factory, set_client_factory

from crawler.checkpoint import Hub
from crawler.guest.circuit import COOL_DOWN, FAILURES
from crawler.guest.client import civitai_client, hub_api, proxy_for, stream_opener
from crawler.guest.manners import PATIENCE, Manners, PoliteTransport
from crawler.guest.refusals import LeftAlone
from crawler.settings import CrawlerSettings

HubTransportError = hub_httpx.TransportError
EPOCH = 1_800_000_000.0


class Time:
    """A clock that only sleep moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def polite(answers: list[httpx.Response | Exception], time: Time, **settings: float) -> httpx.Client:
    queue = iter(answers)

    def reply(request: httpx.Request) -> httpx.Response:
        answer = next(queue)
        if isinstance(answer, Exception):
            raise answer
        return answer

    manners = Manners(
        retry_on=(httpx.TransportError,),
        token_origin="https://hub.test",
        clock=lambda: time.now,
        wall=lambda: EPOCH + time.now,
        sleep=time.sleep,
        **settings,  # type: ignore[arg-type]
    )
    return httpx.Client(
        transport=PoliteTransport(httpx.MockTransport(reply), manners), base_url="https://hub.test"
    )


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_error_is_retried(status: int) -> None:
    time = Time()
    with polite([httpx.Response(status), httpx.Response(200)], time) as client:
        assert client.get("/").status_code == 200
    assert len(time.slept) == 1
    assert 0 <= time.slept[0] <= 60


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_other_errors_are_not_retried(status: int) -> None:
    with polite([httpx.Response(status)], Time()) as client:
        assert client.get("/").status_code == status


def test_retry_after_is_obeyed_in_seconds_and_as_a_date() -> None:
    time = Time()
    date = formatdate(EPOCH + 7 + 20, usegmt=True)
    answers = [
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503, headers={"Retry-After": date}),
        httpx.Response(200),
    ]
    with polite(list(answers), time) as client:
        assert client.get("/").status_code == 200
    assert time.slept == [7.0, 20.0]


def test_a_wait_of_a_day_is_a_refusal() -> None:
    time = Time()
    with polite([httpx.Response(429, headers={"Retry-After": str(int(PATIENCE) + 1)})], time) as client:
        assert client.get("/").status_code == 429
    assert time.slept == []


def test_the_headroom_of_a_rate_limit_stays_unused() -> None:
    time = Time()
    policy = {"RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    answers = [
        httpx.Response(200, headers={"RateLimit": '"api";r=101;t=55', **policy}),
        httpx.Response(200, headers={"RateLimit": '"api";r=100;t=50', **policy}),
        httpx.Response(200),
        httpx.Response(200),
    ]
    with polite(list(answers), time, headroom=0.2) as client:
        client.get("/api/models")
        client.get("/api/models")
        assert time.slept == []
        client.get("/a/b/resolve/main/x")  # another bucket
        assert time.slept == []
        client.get("/api/models")
    assert time.slept == [51.0]  # the hub tells whole seconds, perhaps rounded down


def test_an_exhausted_rate_limit_waits_for_its_reset() -> None:
    time = Time()
    answers = [httpx.Response(429, headers={"RateLimit": '"api";r=0;t=30'}), httpx.Response(200)]
    with polite(list(answers), time) as client:
        assert client.get("/api/models").status_code == 200
    assert sum(time.slept) == pytest.approx(31.0)


def test_a_least_interval_is_kept() -> None:
    time = Time()
    with polite([httpx.Response(200)] * 3, time, interval=1.0) as client:
        for _ in range(3):
            client.get("/")
    assert time.now == pytest.approx(2.0)


def test_a_host_that_is_down_is_left_alone_and_then_tried_once() -> None:
    time = Time()
    down = httpx.ConnectError("refused")
    answers = [*[down] * 2 * FAILURES, down, httpx.Response(200), down, httpx.Response(200)]
    with polite(list(answers), time, retries=1) as client:
        for _ in range(FAILURES):
            with pytest.raises(httpx.ConnectError):
                client.get("/")
        with pytest.raises(
            LeftAlone, match=r"hub\.test is left alone until .* UTC: 5 requests .* ConnectError"
        ):
            client.get("/")
        time.now += COOL_DOWN
        with pytest.raises(httpx.ConnectError):
            client.get("/")  # a trial: one attempt
        with pytest.raises(httpx.TransportError, match="left alone"):
            client.get("/")
        time.now += COOL_DOWN
        assert client.get("/").status_code == 200
        assert client.get("/").status_code == 200  # retried again


def settings(url: str, **more: object) -> CrawlerSettings:
    return CrawlerSettings.model_validate(
        {"huggingface_url": url, "civitai_url": url, "civitai_interval_seconds": 0, "retries": 1, **more}
    )


def test_the_token_goes_to_civitai_and_not_along_a_redirect() -> None:
    with loopback(lambda asked: Answer(b"weights")) as storage:
        moved = Answer(status=307, headers={"Location": f"{storage.url}/signed"})
        with loopback(lambda asked: moved) as hub, civitai_client(settings(hub.url), "secret") as client:
            assert client.get("/api/download/models/1").content == b"weights"
            assert client.get(f"{storage.url}/next-page").content == b"weights"
    assert [asked.headers.get("authorization") for asked in hub.seen] == ["Bearer secret"]
    assert len(storage.seen) == 2
    assert all("authorization" not in asked.headers for asked in storage.seen)


def test_the_user_agent_names_the_tool_and_the_contact() -> None:
    chosen = CrawlerSettings(contact="trust@example.org")
    answers = httpx.MockTransport(lambda request: httpx.Response(200))
    with civitai_client(chosen, None, transport=answers) as client:
        agent = client.get("/").request.headers["User-Agent"]
    assert agent.startswith("leaksweep/")
    assert "trust@example.org" in agent
    assert "mozilla" not in agent.lower()


@pytest.fixture
def _library_session() -> Iterator[None]:
    """huggingface_hub's client factory is the process's: put it back."""
    yield
    set_client_factory(default_client_factory)
    close_session()


@pytest.mark.usefixtures("_library_session")
def test_the_hub_library_is_polite_and_keeps_the_token_at_home(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with loopback(lambda asked: Answer(b"{}")) as elsewhere:

        def reply(asked: Asked) -> Answer:
            if len(hub.seen) == 1:
                return Answer(status=429, headers={"Retry-After": "0"})
            if "moved" in asked.path:
                return Answer(status=307, headers={"Location": f"{elsewhere.url}/x"})
            return Answer(b'{"id": "a/b", "sha": "1", "tags": [], "siblings": []}')

        with loopback(reply) as hub:
            api = hub_api(settings(hub.url, contact="trust@example.org"), "hf_secret")
            assert api.model_info("a/b").id == "a/b"
            with pytest.raises(HubTransportError, match="the API redirects to http://127"):
                api.model_info("a/moved")
    assert len(hub.seen) == 3
    assert {asked.headers["authorization"] for asked in hub.seen} == {"Bearer hf_secret"}
    assert "leaksweep" in hub.seen[0].headers["user-agent"]
    assert "trust@example.org" in hub.seen[0].headers["user-agent"]
    assert not elsewhere.seen
    assert "hf_secret" not in caplog.text
    assert constants.HF_HUB_DISABLE_TELEMETRY  # else the library asks huggingface.co, whatever the endpoint


def test_a_download_is_opened_with_the_token_of_its_hub() -> None:
    with loopback(lambda asked: Answer(b"x")) as hub:
        open_stream = stream_opener(settings(hub.url), {Hub.HUGGINGFACE: "one", Hub.CIVITAI: None})
        for name in Hub:
            with open_stream(name, f"{hub.url}/file", {"Range": "bytes=1-"}) as answer:
                assert answer.read() == b"x"
    assert [asked.headers.get("authorization") for asked in hub.seen] == ["Bearer one", None]
    assert hub.seen[0].headers["range"] == "bytes=1-"


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert proxy_for("https://civitai.com") == "http://proxy.test:3128"
    assert proxy_for("https://127.0.0.1:8000") is None
