"""Synthetic catalogs: every order complete and exact, rows that follow from their number, true files."""

from __future__ import annotations

import argparse
import hashlib
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from math import gcd

import httpx
import pytest
from fakes_hub import models, repos
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from leaksweep.hub import ONCE, HubProcess, LocalHub, Strike, Synthetic
from leaksweep.hub.__main__ import fault
from leaksweep.hub.huggingface_listing import SORTS, page, sort_key
from leaksweep.hub.huggingface_rows import Served
from leaksweep.hub.process import HubProcessError
from leaksweep.hub.shelf import Ranking, Shelf
from leaksweep.hub.synthetic_huggingface import SyntheticHuggingFace

ROWS = 2000
LISTED = "nsfw=true&archived=true"


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub(synthetic=Synthetic(repos=ROWS, models=ROWS, seed=7)) as hub:
        yield hub


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_of_hugging_face_is_complete_and_descending(hub: LocalHub, sort: str) -> None:
    rows = repos(hub, f"sort={sort}&limit=300&expand={sort}")
    values = [row[sort] for row in rows]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) < len(values), "some rows share a value"
    ids = [row["_id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert set(ids) == set(hub.repo_changes.throughout())


def test_a_filter_finds_what_it_should(hub: LocalHub) -> None:
    rows = repos(hub, "expand=tags&limit=1000")
    base = "base_model:stabilityai/stable-diffusion-xl-base-1.0"
    for tags in (["lora"], ["diffusers", "text-to-image"], [base], ["diffusers:FluxPipeline"], ["none"]):
        query = "&".join(f"filter={tag}" for tag in tags)
        wanted = {row["_id"] for row in rows if set(tags) <= set(row["tags"])}
        found = [row["_id"] for row in repos(hub, f"{query}&limit=70")]
        assert len(found) == len(wanted)
        assert set(found) == wanted
        assert set(hub.repo_changes.throughout(query)) == wanted


def test_a_fine_tune_of_a_fine_tune_is_found_by_its_base(hub: LocalHub) -> None:
    rows = repos(hub, "expand=tags&expand=baseModels&limit=1000")
    chained = next(row for row in rows if "studio" in str(row.get("baseModels")))
    base = chained["baseModels"]["models"][0]["id"]
    found = repos(hub, f"filter=base_model:{base}")
    assert chained["_id"] in {row["_id"] for row in found}
    assert chained["_id"] in hub.repo_changes.throughout(f"filter=base_model:{base}")


def test_a_row_is_the_same_however_it_is_asked_for(hub: LocalHub) -> None:
    fields = ("sha", "tags", "cardData", "createdAt", "lastModified", "downloads", "siblings", "gated")
    query = "&".join(f"expand={field}" for field in fields)
    with httpx.Client() as client:
        for row in repos(hub, f"{query}&limit=1000")[::97]:
            assert client.get(f"{hub.url}/api/models/{row['id']}?{query}").json() == row


def test_a_renamed_repository_redirects_and_so_does_one_that_was_replaced(hub: LocalHub) -> None:
    served = next(
        row for row in map(SyntheticHuggingFace(ROWS, 7).make, range(ROWS)) if row.repo.renamed_from
    )
    with httpx.Client() as client:
        answer = client.get(f"{hub.url}/api/models/{served.repo.renamed_from[0]}")
        assert (answer.status_code, answer.headers["location"]) == (307, f"/api/models/{served.repo.id}")
        replaced = client.get(f"{hub.url}/api/models/runwayml/stable-diffusion-v1-5")
        assert replaced.headers["location"].endswith("/stable-diffusion-v1-5/stable-diffusion-v1-5")
        assert client.get(f"{hub.url}/api/models/studio77/no-such-lora-77").status_code == 401


def test_weights_are_what_the_hub_says_of_them(hub: LocalHub) -> None:
    api = HfApi(endpoint=hub.url, token=False)
    row = next(row for row in repos(hub, "filter=lora&expand=siblings&expand=gated") if row["gated"] is False)
    name = next(file["rfilename"] for file in row["siblings"] if file["rfilename"].endswith(".safetensors"))
    header = api.parse_safetensors_file_metadata(row["id"], name)
    assert header.metadata["ss_network_module"]
    (entry,) = api.get_paths_info(row["id"], name)
    with httpx.Client(follow_redirects=True) as client:
        content = client.get(f"{hub.url}/{row['id']}/resolve/main/{name}").content
    assert (entry.size, entry.lfs.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_exact_orders_of_civitai(hub: LocalHub) -> None:
    wanted = hub.model_changes.throughout(LISTED)
    for sort in ("Most Downloaded", "Highest Rated"):
        ids = [str(row["id"]) for row in models(hub, f"sort={sort}&{LISTED}")]
        assert len(ids) == len(set(ids))
        assert set(ids) == set(wanted)


def test_newest_loses_models_and_oldest_repeats_some(hub: LocalHub) -> None:
    wanted = set(hub.model_changes.throughout(LISTED))
    newest = [str(row["id"]) for row in models(hub, f"sort=Newest&limit=50&{LISTED}")]
    assert len(newest) == len(set(newest))
    pages = ROWS // 50
    assert pages // 2 < len(wanted - set(newest)) <= pages
    oldest = [str(row["id"]) for row in models(hub, f"sort=Oldest&limit=50&{LISTED}")]
    assert set(oldest) == wanted
    assert len(oldest) > len(wanted)


def test_oldest_leads_in_a_circle_where_more_than_a_page_share_a_date() -> None:
    with LocalHub(synthetic=Synthetic(models=500, ties=120)) as hub, httpx.Client() as client:
        answer = client.get(f"{hub.civitai_url}/api/v1/models?sort=Oldest&limit=50").json()
        again = client.get(answer["metadata"]["nextPage"]).json()
        assert again["metadata"]["nextCursor"] == answer["metadata"]["nextCursor"]


def test_civitai_filters_and_looks_up(hub: LocalHub) -> None:
    rows = models(hub, f"sort=Most Downloaded&{LISTED}")
    wanted = {row["id"] for row in rows if row["type"] == "LORA" and "Flux.1 D" in row["baseModels"]}
    found = models(hub, f"sort=Most Downloaded&types=LORA&baseModels=Flux.1 D&limit=20&{LISTED}")
    assert {row["id"] for row in found} == wanted
    some = sorted(wanted)[:5]
    ids = ",".join(map(str, some))
    assert sorted(row["id"] for row in models(hub, f"ids={ids},99999999&{LISTED}")) == some
    version = found[0]["modelVersions"][0]
    with httpx.Client(follow_redirects=True, base_url=hub.civitai_url) as client:
        assert client.get(f"/api/v1/model-versions/{version['id']}").json()["modelId"] == found[0]["id"]
        (file,) = version["files"]
        content = client.get(f"/api/download/models/{version['id']}").content
        digest = hashlib.sha256(content).hexdigest().upper()
        assert file["hashes"].get("SHA256", digest) == digest
        assert client.get(f"/api/v1/model-versions/by-hash/{digest}").json()["id"] == version["id"]


@given(st.data())
def test_a_ranking_lists_every_row_once_in_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    ranking = Ranking(
        count=count,
        ties=data.draw(st.integers(1, 7)),
        multiplier=data.draw(st.integers(1, count).filter(lambda number: gcd(number, count) == 1)),
        offset=data.draw(st.integers(0, count)),
        descending=(descending := data.draw(st.booleans())),
        value=lambda group: -5 * group if descending else 5 * group,
        tie=lambda index: index,
    )
    rows = list(ranking.after((), lambda index: True))
    assert rows == sorted(rows)
    assert {index for _, index in rows} == set(range(count))
    assert all(ranking.value(ranking.group(index)) == key[0] for key, index in rows)
    start = (data.draw(st.integers(-310, 310)), data.draw(st.integers(-1, 60)))
    assert list(ranking.after(start, lambda index: True)) == [pair for pair in rows if pair[0] >= start]


class Counting(SyntheticHuggingFace):
    """Counts the rows that are made."""

    made = 0

    def make(self, index: int) -> Served:
        self.made += 1
        return super().make(index)


@pytest.mark.parametrize("sort", SORTS)
def test_a_page_in_the_middle_of_a_million_costs_a_page(sort: str) -> None:
    rows = Counting(1_000_000, 7)
    shelf = Shelf({sort: sort_key(sort) for sort in SORTS}, lambda row: row.repo.names, rows)
    start = sort_key(sort)(rows.make(500_000))
    assert page(shelf, QueryParams(f"limit=10&sort={sort}"))[1]
    rows.made = 0
    tracemalloc.start()
    found = [row for _, row in islice(shelf.walk(sort, start, QueryParams()), 200)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 200
    assert rows.made <= 201
    assert peak < 4 * 2**20
    keys = [sort_key(sort)(row) for row in found]
    assert keys == sorted(keys)


def test_a_hub_in_a_process_of_its_own() -> None:
    with HubProcess(synthetic=1_000_000, seed=7) as hub, httpx.Client() as client:
        assert hub.pid
        rows = client.get(f"{hub.url}/api/models?sort=createdAt&limit=2").json()
        assert rows[0]["id"].endswith("-999999")
        assert client.get(f"{hub.civitai_url}/api/v1/models?sort=Newest&limit=1").json()["items"]
        hub.change("insert", 3)
        newest = client.get(f"{hub.url}/api/models?sort=createdAt&limit=4").json()
        assert [row["id"].startswith("newcomer") for row in newest] == [True, True, True, False]
    assert not hub.pid
    with pytest.raises(httpx.ConnectError):
        httpx.get(hub.url)


def test_a_hub_that_cannot_start_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HubProcessError, match="--fault nonsense"):
        HubProcess(arguments=("--fault", "nonsense")).start()
    assert "no fault 'nonsense'; there are too_many_requests" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["nonsense", "cut_body=often"])
def test_a_fault_that_is_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"there are|must be a number"):
        fault(text)


def test_a_fault_with_a_chance() -> None:
    assert fault("cut_body") == ("cut_body", ONCE)
    assert fault("cut_body=0.25") == ("cut_body", Strike(chance=0.25))


def test_a_process_changes_its_rows_when_it_is_told() -> None:
    with HubProcess(synthetic=1000, seed=7) as hub, httpx.Client() as client:
        query = {"sort": "lastModified", "limit": "30", "expand": "lastModified"}

        def newest() -> list[str]:
            rows = client.get(f"{hub.url}/api/models", params=query).json()
            return [row["lastModified"] for row in rows]

        before = newest()
        hub.change("edit", 10)
        after = newest()
    assert sum(date > before[0] for date in after) == 10
