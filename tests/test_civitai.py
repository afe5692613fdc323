"""The Civitai source: nothing is lost by the hub's cursors, headers are read where they help."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from crawler.checkpoint import Checkpoint, Grade, Kind, Page, Skip, SkipReason
from crawler.civitai.listing import SORTS, Civitai
from crawler.settings import CrawlerSettings
from crawler.source import SourceError
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion, HubContent
from leaksweep.hub.faults import Faults, Strike
from leaksweep.hub.serve import LocalHub

Source = Callable[..., Civitai]
Crawl = Callable[..., list[Checkpoint | Skip]]
SHARD = "types=LORA&sort=Oldest"
CROSS = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
KOHYA = {
    "ss_tag_frequency": json.dumps({"5_sks": {"a sks cat": 4}}),
    "ss_dataset_dirs": json.dumps({"5_sks": {"n_repeats": 5, "img_count": 4}}),
    "ss_new_sd_model_hash": "ab" * 32,
}


def weights(
    metadata: dict[str, str] | None = None, width: int = 64, suffix: str = "lora_down.weight"
) -> bytes:
    tensors = {f"{CROSS}.lora_up.weight": (64, 4), f"{CROSS}.{suffix}": (4, width)}
    return save({name: np.zeros(shape, np.float16) for name, shape in tensors.items()}, metadata)


def lora(
    number: int, data: bytes | None = None, words: tuple[str, ...] = ("sks",), **change: Any
) -> CivitaiModel:
    file = CivitaiFile(id=number, name="a.safetensors", content=data if data is not None else weights())
    version = CivitaiVersion(
        id=number,
        name="v1",
        base_model="SD 1.5",
        files=(file,),
        trained_words=words,
        published_at=change.pop("published_at", f"2024-01-{number % 20 + 1:02}T00:00:00.000Z"),
    )
    content = {"type": "LORA", "downloads": number % 7} | change
    return CivitaiModel(id=number, name=f"model {number}", versions=(version,), **content)


def settings(**change: Any) -> CrawlerSettings:
    return CrawlerSettings(**{"page_size": 3, "civitai_types": ["LORA"], **change})


@pytest.fixture
def source() -> Iterator[Source]:
    """Makes sources of a hub's address; their clients are closed with the test."""
    with ExitStack() as stack:

        def make(url: str, **change: Any) -> Civitai:
            client = stack.enter_context(httpx.Client(base_url=url, follow_redirects=True))
            return Civitai(client, settings(**change))

        yield make


@contextmanager
def serving(*models: CivitaiModel, **hub: Any) -> Iterator[LocalHub]:
    with LocalHub(HubContent(civitai=models), **hub) as running:
        yield running


@pytest.fixture
def crawl(source: Source) -> Crawl:
    """Walks all listings of a hub that holds these models."""

    def walk(*models: CivitaiModel, **change: Any) -> list[Checkpoint | Skip]:
        with serving(*models) as hub:
            found = source(hub.civitai_url, **change)
            return [row for shard in found.shards() for page in found.pages(shard, None) for row in page.rows]

    return walk


def test_every_type_is_listed_in_every_order(source: Source) -> None:
    shards = source("https://civitai.test", civitai_types=["LORA", "Checkpoint"]).shards()
    assert shards == [
        "types=LORA&sort=Oldest",
        "types=Checkpoint&sort=Oldest",
        "types=LORA&sort=Most+Downloaded",
        "types=Checkpoint&sort=Most+Downloaded",
    ]


def test_no_model_is_lost_and_none_comes_twice(crawl: Crawl) -> None:
    rows = crawl(*(lora(number) for number in range(1, 41)))
    assert sorted(int(row.repo) for row in rows) == list(range(1, 41))


@pytest.mark.parametrize("order", SORTS)
def test_each_order_alone_loses_none_and_goes_on_from_every_cursor(source: Source, order: str) -> None:
    shard = f"types=LORA&sort={order}"
    with serving(*(lora(number) for number in range(1, 20))) as hub:
        pages = list(source(hub.civitai_url).pages(shard, None))
        everything = {row.repo for page in pages for row in page.rows}
        for index, page in enumerate(pages[:-1]):
            rest = {
                row.repo for more in source(hub.civitai_url).pages(shard, page.cursor) for row in more.rows
            }
            before = {row.repo for earlier in pages[: index + 1] for row in earlier.rows}
            assert before | rest == everything
    assert len(everything) == 19


def test_a_time_shared_by_more_models_than_a_page_holds_ends_the_listing_instead_of_looping(
    crawl: Crawl, source: Source
) -> None:
    same = [lora(number, published_at="2024-01-01T00:00:00.000Z") for number in range(1, 8)]
    with serving(*same) as hub:
        pages = list(source(hub.civitai_url).pages(SHARD, None))
    assert pages[-1].notes["stuck"] == 1
    assert pages[-1].cursor is None
    assert sorted(row.repo for row in crawl(*same)) == [str(number) for number in range(1, 8)]


def test_states_are_skips_and_archived_models_are_listed_too(crawl: Crawl) -> None:
    rows = crawl(lora(1, mode="Archived"), lora(2, mode="TakenDown"), lora(3, nsfw_level=16), lora(4))
    assert {row.repo: getattr(row, "reason", None) for row in rows} == {
        "1": SkipReason.ARCHIVED,
        "2": SkipReason.TAKEN_DOWN,
        "3": None,
        "4": None,
    }


def test_a_header_is_read_where_there_are_no_trigger_words(crawl: Crawl) -> None:
    rows = crawl(
        lora(1, weights(KOHYA), words=()), lora(2, weights(KOHYA)), base_models={"ab" * 32: "zoo/base"}
    )
    read, told = sorted(rows, key=lambda row: row.repo)
    assert isinstance(read, Checkpoint)
    assert isinstance(told, Checkpoint)
    assert [prompt.text for prompt in read.prompts] == ["a sks cat", "sks"]
    assert read.training.images == 4
    assert read.base
    assert (read.base.repo, read.base.grade) == ("zoo/base", Grade.DIGEST)
    assert (told.training.images, told.prompts[0].text) == (None, "sks")
    (unread,) = crawl(lora(1, weights(KOHYA), words=()), read_headers=False)
    assert isinstance(unread, Checkpoint)
    assert unread.prompts == ()


def test_only_the_header_tells_which_lycoris_a_locon_is(crawl: Crawl) -> None:
    rows = crawl(lora(1, weights(suffix="lokr_w1"), type="LoCon"), civitai_types=["LoCon"])
    (row,) = rows
    assert isinstance(row, Checkpoint)
    assert row.kind is Kind.LOKR


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (weights(width=2048), SkipReason.UNSUPPORTED_FAMILY),
        (weights(suffix="oft_diag"), SkipReason.UNSUPPORTED_KIND),
        (b"\x80\x04pickle", SkipReason.NOT_WEIGHTS),
        (weights()[:-1], SkipReason.UNSAFE_FILE),
    ],
)
def test_a_header_that_contradicts_the_label_or_is_none(
    crawl: Crawl, data: bytes, reason: SkipReason
) -> None:
    (row,) = crawl(lora(1, data, words=()))
    assert isinstance(row, Skip)
    assert (row.reason, row.revision, row.path) == (reason, "1", "a.safetensors")


def test_a_header_that_cannot_be_had_leaves_the_row_as_it_is(source: Source) -> None:
    with serving(lora(1, words=()), downloads_need_token=True) as hub:
        (page,) = source(hub.civitai_url).pages(SHARD, None)
    (row,) = page.rows
    assert isinstance(row, Checkpoint)
    assert page.notes == {"checkpoints": 1, "headers_unread": 1}


class Script:
    """Answers one request after the other, and remembers the queries."""

    def __init__(self, *answers: httpx.Response | Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.QueryParams] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.params)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def pages(self, cursor: str | None = None) -> list[Page]:
        with httpx.Client(base_url="https://civitai.test", transport=httpx.MockTransport(self)) as client:
            return list(Civitai(client, settings()).pages(SHARD, cursor))


def page(*ids: int, cursor: object = None) -> httpx.Response:
    models = [{"id": number, "type": "Other", "modelVersions": []} for number in ids]
    return httpx.Response(200, json={"items": models, "metadata": {"nextCursor": cursor} if cursor else {}})


def test_short_and_empty_pages_are_no_end() -> None:
    script = Script(page(1, cursor="a"), page(cursor="b"), page(cursor=5), page(2))
    pages = script.pages()
    assert [[row.repo for row in found.rows] for found in pages] == [["1"], [], [], ["2"]]
    assert [query.get("cursor") for query in script.asked] == [None, "a", "b", "5"]
    assert [found.cursor for found in pages] == ["a", "b", "5", None]


def test_what_is_asked_for() -> None:
    script = Script(page())
    script.pages()
    assert dict(script.asked[0]) == {
        "types": "LORA",
        "sort": "Oldest",
        "period": "AllTime",
        "nsfw": "true",
        "archived": "true",
        "limit": "3",
    }


def test_a_stored_cursor_that_is_no_longer_understood_restarts_the_listing_once() -> None:
    invalid = httpx.Response(400, json={"error": "Invalid cursor: x"})
    script = Script(invalid, page(1, cursor="y"), page(2))
    pages = script.pages("x")
    assert [query.get("cursor") for query in script.asked] == ["x", None, "y"]
    assert pages[0].notes == {"skips": 1, "restarted": 1}
    with pytest.raises(SourceError, match="Invalid cursor"):
        Script(page(1, cursor="y"), httpx.Response(400, json={"error": "Invalid cursor: y"})).pages()


def test_one_broken_model_does_not_cost_the_page() -> None:
    broken = httpx.Response(500, json={"error": "Cannot read properties of undefined"})
    script = Script(broken, page(1, cursor="a"), page(2))
    assert [row.repo for found in script.pages() for row in found.rows] == ["1", "2"]
    assert [query["limit"] for query in script.asked] == ["3", "1", "3"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(403, json={"error": "blacklisted"}), "status 403.*blacklisted"),
        (httpx.Response(429), "status 429"),
        (httpx.Response(200, text="<html>"), "no JSON"),
        (httpx.Response(200, json=[]), "no list of models"),
        (httpx.Response(200, json={"items": None}), "no list of models"),
    ],
)
def test_errors_name_the_listing_and_the_way_on(answer: httpx.Response, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        Script(answer).pages()
    assert "types=LORA&sort=Oldest" in str(caught.value)
    assert "crawl again" in str(caught.value)


def test_a_broken_connection_is_an_error_of_the_source() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(SourceError, match="ConnectError"):
        Script(broken).pages()


def test_the_whole_page_broken_for_good(source: Source) -> None:
    faults = Faults(server_error=Strike(on="civitai/api/v1/models"))
    with serving(lora(1), faults=faults) as hub, pytest.raises(SourceError, match="status 500"):
        list(source(hub.civitai_url).pages(SHARD, None))
