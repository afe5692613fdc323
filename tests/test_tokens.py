"""A token's bytes are on no wire but its own host's, in no address and in no log."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product

import pytest
from fakes import Answer, Asked, loopback
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from huggingface_hub.utils._http import default_client_factory, set_client_factory

from crawler.checkpoint import Hub
from crawler.guest.client import (
    TokenError,
    _say_that_contact_is_missing,
    civitai_client,
    hub_api,
    stream_opener,
)
from crawler.guest.refusals import Unacceptable
from crawler.settings import CrawlerSettings

TOKENS = {Hub.HUGGINGFACE: "hf_secretofhuggingface", Hub.CIVITAI: "secretofcivitai"}


@pytest.fixture(autouse=True)
def _library_session() -> Iterator[None]:
    """huggingface_hub's client factory is the process's: put it back."""
    yield
    set_client_factory(default_client_factory)
    close_session()


@contextmanager
def hosts() -> Iterator[tuple[Mapping[str, list[Asked]], Mapping[str, str]]]:
    """Both hubs, which redirect to each other and to a storage host: what each saw, and its address."""
    urls: dict[str, str] = {}

    def reply(asked: Asked) -> Answer:
        if "to-storage" in asked.path:
            return Answer(status=302, headers={"Location": f"{urls['storage']}/signed?Signature=x"})
        if "to-other" in asked.path:
            here = asked.headers["host"]
            other = next(url for name, url in urls.items() if name != "storage" and here not in url)
            return Answer(status=302, headers={"Location": f"{other}/a/b/resolve/main/to-storage"})
        return Answer(b"{}")

    with loopback(reply) as one, loopback(reply) as two, loopback(reply) as storage:
        servers = {Hub.HUGGINGFACE.value: one, Hub.CIVITAI.value: two, "storage": storage}
        urls |= {name: server.url for name, server in servers.items()}
        yield {name: server.seen for name, server in servers.items()}, urls


@pytest.fixture
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that anybody logs, with huggingface_hub at its most talkative: whole requests."""
    monkeypatch.setattr(constants, "HF_DEBUG", True)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "huggingface_hub")
    library = logging.getLogger("huggingface_hub")  # passes nothing on
    library.addHandler(caplog.handler)
    yield caplog
    library.removeHandler(caplog.handler)


def test_a_token_is_seen_by_its_own_host_only(log: pytest.LogCaptureFixture) -> None:
    paths = ("/a/b/resolve/main/to-storage", "/a/b/resolve/main/to-other", "/api/download/to-storage")
    with hosts() as (seen, urls):
        settings = CrawlerSettings(
            huggingface_url=urls["huggingface"],
            civitai_url=urls["civitai"],
            civitai_interval_seconds=0,
            retries=0,
        )
        api = hub_api(settings, TOKENS[Hub.HUGGINGFACE])
        open_stream = stream_opener(settings, TOKENS)
        with pytest.raises(KeyError):  # an empty object is no model
            api.model_info("a/b")
        with pytest.raises(Unacceptable):
            api.model_info("a/to-other")
        with civitai_client(settings, TOKENS[Hub.CIVITAI]) as client:
            client.get("/api/v1/models")
            with pytest.raises(Unacceptable):
                client.get("/api/v1/to-other")
            for url in urls.values():
                client.get(f"{url}/a/b/resolve/main/to-other")
        for hub, url, path in product(Hub, urls.values(), paths):
            with open_stream(hub, url + path, {}) as answer:
                answer.read()
    for hub, token in TOKENS.items():
        assert {name for name, asked in seen.items() if token in repr(asked)} == {hub.value}
        assert not any(token in asked.path for asked in seen[hub.value])
        assert token not in log.text
    assert seen["storage"]
    assert not any("authorization" in asked.headers for asked in seen["storage"])
    assert "curl" in log.text


@pytest.mark.parametrize("token", ["hf_sec\nret", "hf sec ret", "hf_sécret"])
def test_what_can_be_no_token_is_refused_without_showing_it(token: str) -> None:
    settings = CrawlerSettings()
    for build in (
        lambda: hub_api(settings, token),
        lambda: civitai_client(settings, token),
        lambda: stream_opener(settings, {Hub.CIVITAI: token}),
    ):
        with pytest.raises(TokenError, match="holds blanks, line breaks or letters") as caught:
            build()
        assert token not in str(caught.value)


def test_blanks_around_a_token_are_dropped() -> None:
    with loopback(lambda asked: Answer(b"{}")) as hub:
        settings = CrawlerSettings(civitai_url=hub.url, civitai_interval_seconds=0)
        with civitai_client(settings, "secret\r\n") as client:
            client.get("/")
        with civitai_client(settings, " ") as client:
            client.get("/")
    assert [asked.headers.get("authorization") for asked in hub.seen] == ["Bearer secret", None]


def test_a_missing_contact_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    _say_that_contact_is_missing.cache_clear()
    local = {"huggingface_url": "http://127.0.0.1:1", "civitai_url": "http://localhost:1"}
    hub_api(CrawlerSettings.model_validate(local), None)
    hub_api(CrawlerSettings(contact="trust@example.org"), None)
    assert "contact" not in caplog.text
    hub_api(CrawlerSettings(), None)
    stream_opener(CrawlerSettings(), {})
    assert caplog.text.count("crawler.contact is empty") == 1
