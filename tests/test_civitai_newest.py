"""Increments of Civitai: what "Newest" swallows at a page's end is found, wherever the walk is killed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fakes_civitai import START, BreaksOn, Script, answer, lora, numbers, serving, source, walked

from crawler.checkpoint import Page, Skip
from crawler.civitai.cursors import Place
from crawler.source import Mode

SHARD = "types=LORA&sort=Newest"


def test_an_increment_walks_each_type_once() -> None:
    with source("http://127.0.0.1:9", civitai_types=["LORA", "DoRA"]) as found:
        assert found.shards(Mode.INCREMENT) == [SHARD, "types=DoRA&sort=Newest"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 39, 40, 41, 100])
def test_no_model_is_lost_at_any_boundary(size: int) -> None:
    models = [lora(number) for number in range(1, 41)]
    with serving(*models) as hub, source(hub.civitai_url, page_size=size) as found:
        pages = list(found.pages(SHARD, None, None))
    assert numbers(pages) == set(range(1, 41))
    assert sum(page.notes.get("recovered", 0) for page in pages) == (len(pages) - 1 if size < 40 else 0)


def test_the_swallowed_are_asked_for_together() -> None:
    with serving(*(lora(number) for number in range(1, 41))) as hub, source(hub.civitai_url) as found:
        pages = list(found.pages(SHARD, None, None))
        asked = [logged for logged in hub.requests if "ids=" in str(logged)]
    assert len(pages) == 11
    assert len(asked) == 1


def test_more_than_fit_one_question_are_asked_for_on_the_way() -> None:
    with (
        serving(*(lora(number) for number in range(1, 260))) as hub,
        source(hub.civitai_url, page_size=1) as found,
    ):
        pages = list(found.pages(SHARD, None, None))
    assert numbers(pages) == set(range(1, 260))
    assert [page.notes["recovered"] for page in pages if "recovered" in page.notes] == [100, 29]


@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_walk_goes_on_from_every_stored_place(size: int) -> None:
    with (
        serving(*(lora(number) for number in range(1, 30))) as hub,
        source(hub.civitai_url, page_size=size) as found,
    ):
        pages = list(found.pages(SHARD, None, None))
        for index, page in enumerate(pages[:-1]):
            rest = numbers(found.pages(SHARD, page.cursor, None))
            assert numbers(pages[: index + 1]) | rest == set(range(1, 30))


def test_an_increment_ends_after_two_pages_of_older_versions() -> None:
    since = START + timedelta(minutes=30)
    with serving(*(lora(number) for number in range(1, 41))) as hub, source(hub.civitai_url) as found:
        pages = list(found.pages(SHARD, None, since))
    assert numbers(pages) >= set(range(30, 41))
    assert len(pages) == 5
    assert pages[-1].cursor is None


def test_one_old_page_among_new_ones_is_no_end() -> None:
    def page(*days: int, first: int, cursor: str | None = None) -> httpx.Response:
        models: list[Any] = [
            {
                "id": first + at,
                "type": "LORA",
                "modelVersions": [{"id": 1, "publishedAt": f"2024-01-{day:02}"}],
            }
            for at, day in enumerate(days)
        ]
        return httpx.Response(
            200, json={"items": models, "metadata": {"nextCursor": cursor} if cursor else {}}
        )

    pages = [
        page(1, 2, first=10, cursor="2024-01-09 00:00:00|1"),
        page(20, first=20, cursor="2024-01-08 00:00:00|2"),
        page(1, first=30, cursor="2024-01-07 00:00:00|3"),
        answer(cursor="2024-01-06 00:00:00|4"),
        page(2, first=40, cursor="2024-01-05 00:00:00|5"),
        answer(1, 2, 3, 4, 5),
    ]
    script = Script(*pages)
    with source("https://civitai.test", transport=script) as found:
        read = list(found.pages(SHARD, None, START + timedelta(days=9)))
    # The empty page said neither; the two old ones around it were the end.
    assert numbers(read) == {10, 11, 20, 30, 40, 1, 2, 3, 4, 5}
    assert script.values("ids")[-1] == "1,2,3,4,5"


def test_cursors_of_another_form_make_for_a_second_walk_that_loses_others() -> None:
    models = [lora(number) for number in range(1, 41)]
    real = httpx.HTTPTransport()

    class Disguised(httpx.BaseTransport):
        """A hub whose cursors do not tell what they were written from."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            cursor = request.url.params.get("cursor")
            if cursor:
                request.url = request.url.copy_set_param("cursor", bytes.fromhex(cursor).decode())
            content = httpx.Response(200, content=real.handle_request(request).read()).json()
            if following := content["metadata"].get("nextCursor"):
                content["metadata"]["nextCursor"] = following.encode().hex()
            return httpx.Response(200, json=content)

    with serving(*models) as hub, source(hub.civitai_url, transport=Disguised(), page_size=7) as found:
        pages = list(found.pages(SHARD, None, None))
        assert numbers(pages) == set(range(1, 41))
        assert sum(page.notes.get("second_walk", 0) for page in pages) == 1
        assert sum(page.notes.get("nameless_cursors", 0) for page in pages) > 5
        for page in pages[:-1]:
            assert list(found.pages(SHARD, page.cursor, None))[-1].cursor is None
    real.close()


def test_a_swallowed_model_that_breaks_the_hub_is_named() -> None:
    with (
        serving(*(lora(number) for number in range(1, 20))) as hub,
        # 16 is swallowed behind 19, 18, 17.
        source(hub.civitai_url, transport=BreaksOn(16)) as found,
    ):
        pages = list(found.pages(SHARD, None, None))
    assert numbers(pages) == set(range(1, 20)) - {16}
    assert [row.repo for page in pages for row in page.rows if isinstance(row, Skip)] == ["16"]


@pytest.mark.parametrize("broken", [19, 18, 7, 1])
def test_a_broken_model_on_a_page_is_stepped_over(broken: int) -> None:
    with (
        serving(*(lora(number) for number in range(1, 20))) as hub,
        source(hub.civitai_url, transport=BreaksOn(broken)) as found,
    ):
        pages = list(found.pages(SHARD, None, None))
    lost = set(range(1, 20)) - numbers(pages)
    # The step may be four times as wide as it must be: the full pass has the rest.
    assert broken in lost
    assert len(lost) <= 5


def test_a_stored_place_survives_being_written_down() -> None:
    place = Place(cursor="2024-01-01 00:00:00|7", owed=(3, 4), nameless=True, again=False)
    assert Place.read(place.text()) == place
    for text in (None, "", "x", "[]", "5", "[1, 2, 3, 4]", '["a", ["b"], 0, 0]', '["a", [true], 0, 0]'):
        assert Place.read(text) == Place()


def test_a_stored_cursor_that_is_no_longer_understood_keeps_what_is_owed() -> None:
    invalid = httpx.Response(400, json={"error": "Invalid cursor"})
    script = Script(invalid, answer(9), answer(7))
    place = Place(cursor="old", owed=(7,))
    with source("https://civitai.test", transport=script) as found:
        (page,) = found.pages(SHARD, place.text(), None)
    assert numbers([page]) == {9, 7}
    assert page.notes["restarted"] == 1


def test_an_increment_and_a_full_pass_name_the_same_things() -> None:
    def listed(pages: list[Page]) -> set[tuple[str, str]]:
        return {(listing.number, listing.revision) for page in pages for listing in page.listings}

    with serving(*(lora(number) for number in range(1, 20))) as hub, source(hub.civitai_url) as found:
        assert listed(walked(found, Mode.INCREMENT)) == listed(walked(found, Mode.FULL))
