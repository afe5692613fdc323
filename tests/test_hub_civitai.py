"""The local hub's Civitai side, spoken to by plain httpx."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from leaksweep.hub import (
    CivitaiFile,
    CivitaiModel,
    CivitaiVersion,
    ContentError,
    Faults,
    HubContent,
    Limits,
    LocalHub,
    Strike,
)
from leaksweep.hub.__main__ import example, main

HEADER = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + b"\1\2\3\4"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def weights(file_id: int, **more: Any) -> CivitaiFile:
    return CivitaiFile(**{"id": file_id, "name": f"f{file_id}.safetensors", "content": WEIGHTS} | more)


def version(version_id: int, *files: CivitaiFile, **more: Any) -> CivitaiVersion:
    files = files or (weights(10 * version_id),)
    return CivitaiVersion(**{"id": version_id, "name": "v1", "base_model": "SD 1.5", "files": files, **more})


def model(model_id: int, *versions: CivitaiVersion, **more: Any) -> CivitaiModel:
    versions = versions or (version(10 * model_id),)
    return CivitaiModel(
        **{"id": model_id, "name": f"model {model_id}", "type": "LORA", "versions": versions, **more}
    )


TWO_FILES = version(
    20,
    weights(201),
    weights(202, content=b"\x80\x02.", name="f.ckpt", format="PickleTensor", primary=False, hashed=False),
    trained_words=("sks cat",),
    published_at="2024-05-01T00:00:00.000Z",
)
MODELS = (
    model(1, tags=("cat",)),
    model(2, TWO_FILES, type="Checkpoint", thumbs_up=9),
    model(3, mode="Archived"),
    model(4, mode="TakenDown", nsfw=True, nsfw_level=16),
    model(5, poi=True),
    model(6, version(60, usage_control="Generation")),
    model(7, version(70, availability="EarlyAccess")),
    model(8, nsfw_level=0),
    model(9, version(90, availability="Private"), availability="Private"),
)


def serve(*models: CivitaiModel, **more: Any) -> LocalHub:
    return LocalHub(HubContent(civitai=models or MODELS), **more)


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with serve(civitai_tokens={"member"}) as running:
        yield running


@pytest.fixture(scope="module")
def client(hub: LocalHub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hub.civitai_url) as opened:
        yield opened


def pages(client: httpx.Client, **query: Any) -> Iterator[dict[str, Any]]:
    """Yield pages until there is no next."""
    url = str(client.base_url.join("/api/v1/models").copy_merge_params(query))
    while url:
        page = client.get(url).raise_for_status().json()
        yield page
        url = page["metadata"].get("nextPage")


def ids(client: httpx.Client, **query: Any) -> list[int]:
    return [item["id"] for page in pages(client, **query) for item in page["items"]]


def walk(models: tuple[CivitaiModel, ...], **query: Any) -> list[int]:
    with serve(*models) as hub, httpx.Client(base_url=hub.civitai_url) as client:
        return ids(client, **query)


def dated(count: int, per_day: int = 1) -> tuple[CivitaiModel, ...]:
    return tuple(
        model(n, version(n, published_at=f"2024-01-{1 + n // per_day:02}T10:00:00.500Z"), downloads=n % 3)
        for n in range(1, count + 1)
    )


@pytest.mark.parametrize("sort", ["Highest Rated", "Most Downloaded"])
def test_sorts_by_statistics_are_exact(sort: str) -> None:
    found = walk(dated(23), sort=sort, limit=5)
    assert sorted(found) == list(range(1, 24))


def test_newest_loses_the_first_model_after_each_page() -> None:
    found = walk(dated(23), sort="Newest", limit=5)
    assert found == [23, 22, 21, 20, 19, 17, 16, 15, 14, 13, 11, 10, 9, 8, 7, 5, 4, 3, 2, 1]


def test_the_lost_model_stands_in_the_cursor() -> None:
    with serve(*dated(23)) as hub, httpx.Client(base_url=hub.civitai_url) as client:
        first = next(pages(client, sort="Newest", limit=5))
        assert first["metadata"]["nextCursor"] == "2024-01-19 10:00:00.5|18"
        assert sorted(ids(client, ids="18,6,12")) == [6, 12, 18]


def test_oldest_repeats_models_of_the_same_time() -> None:
    found = walk(dated(20, per_day=4), sort="Oldest", limit=6)
    assert set(found) == set(range(1, 21))
    assert len(found) > 20


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=101", 400),
        ("limit=-1", 400),
        ("limit=few", 400),
        ("page=0", 400),
        ("limit=100&page=11", 429),
        ("page=2&query=cat", 400),
        ("types=Lora", 400),
        ("types=LORA,Checkpoint", 400),
        ("sort=Best", 400),
        ("cursor=2024-01-19 10:00:00.5|18", 400),
        ("sort=Newest&cursor=1|2|3", 400),
        ("sort=Oldest&cursor=|18", 400),
        ("query=model&cursor=first", 400),
        ("favorites=false", 401),
        ("hidden=", 401),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(client: httpx.Client, query: str, status: int) -> None:
    response = client.get(f"/api/v1/models?{query}")
    assert response.status_code == status
    assert response.json()["error"]


def test_pages_by_number(client: httpx.Client) -> None:
    page = client.get("/api/v1/models?limit=2&page=2").json()
    assert page["metadata"]["currentPage"] == 2
    assert [item["id"] for item in page["items"]] == [6]
    assert client.get("/api/v1/models?limit=0").json()["items"] == []


def test_what_is_listed(client: httpx.Client) -> None:
    assert ids(client) == [2, 1, 6]
    assert ids(client, nsfw="true") == [2, 1, 4, 6]
    assert ids(client, archived="yes") == [2, 1, 3, 6]
    assert ids(client, ids="1,3,5,7,8") == [1, 7]
    assert ids(client, types=["Checkpoint", "DoRA"]) == [2]
    assert ids(client, baseModels=["SDXL 1.0"]) == []
    assert ids(client, tag="cat") == [1]
    assert ids(client, username="nobody") == []
    assert client.get("/api/v1/models?favorites=true", headers={"Authorization": "Bearer member"}).is_success


def test_a_page_may_be_empty_with_more_to_come() -> None:
    early = tuple(model(n, version(n, availability="EarlyAccess"), thumbs_up=5) for n in (1, 2))
    with serve(*early, model(3)) as hub, httpx.Client(base_url=hub.civitai_url) as client:
        found = list(pages(client, limit=2))
        assert [len(page["items"]) for page in found] == [0, 1]


def test_a_search_pages_by_offset(client: httpx.Client) -> None:
    first = client.get("/api/v1/models?query=MODEL&limit=2").json()
    assert first["metadata"]["nextCursor"] == "2"
    assert ids(client, query="model 6") == [6]


def test_the_shape_of_a_list_item(client: httpx.Client) -> None:
    (item,) = client.get("/api/v1/models?ids=2").json()["items"]
    assert item["allowCommercialUse"] == "{Image,RentCivit}"
    assert not {"createdAt", "publishedAt", "mode"} & item.keys()
    (shown,) = item["modelVersions"]
    primary, other = shown["files"]
    assert primary["primary"] is True
    assert primary["hashes"]["SHA256"] == SHA256.upper()
    assert primary["hashes"]["AutoV3"] == hashlib.sha256(b"\1\2\3\4").hexdigest()[:12].upper()
    assert "AutoV1" not in primary["hashes"]
    assert primary["sizeKB"] * 1024 == len(WEIGHTS)
    assert "primary" not in other
    assert (other["hashes"], other["pickleScanResult"], other["scannedAt"]) == ({}, "Pending", None)


def test_archived_and_taken_down_models_differ(client: httpx.Client) -> None:
    (archived,) = client.get("/api/v1/models?ids=3&archived=1").json()["items"]
    (taken_down,) = client.get("/api/v1/models?ids=4&nsfw=true").json()["items"]
    assert (archived["mode"], taken_down["mode"]) == ("Archived", "TakenDown")
    assert archived["modelVersions"][0]["files"] == []
    assert "downloadUrl" not in archived["modelVersions"][0]
    assert taken_down["modelVersions"][0]["images"] == []
    assert taken_down["modelVersions"][0]["files"]


def test_by_id_empty_lists_vanish(client: httpx.Client) -> None:
    shown = client.get("/api/v1/models/3").json()["modelVersions"][0]
    assert not {"files", "trainedWords", "description"} & shown.keys()
    assert client.get("/api/v1/models/2").json()["modelVersions"][0]["trainedWords"] == ["sks cat"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("models/99", 404, "No model with id 99"),
        ("models/5", 404, "No model with id 5"),
        ("model-versions/99", 404, "Model not found"),
        ("model-versions/by-hash/ABCDEF", 404, "Model not found"),
        ("me", 401, "Unauthorized"),
    ],
)
def test_what_is_not_there(client: httpx.Client, path: str, status: int, error: str) -> None:
    response = client.get(f"/api/v1/{path}")
    assert (response.status_code, response.json()["error"]) == (status, error)


@pytest.mark.parametrize("path", ["models/x", "models/0", "models/2147483648", "model-versions/-1"])
def test_an_id_is_a_number_in_range(client: httpx.Client, path: str) -> None:
    assert client.get(f"/api/v1/{path}").status_code == 400


def test_a_wrong_path_gives_a_page_in_html(client: httpx.Client) -> None:
    response = client.get("/api/v1/model")
    assert (response.status_code, response.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_a_version_tells_its_model(client: httpx.Client) -> None:
    shown = client.get("/api/v1/model-versions/20").json()
    assert (shown["modelId"], shown["model"]["type"], shown["usageControl"]) == (2, "Checkpoint", "Download")
    assert [file["primary"] for file in shown["files"]] == [True, False]


def test_by_hash_the_oldest_version_wins_whatever_the_case(client: httpx.Client) -> None:
    for text in (SHA256, SHA256.upper(), SHA256[:10]):
        assert client.get(f"/api/v1/model-versions/by-hash/{text}").json()["id"] == 10
    with serve(replace(MODELS[1]), model(9)) as hub:
        found = httpx.get(f"{hub.civitai_url}/api/v1/model-versions/by-hash/{SHA256}").json()
        assert found["id"] == 90


def test_by_hash_in_bulk(client: httpx.Client) -> None:
    path = "/api/v1/model-versions/by-hash"
    asked = [SHA256.upper(), "0" * 64]
    (shown,) = client.post(path, json=asked).json()
    assert shown["downloadUrl"].startswith("https://undefined/")
    expected = [{"modelVersionId": 10, "modelId": 1, "hash": SHA256.upper()}]
    assert client.post(f"{path}/ids", json=asked).json() == expected
    for wrong in (["0" * 63], ["0" * 64] * 101, "text", [1]):
        assert client.post(path, json=wrong).status_code == 400
    assert client.post(path, content="no json").status_code == 400


def test_enums_and_me(client: httpx.Client) -> None:
    assert "LoCon" in client.get("/api/v1/enums").json()["ModelType"]
    assert (
        client.get("/api/v1/me", headers={"Authorization": "Bearer member"}).json()["username"] == "someone"
    )
    assert client.get("/api/v1/me?token=member").is_success


def test_a_download_is_a_redirect_to_the_storage(hub: LocalHub, client: httpx.Client) -> None:
    response = client.get("/api/download/models/10")
    assert response.status_code == 307
    assert response.headers["location"].startswith(hub.storage_url)
    body = httpx.get(response.headers["location"], headers={"Range": "bytes=-4"})
    assert (body.status_code, body.content) == (206, b"\1\2\3\4")
    assert "f100.safetensors" in body.headers["content-disposition"]


def test_the_token_does_not_follow_the_redirect() -> None:
    headers = {"Authorization": "Bearer member"}
    with (
        serve() as hub,
        httpx.Client(base_url=hub.civitai_url, headers=headers, follow_redirects=True) as client,
    ):
        assert client.get("/api/download/models/10").content == WEIGHTS
        assert [entry.authorized for entry in hub.requests] == [True, False]


def test_the_download_url_of_a_second_file_may_be_wrong(client: httpx.Client) -> None:
    files = client.get("/api/v1/model-versions/20").json()["files"]
    assert client.get(files[1]["downloadUrl"]).status_code == 404
    assert client.get("/api/download/models/20?fileId=202").status_code == 307
    assert client.get("/api/download/models/20?fileId=100").status_code == 404


@pytest.mark.parametrize(
    ("version_id", "status", "message"),
    [
        (99, 404, "Model not found"),
        (50, 404, "File not found"),
        (30, 410, "Model archived, not available for download"),
        (60, 401, "disabled downloads"),
        (70, 403, "Early Access"),
        (90, 403, "may not download"),
    ],
)
def test_refused_downloads(client: httpx.Client, version_id: int, status: int, message: str) -> None:
    response = client.get(f"/api/download/models/{version_id}")
    assert response.status_code == status
    assert message in response.text


def test_a_bad_token_counts_as_none() -> None:
    with serve(civitai_tokens={"member"}, downloads_need_token=True) as hub:
        url = f"{hub.civitai_url}/api/download/models/10"
        bad = {"Authorization": "Bearer wrong"}
        assert httpx.get(f"{hub.civitai_url}/api/v1/models", headers=bad).status_code == 200
        refused = httpx.get(url, headers=bad)
        assert (refused.status_code, refused.json()["error"]) == (401, "Unauthorized")
        assert httpx.get(url, headers={"Authorization": "Bearer member"}).status_code == 307
        assert httpx.get(url, params={"token": "member"}).status_code == 307


def test_a_browser_is_sent_to_the_login_page() -> None:
    with serve(downloads_need_token=True) as hub:
        url = f"{hub.civitai_url}/api/download/models/10"
        page = httpx.get(url, headers={"User-Agent": "Mozilla/5.0"}, follow_redirects=True)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")


def test_an_unusual_amount_of_downloading() -> None:
    with serve(limits=Limits(civitai_downloads=2)) as hub:
        url = f"{hub.civitai_url}/api/download/models/10"
        assert [httpx.get(url).status_code for _ in range(3)] == [307, 307, 429]


def test_faults_strike_the_hub_they_name() -> None:
    faults = Faults(too_many_requests=Strike(on="civitai/", times=1), unavailable=Strike(on="ids=7", times=1))
    with serve(faults=faults) as hub:
        busy = httpx.get(f"{hub.civitai_url}/api/v1/models")
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
        assert "ratelimit" not in busy.headers
        assert httpx.get(f"{hub.url}/api/models").status_code == 200
        assert httpx.get(f"{hub.civitai_url}/api/v1/models?ids=7").status_code == 503
        assert httpx.get(f"{hub.civitai_url}/api/v1/models").status_code == 200


def test_content_can_change_while_it_is_served() -> None:
    with serve() as hub, httpx.Client(base_url=hub.civitai_url) as client:
        hub.publish(HubContent(civitai=MODELS[:1]))
        assert ids(client) == [1]
        assert client.get("/api/v1/models/2").status_code == 404


@pytest.mark.parametrize(
    "models",
    [
        (model(1), model(1, version(2))),
        (model(1, version(5)), model(2, version(5, weights(1)))),
        (model(1, version(1, weights(7))), model(2, version(2, weights(7)))),
    ],
)
def test_ids_are_unique(models: tuple[CivitaiModel, ...]) -> None:
    with pytest.raises(ContentError, match="is used 2 times"):
        HubContent(civitai=models)


def test_the_example_can_be_crawled() -> None:
    with LocalHub(example()) as hub:
        assert walk(example().civitai) == [1]
        assert len(httpx.get(f"{hub.url}/api/models").json()) == len(example().repos)


def test_an_unknown_fault_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--fault", "nonsense"])
    assert "no fault 'nonsense'" in capsys.readouterr().err
