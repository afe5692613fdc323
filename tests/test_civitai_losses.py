"""Whatever a hub holds, and wherever the walk is killed: nothing is lost, and little is asked twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fakes_civitai import START, lora, numbers, serving, source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawler.civitai import Civitai
from crawler.source import Mode
from leaksweep.hub.content import CivitaiModel, HubContent
from leaksweep.hub.serve import LocalHub

quickly = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LABELS = ("SD 1.5", "SDXL 1.0", "Never Heard Of")


@st.composite
def contents(draw: st.DrawFn, latest: int) -> list[CivitaiModel]:
    """Models with few distinct times and counters, so that many are equal, and some that no page shows."""
    ids = draw(st.lists(st.integers(1, 60), unique=True, max_size=18))
    return [
        lora(
            number,
            minutes=draw(st.integers(0, latest)),
            downloads=draw(st.integers(0, 3)),
            base_model=draw(st.sampled_from(LABELS)),
            nsfw_level=draw(st.sampled_from((1, 16))),
            mode=draw(st.sampled_from((None, None, "Archived", "TakenDown"))),
        )
        for number in ids
    ]


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with serving() as running:
        yield running


def killed(url: str, mode: Mode, size: int, kills: list[int], since_minute: int | None = None) -> set[int]:
    """Models found by a walk that is killed after so many pages, again and again, and goes on each time.

    The page on its way when it is killed was not committed, so that it is asked for again.
    """
    since = None if since_minute is None else START + timedelta(minutes=since_minute)
    found: set[int] = set()
    with source(url, page_size=size) as first:
        shards = first.shards(mode)
    for shard in shards if mode is Mode.INCREMENT else [shard for shard in shards if _is_ours(shard)]:
        cursor, left = None, list(kills)
        while True:
            with source(url, page_size=size) as again:
                done, cursor = _some(again, shard, cursor, since, left.pop() if left else None, found)
            if done:
                break
    return found


def _some(
    civitai: Civitai, shard: str, cursor: str | None, since: object, count: int | None, found: set[int]
) -> tuple[bool, str | None]:
    for read, page in enumerate(civitai.pages(shard, cursor, since)):  # type: ignore[arg-type]
        if count is not None and read >= count:
            return False, cursor
        found |= numbers([page])
        cursor = page.cursor
    return True, None


def _is_ours(shard: str) -> bool:
    """Of the hub's many base models, those that the models of this test have."""
    return "baseModels" not in shard or any(label.replace(" ", "+") in shard for label in LABELS)


kill_points = st.lists(st.integers(0, 4), max_size=4)


@quickly
@given(content=contents(latest=6), size=st.integers(1, 7), kills=kill_points)
def test_a_full_pass_finds_every_model(
    hub: LocalHub, content: list[CivitaiModel], size: int, kills: list[int]
) -> None:
    hub.publish(HubContent(civitai=tuple(content)))
    known = [model.id for model in content if model.versions[0].base_model != "Never Heard Of"]
    found = killed(hub.civitai_url, Mode.FULL, size, kills)
    assert found >= set(known)
    # What has a base model that the hub does not name is listed by its age alone.
    assert found <= {model.id for model in content}


@quickly
@given(content=contents(latest=40), size=st.integers(1, 7), kills=kill_points, since=st.integers(0, 40))
def test_an_increment_finds_every_new_model(
    hub: LocalHub, content: list[CivitaiModel], size: int, kills: list[int], since: int
) -> None:
    hub.publish(HubContent(civitai=tuple(content)))
    new = {model.id for model in content if model.versions[0].published_at >= _minute(since)}
    assert killed(hub.civitai_url, Mode.INCREMENT, size, kills, since) >= new


@quickly
@given(content=contents(latest=10_000), size=st.integers(1, 7), kills=kill_points)
def test_by_age_alone_every_model_is_found_where_no_time_fills_a_page(
    hub: LocalHub, content: list[CivitaiModel], size: int, kills: list[int]
) -> None:
    hub.publish(HubContent(civitai=tuple(content)))
    by_time: dict[str, int] = {}
    for model in content:
        by_time[model.last_version_at] = by_time.get(model.last_version_at, 0) + 1
    if max(by_time.values(), default=0) <= size:
        assert killed(hub.civitai_url, Mode.FULL, size, kills) == {model.id for model in content}


def _minute(number: int) -> str:
    moment = START + timedelta(minutes=number)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
