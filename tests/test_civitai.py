"""The Civitai source's full pass: no listing loses a model for good, whatever the hub does on the way."""

from __future__ import annotations

import httpx
import pytest
from fakes_civitai import Answer, BreaksOn, Script, answer, lora, numbers, rows, serving, source, walked

from crawler.checkpoint import Checkpoint, Page, Presence, Skip, SkipReason
from crawler.civitai import Civitai
from crawler.guest.client import civitai_client
from crawler.settings import CrawlerSettings
from crawler.source import Mode, SourceError
from leaksweep.hub.content import HubContent
from leaksweep.hub.faults import Faults, Strike

OLDEST = "types=LORA&sort=Oldest"
DOWNLOADS = "types=LORA&baseModels=SD+1.5&sort=Most+Downloaded"


def pages_of(script: Script, shard: str = OLDEST, cursor: str | None = None) -> list[Page]:
    with source("https://civitai.test", transport=script) as found:
        return list(found.pages(shard, cursor, None))


def enums(*labels: str) -> httpx.Response:
    return httpx.Response(200, json={"BaseModel": list(labels)})


def shards_of(*answers: Answer, mode: Mode = Mode.FULL, **change: object) -> list[str]:
    with source("http://127.0.0.1:9", transport=Script(*answers), **change) as found:
        return list(found.shards(mode))


def test_a_full_pass_walks_by_age_and_by_base_model() -> None:
    labels = enums("SD 1.5", "Wan Video 14B t2v", "Brand New", "Other")
    assert shards_of(labels, civitai_types=["LORA", "DoRA"]) == [
        "types=LORA&sort=Oldest",
        "types=DoRA&sort=Oldest",
        "types=LORA&baseModels=SD+1.5&sort=Most+Downloaded",
        "types=LORA&baseModels=Brand+New&sort=Most+Downloaded",
        "types=DoRA&baseModels=SD+1.5&sort=Most+Downloaded",
        "types=DoRA&baseModels=Brand+New&sort=Most+Downloaded",
    ]


@pytest.mark.parametrize("refusal", [httpx.Response(503), httpx.Response(200, json={}), httpx.Response(404)])
def test_without_the_hubs_words_our_own_are_listed(
    refusal: httpx.Response, caplog: pytest.LogCaptureFixture
) -> None:
    found = shards_of(refusal)
    assert DOWNLOADS in found
    assert not [shard for shard in found if "Wan" in shard]
    assert "does not tell its base models" in caplog.text


def test_no_model_is_lost() -> None:
    with serving(*(lora(number) for number in range(1, 41))) as hub, source(hub.civitai_url) as found:
        assert numbers(walked(found)) == set(range(1, 41))


@pytest.mark.parametrize("shard", [OLDEST, DOWNLOADS])
def test_each_listing_alone_loses_none_and_goes_on_from_every_cursor(shard: str) -> None:
    with serving(*(lora(number) for number in range(1, 20))) as hub, source(hub.civitai_url) as found:
        pages = list(found.pages(shard, None, None))
        everything = numbers(pages)
        for index, page in enumerate(pages[:-1]):
            rest = numbers(found.pages(shard, page.cursor, None))
            assert numbers(pages[: index + 1]) | rest == everything
    assert len(everything) == 19


def test_newest_as_a_plain_client_reads_it_loses_one_at_each_boundary() -> None:
    """What the union of listings is for: the same hub, walked in the order that everybody takes."""
    with serving(*(lora(number) for number in range(1, 41))) as hub:
        query = {"types": "LORA", "sort": "Newest", "limit": "3"}
        seen, cursor = [], ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            content = httpx.get(f"{hub.civitai_url}/api/v1/models", params=query | more).json()
            seen += [model["id"] for model in content["items"]]
            cursor = content["metadata"].get("nextCursor")
    assert len(seen) == len(set(seen)) == 30


def test_models_that_move_while_they_are_walked_are_found_by_age() -> None:
    models = [lora(number, downloads=number) for number in range(1, 20)]
    with serving(*models) as hub, source(hub.civitai_url) as found:
        by_downloads = []
        for page in found.pages(DOWNLOADS, None, None):
            by_downloads.append(page)
            # What is next in line overtakes all that was read already.
            moved = [lora(number, downloads=number + 100 * (number % 4 == 0)) for number in range(1, 20)]
            hub.publish(HubContent(civitai=tuple(moved)))
        assert numbers(by_downloads) != set(range(1, 20))
        assert numbers(by_downloads) | numbers(found.pages(OLDEST, None, None)) == set(range(1, 20))


def test_a_time_shared_by_more_models_than_a_page_holds_is_stepped_over() -> None:
    models = [lora(number, minutes=number if number < 4 or number > 10 else 5) for number in range(1, 20)]
    with serving(*models) as hub, source(hub.civitai_url) as found:
        pages = list(found.pages(OLDEST, None, None))
        assert [page.notes.get("stuck") for page in pages].count(1) == 1
        # Only models of that one time are missing, and the other listing has them.
        assert set(range(1, 20)) - numbers(pages) <= set(range(4, 11))
        assert numbers(pages) >= {1, 2, 3, *range(11, 20)}
        assert numbers(walked(found)) == set(range(1, 20))


@pytest.mark.parametrize("shard", [OLDEST, DOWNLOADS])
def test_a_hub_that_sends_us_in_circles_ends_the_listing(shard: str) -> None:
    script = Script(answer(1, cursor="a"), answer(2, cursor="b"), answer(3, cursor="a"))
    pages = pages_of(script, shard)
    assert [page.cursor for page in pages] == ["a", "b", None]
    assert pages[-1].notes["stuck"] == 1


def test_short_and_empty_pages_are_no_end() -> None:
    script = Script(answer(1, cursor="a"), answer(cursor="b"), answer(cursor=5), answer(2))
    pages = pages_of(script)
    assert [[listing.repo for listing in page.listings] for page in pages] == [["1"], [], [], ["2"]]
    assert script.values("cursor") == [None, "a", "b", "5"]
    assert [page.cursor for page in pages] == ["a", "b", "5", None]


def test_what_is_asked_for() -> None:
    script = Script(answer())
    pages_of(script, DOWNLOADS)
    assert script.asked[0].path == "/api/v1/models"
    assert dict(script.asked[0].params) == {
        "types": "LORA",
        "baseModels": "SD 1.5",
        "sort": "Most Downloaded",
        "period": "AllTime",
        "nsfw": "true",
        "archived": "true",
        "limit": "3",
    }


def test_an_address_in_an_answer_is_not_followed() -> None:
    script = Script(
        answer(1, cursor="a", nextPage="https://elsewhere.test/api/v1/models?cursor=a"), answer(2)
    )
    pages_of(script)
    assert {url.host for url in script.asked} == {"civitai.test"}


def test_a_stored_cursor_that_is_no_longer_understood_restarts_the_listing_once() -> None:
    invalid = httpx.Response(400, json={"error": "Invalid cursor: x"})
    script = Script(invalid, answer(1, cursor="y"), answer(2))
    pages = pages_of(script, cursor="x")
    assert script.values("cursor") == ["x", None, "y"]
    assert pages[0].notes == {"skips": 1, "restarted": 1}
    with pytest.raises(SourceError, match="Invalid cursor"):
        pages_of(Script(answer(1, cursor="y"), httpx.Response(400, json={"error": "Invalid cursor: y"})))


@pytest.mark.parametrize("shard", [OLDEST, DOWNLOADS])
@pytest.mark.parametrize("broken", [1, 2, 6, 7, 11, 19])
def test_one_broken_model_costs_itself_and_is_named(shard: str, broken: int) -> None:
    with (
        serving(*(lora(number) for number in range(1, 20))) as hub,
        source(hub.civitai_url, transport=BreaksOn(broken), page_size=8) as found,
    ):
        pages = list(found.pages(shard, None, None))
    assert numbers(pages) == set(range(1, 20)) - {broken}
    skips = [(row.repo, row.reason) for page in pages for row in page.rows if isinstance(row, Skip)]
    # The first of a listing stands behind no cursor that names it.
    first = {OLDEST: 1, DOWNLOADS: 6}[shard]
    assert skips == ([(str(broken), SkipReason.MALFORMED)] if broken != first else [])
    assert sum(page.notes.get("stepped_over", 0) for page in pages) == 1


def test_two_broken_models_in_a_row() -> None:
    with (
        serving(*(lora(number, downloads=5) for number in range(1, 10))) as hub,
        source(hub.civitai_url, transport=BreaksOn(4, 5)) as found,
    ):
        assert numbers(found.pages(DOWNLOADS, None, None)) == {1, 2, 3, 6, 7, 8, 9}
        assert numbers(found.pages(OLDEST, None, None)) == {1, 2, 3, 6, 7, 8, 9}


def test_a_hub_that_breaks_on_everything_is_down() -> None:
    faults = Faults(server_error=Strike(on="civitai/api/v1/models"))
    with (
        serving(lora(1), faults=faults) as hub,
        source(hub.civitai_url) as found,
        pytest.raises(SourceError, match="status 500"),
    ):
        list(found.pages(OLDEST, None, None))


def test_states_are_presences_and_skips() -> None:
    with (
        serving(lora(1, mode="Archived"), lora(2, mode="TakenDown"), lora(3, nsfw_level=16), lora(4)) as hub,
        source(hub.civitai_url) as found,
    ):
        pages = walked(found)
    presences = {listing.repo: listing.presence for page in pages for listing in page.listings}
    assert presences == {
        "1": Presence.ARCHIVED,
        "2": Presence.TAKEN_DOWN,
        "3": Presence.PRESENT,
        "4": Presence.PRESENT,
    }
    assert [getattr(row, "reason", None) for row in rows(pages)] == [
        SkipReason.ARCHIVED,
        SkipReason.TAKEN_DOWN,
        None,
        None,
    ]


def test_rules_change_with_what_decides_and_with_nothing_else() -> None:
    def rules(**change: object) -> str:
        with source("https://civitai.test", **change) as found:
            return found.rules

    assert rules() == rules(page_size=7, civitai_types=["DoRA"], contact="us")
    changes: list[dict[str, object]] = [{"opt_out": ["7"]}, {"read_headers": False}, {"max_file_bytes": 5}]
    assert len({rules(), *(rules(**change) for change in changes)}) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (httpx.Response(403, json={"error": "blacklisted"}), "status 403.*blacklisted"),
        (httpx.Response(429), "status 429"),
        (httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}), "web page.*regions"),
        (httpx.Response(200, text=" <!DOCTYPE html>"), "web page"),
        (httpx.Response(404, text="<html>"), "web page"),
        (httpx.Response(200, text="["), "no JSON"),
        (httpx.Response(200, text="[" * 100_000), "no JSON"),
        (httpx.Response(200, json=[]), "no list of models"),
        (httpx.Response(200, json={"items": None}), "no list of models"),
    ],
)
def test_errors_name_the_reason_and_the_way_on(wrong: httpx.Response, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        pages_of(Script(wrong))
    assert "civitai" in str(caught.value)


def test_a_broken_connection_is_an_error_of_the_source() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(SourceError, match="ConnectError"):
        pages_of(Script(broken))


def test_a_region_that_is_not_served_says_so() -> None:
    moved = httpx.Response(307, headers={"Location": "/region-blocked"})
    page = httpx.Response(200, text="<html>Not available in your region</html>")
    with pytest.raises(SourceError, match="region-blocked"):
        pages_of(Script(moved, page))


class TestMembership:
    """A token of one's own is what the hub's terms ask for."""

    def shards(
        self, url: str, token: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        with source(url, token=token, transport=transport) as found:
            found.shards(Mode.INCREMENT)

    def test_without_a_token_nothing_is_asked_of_the_real_hub(self) -> None:
        script = Script()
        with pytest.raises(SourceError, match=r"CIVITAI_TOKEN is not set.*11\.4.*make a key"):
            self.shards("https://civitai.test", transport=script)
        assert script.asked == []

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"])
    def test_a_local_hub_needs_none(self, url: str) -> None:
        self.shards(url, transport=Script())

    def test_a_token_that_the_hub_does_not_know_is_an_error_and_not_a_shorter_list(self) -> None:
        with serving(lora(1), civitai_tokens=["right"]) as hub:
            self.shards(hub.civitai_url, "right")
            with pytest.raises(SourceError, match="does not know the token in CIVITAI_TOKEN") as caught:
                self.shards(hub.civitai_url, "wrong")
        assert "wrong" not in str(caught.value)

    def test_a_hub_that_is_down_says_nothing_of_the_token(self) -> None:
        with pytest.raises(SourceError, match="status 503"):
            self.shards("http://127.0.0.1:9", "secret", Script(httpx.Response(503)))


def test_the_source_keeps_nothing_of_what_it_has_read() -> None:
    """Memory is flat: which models were seen is the catalog's to know."""
    with serving(lora(1), lora(2)) as hub, source(hub.civitai_url) as found:
        before = {name: repr(value) for name, value in vars(found).items()}
        first = [page.listings for page in walked(found)]
        assert {name: repr(value) for name, value in vars(found).items()} == before
        assert [page.listings for page in walked(found)] == first
        assert isinstance(found, Civitai)
        assert all(isinstance(row, Checkpoint) for row in rows(walked(found)))


@pytest.mark.parametrize("broken", [(1,), (2,), (57,), (101,), (150,), (40, 41)])
@pytest.mark.parametrize("shard", [OLDEST, DOWNLOADS, "types=LORA&sort=Newest"])
def test_a_broken_model_does_not_make_the_hub_look_down(shard: str, broken: tuple[int, ...]) -> None:
    """With the manners of a real client: a host where five requests in a row fail is left alone."""
    models = [lora(number, downloads=1, minutes=number / 60) for number in range(1, 151)]
    with serving(*models) as hub:
        chosen = CrawlerSettings(civitai_url=hub.civitai_url, civitai_interval_seconds=0, retries=0)
        with civitai_client(chosen, None, transport=BreaksOn(*broken)) as client:
            found = numbers(Civitai(client, chosen).pages(shard, None, None))
    assert found >= set(range(1, 151)) - set(broken) - _beside(shard, broken)


def _beside(shard: str, broken: tuple[int, ...]) -> set[int]:
    """What the step over a broken model may take with it in "Newest": nobody knows where that one stands."""
    return {near for one in broken for near in range(one - 20, one)} if "Newest" in shard else set()
