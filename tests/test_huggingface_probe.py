"""Probes of repositories that the listings no longer show."""

from __future__ import annotations

from typing import Any

import pytest
from fakes_huggingface import model
from fakes_repositories import BASE, source
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils import httpx as hub_httpx

from crawler.checkpoint import Hub, Listing, Presence, Probe
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from crawler.source import SourceError
from leaksweep.hub.content import HubContent
from leaksweep.hub.serve import LocalHub


def known(number: int = 1, repo: str = "me/m1") -> Listing:
    return Listing(hub=Hub.HUGGINGFACE, number=f"{number:024x}", repo=repo, revision="0" * 40)


def ask(answer: Any, listing: Listing | None = None) -> Probe | None:
    """One probe of a hub that answers so."""
    found = HuggingFace(HfApi(endpoint="http://hub.test", token=False), CrawlerSettings())

    def respond(request: Any) -> Any:
        if request.url.path.endswith("/m1") and answer.status_code == 307:
            return answer
        return hub_httpx.Response(200, json=model(1, id="me/new")) if answer.status_code == 307 else answer

    client = hub_httpx.Client(transport=hub_httpx.MockTransport(respond), follow_redirects=True)
    set_client_factory(lambda: client)
    return next(iter(found.probe([listing or known()])), None)


def refused(status: int, code: str | None = None, message: str | None = None) -> Any:
    said = {"X-Error-Code": code, "X-Error-Message": message}
    headers = {name: value for name, value in said.items() if value}
    return hub_httpx.Response(status, json={"error": "x"}, headers=headers)


@pytest.mark.parametrize(
    ("change", "presence"),
    [
        ({}, Presence.PRESENT),
        ({"gated": "manual"}, Presence.GATED),
        ({"disabled": True}, Presence.DISABLED),
        ({"private": True}, Presence.UNREACHABLE),
    ],
)
def test_an_answer_is_its_row(change: dict[str, Any], presence: Presence) -> None:
    probe = ask(hub_httpx.Response(200, json=model(1, **change)))
    assert probe
    assert (probe.presence, probe.proof) == (presence, False)
    assert probe.listing
    assert (probe.listing.repo, probe.listing.presence) == ("me/m1", presence)


def test_a_redirect_to_the_same_number_is_a_rename() -> None:
    probe = ask(hub_httpx.Response(307, headers={"Location": "/api/models/me/new"}))
    assert probe
    assert probe.listing
    assert (probe.presence, probe.listing.repo) == (Presence.PRESENT, "me/new")
    assert "renamed from me/m1" in probe.detail


def test_a_redirect_to_another_number_is_no_rename() -> None:
    probe = ask(hub_httpx.Response(307, headers={"Location": "/api/models/me/new"}), known(7))
    assert probe
    assert (probe.presence, probe.listing, probe.proof) == (Presence.UNREACHABLE, None, True)
    assert probe.number == known(7).number
    assert "me/new" in probe.detail


@pytest.mark.parametrize(
    ("answer", "presence", "proof"),
    [
        (refused(404, "RepoNotFound", "Repository not found"), Presence.UNREACHABLE, True),
        (refused(401, "RepoNotFound"), Presence.UNREACHABLE, False),
        (refused(401, None, "Invalid username or password."), Presence.UNREACHABLE, False),
        (refused(404), Presence.UNREACHABLE, False),
        (refused(401, "GatedRepo"), Presence.GATED, False),
        (refused(403, "GatedRepo"), Presence.GATED, False),
        (refused(403, None, "Access to this resource is disabled."), Presence.DISABLED, False),
        (refused(403), Presence.UNREACHABLE, False),
    ],
)
def test_refusals_are_told_apart_by_their_code(answer: Any, presence: Presence, proof: bool) -> None:
    probe = ask(answer)
    assert probe
    assert (probe.presence, probe.proof, probe.listing) == (presence, proof, None)
    assert probe.detail


@pytest.mark.parametrize(
    "answer",
    [refused(500), refused(504), hub_httpx.Response(200, html="<h1>"), hub_httpx.Response(200, json=[])],
)
def test_without_a_clear_answer_there_is_no_probe(answer: Any) -> None:
    assert ask(answer) is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refused(503), "crawl again"),
        (refused(429), "crawl again"),
        (refused(401, None, "Invalid credentials in Authorization header"), "HF_TOKEN"),
    ],
)
def test_a_hub_that_is_away_is_no_word_on_anybody(answer: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        ask(answer)


def test_on_the_local_hub() -> None:
    with LocalHub(HubContent(repos=(BASE,))) as hub:
        found = source(hub)
        (page,) = found.pages("filter=diffusers", None, None)
        (base,) = page.listings
        old = Listing(hub=Hub.HUGGINGFACE, number=base.number, repo="zoo/old-name", revision="0" * 40)
        count = len(hub.requests)
        renamed, gone = found.probe([old, known()])
        asked = len(hub.requests) - count
    assert (renamed.presence, renamed.listing) == (Presence.PRESENT, base)
    assert (gone.presence, gone.proof) == (Presence.UNREACHABLE, False), "without a token the hub says 401"
    assert asked == 3
