"""What the Hugging Face Hub refuses, fails at or gets wrong about one repository."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes_repositories import BASE, crawl, everything, folder, lora, source, weights
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils import httpx as hub_httpx

from crawler.checkpoint import Hub, Listing, Skip, SkipReason
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from crawler.source import SourceError
from leaksweep.hub.content import HubContent, HubRepo
from leaksweep.hub.faults import Faults, Strike
from leaksweep.hub.serve import LocalHub


def test_refusals_are_rows() -> None:
    rows = crawl(
        HubRepo(id="me/gated", files=folder(), gated="manual"),
        HubRepo(id="me/disabled", files=folder(), disabled=True),
        HubRepo(id="me/pickle", files={"model.ckpt": b"\x80\x04"}),
        lora("refuses"),
        opt_out=["me/refuses"],
    )
    reasons = {repo: row.reason for repo, row in rows.items() if isinstance(row, Skip)}
    assert reasons == {
        "me/gated": SkipReason.GATED,
        "me/disabled": SkipReason.DISABLED,
        "me/pickle": SkipReason.PICKLE_ONLY,
        "me/refuses": SkipReason.OPTED_OUT,
    }


def test_a_repository_that_breaks_down_is_a_row_to_be_tried_again() -> None:
    faults = Faults(server_error=Strike(on="/tree/"))
    with LocalHub(HubContent(repos=(BASE,)), faults=faults) as hub:
        (row,) = everything(source(hub))
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.DOWNLOAD_FAILED


def test_a_hub_that_asks_for_peace_is_no_word_on_a_repository() -> None:
    faults = Faults(too_many_requests=Strike(on="/tree/"))
    with (
        LocalHub(HubContent(repos=(BASE,)), faults=faults) as hub,
        pytest.raises(SourceError, match="crawl again"),
    ):
        everything(source(hub))


def test_a_wish_in_a_header_is_obeyed() -> None:
    row = crawl(lora("shy", weights({"modelspec.robots": "noindex"})))["me/shy"]
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.OPTED_OUT


def test_what_was_listed_before_it_was_opted_out_is_not_looked_into() -> None:
    with LocalHub(HubContent(repos=(BASE,))) as hub:
        (page,) = source(hub).pages("filter=diffusers", None, None)
        (listing,) = page.listings
        (row,) = source(hub, opt_out=["zoo"]).look(listing, ())
        asked = [request.path for request in hub.requests]
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.OPTED_OUT
    assert asked == ["/api/models"]


def test_a_commit_that_is_gone_is_a_skip() -> None:
    with LocalHub(HubContent(repos=(BASE,))) as hub:
        found = source(hub)
        (page,) = found.pages("filter=diffusers", None, None)
        (row,) = found.look(replace(page.listings[0], revision="0" * 40), ())
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.UNREACHABLE


def test_paths_that_cannot_be_shown_are_refused_by_name() -> None:
    names = ["a\u202e.safetensors", "b\n.safetensors", "c" * 600 + ".safetensors", "d\\e.safetensors"]
    repo = HubRepo(
        id="me/odd", files=dict.fromkeys(names, weights()), card={"base_model": "zoo/base", "tags": ["lora"]}
    )
    with LocalHub(HubContent(repos=(repo,))) as hub:
        rows = everything(source(hub, include=["lora"]))
        read = [request for request in hub.requests if request.range]
    assert {row.reason for row in rows if isinstance(row, Skip)} == {SkipReason.MALFORMED}
    assert all(row.path.isprintable() for row in rows)
    assert not read


@pytest.mark.parametrize("answer", ["{}", '[{"type": "file"}]', "[7]", "<h1>", "[" * 100_000])
def test_a_list_of_files_that_is_none_is_a_skip(answer: str) -> None:
    def tree(request: Any) -> Any:
        return hub_httpx.Response(200, text=answer)

    transport = hub_httpx.MockTransport(tree)
    settings = CrawlerSettings()
    found = HuggingFace(HfApi(endpoint="http://hub.test", token=False), settings)
    set_client_factory(lambda: hub_httpx.Client(transport=transport))
    listing = Listing(hub=Hub.HUGGINGFACE, number="1", repo="me/odd", revision="0" * 40, facts="{}")
    (row,) = found.look(listing, ())
    assert isinstance(row, Skip)
    assert row.reason in (SkipReason.MALFORMED, SkipReason.NO_WEIGHTS)


def test_an_address_that_has_expired_is_no_word_on_a_repository() -> None:
    faults = Faults(expired_url=Strike())
    with LocalHub(HubContent(repos=(BASE, lora("kohya"))), faults=faults) as hub:
        (row,) = everything(source(hub, include=["lora"]))
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.DOWNLOAD_FAILED, "asked again by the next crawl"
