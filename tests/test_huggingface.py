"""The Hugging Face source as a whole: its listings on the local hub, its rules and its selections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fakes_repositories import BASE, folder, lora, source, weights

from crawler.checkpoint import Hub
from crawler.huggingface.listing import hub_rules
from crawler.huggingface.selections import selections
from crawler.settings import CrawlerSettings
from crawler.source import Mode, SourceError
from leaksweep.hub.content import HubContent, HubRepo
from leaksweep.hub.faults import Faults, Strike
from leaksweep.hub.serve import LocalHub

MANY = tuple(
    HubRepo(
        id=f"me/l{n:02}",
        files={"a.safetensors": weights()},
        card={"tags": ["lora"], "base_model": "zoo/base"},
        created_at=f"2024-01-01T00:00:{n // 2:02}.000Z",
        last_modified=f"2024-02-{11 - n:02}T00:00:00.000Z",
    )
    for n in range(11)
)


def test_a_listing_goes_on_from_every_cursor_at_another_endpoint_and_page_size() -> None:
    content = HubContent(repos=(BASE, *MANY))
    with LocalHub(content) as hub:
        pages = list(source(hub, page_size=3).pages("filter=lora", None, None))
    everything = [listing.repo for page in pages for listing in page.listings]
    assert [len(page.listings) for page in pages] == [3, 3, 3, 2]
    assert sorted(everything) == [repo.id for repo in MANY]
    with LocalHub(content) as other:
        found = source(other, page_size=4)
        for index, page in enumerate(pages[:-1]):
            rest = found.pages("filter=lora", page.cursor, None)
            assert [one.repo for more in rest for one in more.listings] == everything[3 * (index + 1) :]


def test_a_repository_keeps_its_number_in_every_listing() -> None:
    with LocalHub(HubContent(repos=(BASE, *MANY[:3]))) as hub:
        found = source(hub, include=["diffusers", "author=me"])
        pages = [page for shard in found.shards(Mode.FULL) for page in found.pages(shard, None, None)]
    first, second = ({listing.number for listing in page.listings} for page in pages)
    assert len(first) == 4
    assert second < first


def test_an_increment_reads_what_has_changed() -> None:
    since = datetime(2024, 2, 7, tzinfo=UTC)
    with LocalHub(HubContent(repos=(BASE, *MANY))) as hub:
        pages = list(source(hub, page_size=2).pages("filter=lora", None, since))
    listed = [listing.repo for page in pages for listing in page.listings]
    assert {"me/l00", "me/l01", "me/l02", "me/l03", "me/l04"} <= set(listed)
    assert len(listed) == 6
    assert pages[-1].cursor is None


def test_a_page_holds_listings_skips_and_counters() -> None:
    repos = (lora("one"), HubRepo(id="me/pickle", files={"a.ckpt": b"\x80"}), lora("shy"))
    with LocalHub(HubContent(repos=repos)) as hub:
        (page,) = source(hub, opt_out=["me/shy"]).pages("filter=diffusers", None, None)
    assert {listing.repo: listing.look for listing in page.listings} == {
        "me/one": True,
        "me/pickle": False,
        "me/shy": False,
    }
    assert {skip.repo for skip in page.rows} == {"me/pickle", "me/shy"}
    assert page.notes == {"skips": 2}
    assert {listing.hub for listing in page.listings} == {Hub.HUGGINGFACE}


def test_a_hub_that_breaks_down_is_an_error_that_says_how_to_go_on() -> None:
    faults = Faults(unavailable=Strike(on="huggingface/api/models"))
    with (
        LocalHub(HubContent(repos=(BASE,)), faults=faults) as hub,
        pytest.raises(SourceError, match="goes on from this page"),
    ):
        list(source(hub).pages("filter=lora", None, None))


def test_every_known_base_and_pipeline_is_a_listing_of_its_own() -> None:
    settings = CrawlerSettings(base_models={"My": "me/base"})
    names = selections(settings)
    assert names[:2] == ("pipeline_tag=text-to-image", "filter=diffusers")
    assert "filter=base_model:me/base" in names
    assert "filter=base_model:stable-diffusion-v1-5/stable-diffusion-v1-5" in names
    assert "filter=diffusers:StableDiffusionPipeline" in names
    assert len(set(names)) == len(names)
    short = selections(settings.model_copy(update={"list_by_base": False, "include": ("a b", "author=x")}))
    assert short == ("filter=a+b", "author=x")


def test_what_no_tag_tells_is_found_by_its_base() -> None:
    untagged = HubRepo(
        id="me/untagged",
        files={"a.safetensors": weights()},
        card={"base_model": "zoo/base"},
        pipeline_tag=None,
        library_name=None,
    )
    with LocalHub(HubContent(repos=(BASE, untagged))) as hub:
        found = source(hub, include=["lora"], list_by_base=True, base_models={"Zoo": "zoo/base"})
        shards = [shard for shard in found.shards(Mode.FULL) if shard.endswith("zoo/base")]
        (page,) = found.pages(shards[0], None, None)
    assert [listing.repo for listing in page.listings] == ["me/untagged"]


@pytest.mark.parametrize(
    "change",
    [
        {"opt_out": ("me",)},
        {"base_models": {"a": "b/c"}},
        {"max_file_bytes": 1},
        {"read_headers": False},
    ],
)
def test_rules_change_with_what_decides(change: dict[str, Any]) -> None:
    settings = CrawlerSettings()
    assert hub_rules(settings) == hub_rules(settings.model_copy(update={"page_size": 7}))
    assert hub_rules(settings) != hub_rules(settings.model_copy(update=change))


def test_folders_are_listed_like_all_else() -> None:
    with LocalHub(HubContent(repos=(HubRepo(id="me/full", files=folder()),))) as hub:
        (page,) = source(hub).pages("filter=diffusers:StableDiffusionPipeline", None, None)
    (listing,) = page.listings
    assert listing.look
    assert len(listing.revision) == 40
