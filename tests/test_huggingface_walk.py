"""Walks over one listing of the Hugging Face Hub: cursors, increments, and all that can go wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fakes_huggingface import Listing, link, model, names
from huggingface_hub.utils import httpx as hub_httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawler.huggingface.rows import BARE, EXPAND
from crawler.huggingface.walk import MAX_EMPTY
from crawler.source import SourceError

ALL = [model(number) for number in range(1, 12)]
NEWEST_FIRST = [f"me/m{number}" for number in range(11, 0, -1)]


def test_pages_come_newest_first_with_exactly_the_fields_that_are_used() -> None:
    hub = Listing(ALL)
    pages = hub.walk()
    assert names(pages) == NEWEST_FIRST
    assert [len(page.rows) for page in pages] == [3, 3, 3, 2]
    assert [page.cursor is None for page in pages] == [False, False, False, True]
    assert {tuple(request.url.params.get_list("expand")) for request in hub.asked} == {EXPAND}
    assert {request.url.params["sort"] for request in hub.asked} == {"createdAt"}
    assert not [page.notes for page in pages if page.notes]


def test_a_cursor_names_neither_the_host_nor_what_we_asked_for() -> None:
    cursor = Listing(ALL).walk()[0].cursor
    assert cursor
    assert cursor.startswith("cursor=")
    assert "&" not in cursor


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.integers(0, 5), min_size=1, max_size=25),
    sizes=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    killed_after=st.integers(1, 25),
    increment=st.booleans(),
)
def test_any_content_any_page_size_and_any_kill_lose_nothing(
    times: list[int], sizes: tuple[int, int], killed_after: int, increment: bool
) -> None:
    """Many rows share their date, and the walk goes on with another page size."""
    rows = [model(number, changed=time) for number, time in enumerate(times)]
    for row, time in zip(rows, times, strict=True):
        row["createdAt"] = f"2024-01-01T00:00:0{time}.000Z"
    hub = Listing(rows)
    since = datetime(2020, 1, 1, tzinfo=UTC) if increment else None
    begun = hub.pages(page_size=sizes[0], since=since)
    first = [page for _, page in zip(range(killed_after), begun, strict=False)]
    rest = hub.walk(first[-1].cursor, page_size=sizes[1], since=since) if first[-1].cursor else []
    assert sorted(names([*first, *rest])) == sorted(row["id"] for row in rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.integers(0, 30), min_size=1, max_size=25),
    since=st.integers(0, 30),
    size=st.integers(1, 7),
)
def test_an_increment_gives_all_that_changed_since_and_ends_soon(
    changes: list[int], since: int, size: int
) -> None:
    hub = Listing([model(number, changed=change) for number, change in enumerate(changes)])
    pages = hub.walk(page_size=size, since=datetime(2024, 1, 1, 0, 0, since, tzinfo=UTC))
    due = {f"me/m{number}" for number, change in enumerate(changes) if change >= since}
    assert due <= set(names(pages))
    assert len(names(pages)) <= len(due) + size
    assert pages[-1].cursor is None


def test_rows_without_a_date_do_not_end_an_increment() -> None:
    rows = [model(3), model(2, lastModified="soon"), model(1, lastModified=None)]
    # By its key the undated text sorts first; a list ends only behind a date.
    pages = Listing(rows).walk(page_size=1, since=datetime(2030, 1, 1, tzinfo=UTC))
    assert names(pages) == ["me/m2", "me/m3"]


def test_rows_that_come_and_go_take_none_of_the_others_along() -> None:
    hub = Listing(ALL)
    found = []
    for page in hub.pages():
        found += [row["id"] for row in page.rows]
        hub.rows = [row for row in hub.rows if row["id"] not in ("me/m9", "me/m5")] + [model(90 + len(found))]
    assert [name for name in found if name not in ("me/m9", "me/m5")] == [
        name for name in NEWEST_FIRST if name not in ("me/m9", "me/m5")
    ]


@pytest.mark.parametrize("back", [1, 2, 3])
def test_a_walk_that_goes_in_circles_ends_with_an_error(back: int) -> None:
    cursors: list[str] = []

    def loop(request: Any, answer: Any) -> Any:
        cursors.append(request.url.params.get("cursor", ""))
        if len(cursors) <= back:
            return answer
        return hub_httpx.Response(200, json=answer.json(), headers=link(request, cursors[1] or "x"))

    hub = Listing(ALL, loop)
    with pytest.raises(SourceError, match="circles"):
        hub.walk(page_size=1)
    assert len(hub.asked) <= back + 3


def test_a_repeated_cursor_is_asked_for_once_more_before_it_counts() -> None:
    struck = []

    def once(request: Any, answer: Any) -> Any:
        cursor = request.url.params.get("cursor")
        if cursor and not struck:
            struck.append(cursor)
            return hub_httpx.Response(200, json=answer.json(), headers=link(request, cursor))
        return answer

    assert names(Listing(ALL, once).walk()) == NEWEST_FIRST


def test_empty_and_short_pages_are_no_end() -> None:
    def thin(request: Any, answer: Any) -> Any:
        rows = answer.json()
        kept = [row for row in rows if int(row["_id"], 16) % 4 == 0]
        return hub_httpx.Response(200, json=kept, headers={"Link": answer.headers.get("Link", "")})

    pages = Listing(ALL, thin).walk(page_size=2)
    assert names(pages) == ["me/m8", "me/m4"]
    assert sum(page.notes.get("empty_pages", 0) for page in pages) == 4


def test_empty_pages_without_end_are_an_error() -> None:
    count = iter(range(10**6))

    def endless(request: Any, answer: Any) -> Any:
        return hub_httpx.Response(200, json=[], headers=link(request, f"c{next(count)}"))

    hub = Listing(ALL, endless)
    with pytest.raises(SourceError, match="empty pages"):
        hub.walk()
    assert len(hub.asked) == MAX_EMPTY + 1


def test_a_cursor_that_is_refused_makes_the_listing_begin_anew_once() -> None:
    pages = Listing(ALL).walk("cursor=old")
    assert names(pages) == NEWEST_FIRST
    assert [page.notes for page in pages] == [{"begun_again": 1}, {}, {}, {}]


def test_a_hub_that_refuses_every_cursor_is_an_error() -> None:
    def refuse(request: Any, answer: Any) -> Any:
        refused = hub_httpx.Response(400, json={"error": "Invalid cursor"})
        return refused if "cursor" in request.url.params else answer

    hub = Listing(ALL, refuse)
    with pytest.raises(SourceError, match="refused"):
        hub.walk()
    assert len(hub.asked) == 4


def test_a_query_that_is_refused_is_an_error_that_says_what_the_hub_said() -> None:
    said = "Invalid option: expected one of author"
    hub = Listing(ALL, lambda request, answer: hub_httpx.Response(400, json={"error": said}))
    with pytest.raises(SourceError, match=said):
        hub.walk()


def damaged(request: Any, answer: Any) -> Any:
    """500 for every page that shows model 6 with all of its fields."""
    whole = len(request.url.params.get_list("expand")) > len(BARE)
    if whole and any(row["id"] == "me/m6" for row in answer.json()):
        return hub_httpx.Response(500, json={"error": "Internal"})
    return answer


@pytest.mark.parametrize("page_size", [1, 2, 7, 100])
def test_one_damaged_row_costs_no_other(page_size: int) -> None:
    pages = Listing(ALL, damaged).walk(page_size=page_size)
    assert names(pages) == NEWEST_FIRST
    (bare,) = [row for page in pages for row in page.rows if "tags" not in row]
    assert bare["id"] == "me/m6"
    assert sum(page.notes.get("damaged_rows", 0) for page in pages) == 1


def test_a_card_that_no_parser_takes_costs_no_other() -> None:
    def deep(request: Any, answer: Any) -> Any:
        rows = answer.json()
        if not any(row["id"] == "me/m6" and "tags" in row for row in rows):
            return answer
        body = '[{"cardData": ' + "[" * 100_000 + "]" * 100_000 + "}]"
        headers = {"Link": answer.headers.get("Link", ""), "Content-Type": "application/json"}
        return hub_httpx.Response(200, text=body, headers=headers)

    pages = Listing(ALL, deep).walk(page_size=100)
    assert names(pages) == NEWEST_FIRST


def test_a_hub_that_fails_at_everything_is_an_error() -> None:
    hub = Listing(ALL, lambda request, answer: hub_httpx.Response(500, json={"error": "Internal"}))
    with pytest.raises(SourceError, match="one row can not be had: status 500"):
        hub.walk(page_size=1000)
    assert len(hub.asked) < 10


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (hub_httpx.Response(200, html="<h1>Log in</h1>"), "text/html.*huggingface_url"),
        (hub_httpx.Response(200, json={"error": "x"}), "no list"),
        (hub_httpx.Response(200, json=[], headers={"Link": '<http://hub.test/x>; rel="next"'}), "no cursor"),
        (hub_httpx.Response(503), "crawl again"),
        (
            hub_httpx.Response(
                401, headers={"X-Error-Message": "Invalid credentials in Authorization header"}
            ),
            "HF_TOKEN",
        ),
    ],
)
def test_answers_that_are_no_listing(answer: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        Listing(ALL, lambda request, right: answer).walk()


def test_a_broken_connection_is_an_error_that_says_how_to_go_on() -> None:
    def cut(request: Any, answer: Any) -> Any:
        raise hub_httpx.ConnectError("refused")

    with pytest.raises(SourceError, match="goes on from this page"):
        Listing(ALL, cut).walk()
