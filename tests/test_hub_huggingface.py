"""The local hub's Hugging Face side, spoken to by the real client."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    BadRequestError,
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from leaksweep.hub import ContentError, HubContent, HubRepo, Limits, LocalHub, files_in


def safetensors(metadata: dict[str, str], body: bytes = b"\0\0\0\0") -> bytes:
    """Return a safetensors file of one tensor."""
    tensor = {"dtype": "U8", "shape": [len(body)], "data_offsets": [0, len(body)]}
    header = json.dumps({"__metadata__": metadata, "weight": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + body


LORA = safetensors({"ss_network_dim": "4"}, bytes(range(256)) * 16)
BASE = HubRepo(
    id="studio/base",
    files={
        "model_index.json": b'{"_class_name": "StableDiffusionPipeline"}',
        "unet/weights.safetensors": LORA[:200],
    },
    renamed_from=("old-studio/base",),
    card={"license": "openrail"},
)
ADAPTER = HubRepo(
    id="studio/cat-lora",
    files={"cat.safetensors": LORA},
    card={"base_model": "old-studio/base", "instance_prompt": "a photo of sks cat", "tags": ["lora"]},
    last_modified="2024-03-01T00:00:00.000Z",
)
GATED = HubRepo(id="studio/gated", files={"w.safetensors": LORA}, gated="manual")
CONTENT = HubContent(
    repos=(
        BASE,
        ADAPTER,
        GATED,
        HubRepo(id="studio/gone", files={"w.safetensors": LORA}, disabled=True),
        HubRepo(id="studio/hidden", files={"w.safetensors": LORA}, private=True),
        HubRepo(
            id="other/pickle",
            files={"w.ckpt": b"\x80\x02."},
            pipeline_tag=None,
            file_issues={"w.ckpt": "unsafe"},
        ),
    )
)


TOKENS = {"hf_member": (), "hf_granted": {"studio/gated", "studio/hidden"}}


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    """A hub for tests that only read."""
    with LocalHub(CONTENT, tokens=TOKENS) as running:
        yield running


@pytest.fixture
def fresh() -> Iterator[LocalHub]:
    """A hub for tests that change its content or look at its log."""
    with LocalHub(CONTENT, tokens=TOKENS) as running:
        yield running


@pytest.fixture(scope="module")
def api(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


def walk(url: str) -> Iterator[list[dict[str, object]]]:
    """Yield pages until there is no next."""
    following: str | None = url
    while following:
        response = get_session().get(following)
        response.raise_for_status()
        yield response.json()
        following = response.links.get("next", {}).get("url")


def many(count: int) -> HubContent:
    repos = (HubRepo(id=f"many/r{n:03}", files={}, downloads=n // 3) for n in range(count))
    return HubContent(repos=tuple(repos))


def test_pages_hold_every_repository_once_and_links_name_this_host() -> None:
    with LocalHub(many(23)) as hub:
        pages = list(walk(f"{hub.url}/api/models?limit=5&sort=downloads"))
        ids = [row["id"] for page in pages for row in page]
        assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
        assert sorted(ids) == [f"many/r{n:03}" for n in range(23)]
        downloads = [row["downloads"] for page in pages for row in page]
        assert downloads == sorted(downloads, reverse=True)


def test_a_cursor_survives_repositories_that_come_and_go() -> None:
    with LocalHub(many(20)) as hub:
        pages = walk(f"{hub.url}/api/models?limit=5&sort=downloads")
        seen = [row["id"] for row in next(pages)]
        kept = tuple(repo for repo in many(20).repos if repo.id != seen[-1])
        hub.publish(HubContent(repos=(*kept, HubRepo(id="many/new", files={}, downloads=999))))
        seen += [row["id"] for page in pages for row in page]
        assert sorted(seen) == [f"many/r{n:03}" for n in range(20)]


@pytest.mark.parametrize("query", ["cursor=!", "cursor=e30=", "sort=name", "limit=many", "expand=security"])
def test_a_query_that_cannot_be_read_is_refused(hub: LocalHub, query: str) -> None:
    response = get_session().get(f"{hub.url}/api/models?{query}")
    assert response.status_code == 400
    assert "nvalid" in response.json()["error"]


def test_an_unknown_expand_lists_the_known_ones(api: HfApi) -> None:
    with pytest.raises(BadRequestError, match="baseModels"):
        list(api.list_models(expand=["modelId"]))
    with pytest.raises(BadRequestError, match="baseModels"):
        api.model_info("studio/base", expand=["modelId"])


def test_filters_are_all_to_be_met(api: HfApi) -> None:
    def ids(**query: object) -> list[str]:
        return sorted(model.id for model in api.list_models(**query))

    assert ids(filter=["lora", "safetensors"]) == ["studio/cat-lora"]
    assert ids(filter=["base_model:adapter:old-studio/base"]) == ["studio/cat-lora"]
    assert ids(filter="diffusers:StableDiffusionPipeline") == ["studio/base"]
    assert ids(filter=["lora", "nothing"]) == []
    assert ids(author="other") == ["other/pickle"]
    assert ids(search="GATED") == ["studio/gated"]
    assert ids(gated=True) == ["studio/gated"]
    assert "other/pickle" not in ids(pipeline_tag="text-to-image")
    assert "studio/hidden" not in ids()


def test_a_plain_list_row_hides_that_a_repository_is_gated(hub: LocalHub) -> None:
    rows = {row["id"]: row for page in walk(f"{hub.url}/api/models") for row in page}
    assert not {"gated", "sha", "author", "lastModified", "disabled"} & rows["studio/gated"].keys()
    full = {row["id"]: row for page in walk(f"{hub.url}/api/models?full=true") for row in page}
    assert full["studio/gated"]["gated"] == "manual"


def test_expand_names_all_there_is_in_a_row(hub: LocalHub) -> None:
    query = "author=studio&filter=lora&expand=gated&expand[]=baseModels&full=true"
    (row,) = next(walk(f"{hub.url}/api/models?{query}"))
    assert row.keys() == {"_id", "id", "gated", "baseModels"}
    base = HfApi(endpoint=hub.url, token=False).model_info("studio/base", expand=["author"])
    assert row["baseModels"] == {"relation": "adapter", "models": [{"_id": base._id, "id": "studio/base"}]}


def test_model_info_tells_digests_and_sizes(api: HfApi) -> None:
    info = api.model_info("studio/cat-lora", files_metadata=True)
    (weights,) = (file for file in info.siblings or () if file.rfilename == "cat.safetensors")
    assert weights.lfs is not None
    assert (weights.size, weights.lfs.sha256) == (len(LORA), hashlib.sha256(LORA).hexdigest())
    assert "base_model:old-studio/base" in (info.tags or ())
    assert info.card_data is not None
    assert info.card_data.instance_prompt == "a photo of sks cat"
    pinned = api.model_info("studio/cat-lora", revision=info.sha)
    assert pinned.sha == info.sha


def test_the_commit_follows_the_content(fresh: LocalHub) -> None:
    api = HfApi(endpoint=fresh.url, token=False)
    before = api.model_info("studio/cat-lora")
    fresh.publish(HubContent(repos=(replace(ADAPTER, files={"cat.safetensors": LORA + b"x"}),)))
    after = api.model_info("studio/cat-lora")
    assert after.sha != before.sha
    assert after._id == before._id


def test_a_renamed_repository_redirects_within_this_host(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    response = get_session().get(f"{hub.url}/api/models/old-studio/base", follow_redirects=False)
    assert response.status_code == 307
    assert response.headers["location"] == "/api/models/studio/base"
    assert api.model_info("old-studio/base").id == "studio/base"
    assert hf_hub_download(
        "old-studio/base", "model_index.json", endpoint=hub.url, cache_dir=tmp_path, token=False
    )


def test_trees_and_paths(api: HfApi) -> None:
    assert [entry.path for entry in api.list_repo_tree("studio/base")] == [
        "README.md",
        "model_index.json",
        "unet",
    ]
    recursive = [entry.path for entry in api.list_repo_tree("studio/base", recursive=True)]
    assert recursive == ["README.md", "model_index.json", "unet", "unet/weights.safetensors"]
    inside = [entry.path for entry in api.list_repo_tree("studio/base", "unet")]
    assert inside == ["unet/weights.safetensors"]
    found = api.get_paths_info("studio/base", ["unet", "unet/weights.safetensors", "no.txt"], expand=True)
    assert [entry.path for entry in found] == ["unet", "unet/weights.safetensors"]
    (pickle,) = api.get_paths_info("other/pickle", ["w.ckpt"], expand=True)
    assert pickle.security is not None
    assert (pickle.security.status, pickle.security.safe) == ("unsafe", False)


@pytest.mark.parametrize(("expand", "count"), [(False, 1001), (True, 51)])
def test_long_trees_come_in_pages(expand: bool, count: int) -> None:
    repo = HubRepo(id="big/tree", files={f"f{n:04}.txt": b"x" for n in range(count)})
    with LocalHub(HubContent(repos=(repo,))) as hub:
        entries = list(HfApi(endpoint=hub.url, token=False).list_repo_tree("big/tree", expand=expand))
        assert [entry.path for entry in entries] == sorted(repo.files)
        assert len(hub.requests) == 2


def test_a_tree_cursor_is_void_after_a_commit(fresh: LocalHub) -> None:
    response = get_session().get(f"{fresh.url}/api/models/studio/base/tree/main?limit=1")
    fresh.publish(HubContent(repos=(replace(BASE, files={**BASE.files, "new.txt": b""}),)))
    assert get_session().get(response.links["next"]["url"]).status_code == 400


def test_scans_that_have_not_finished_list_nothing(fresh: LocalHub) -> None:
    api = HfApi(endpoint=fresh.url, token=False)

    def verdict() -> object:
        return get_session().get(f"{fresh.url}/api/models/other/pickle/scan").json()

    assert verdict() == {"scansDone": True, "filesWithIssues": [{"path": "w.ckpt", "level": "unsafe"}]}
    assert api.model_info("other/pickle", securityStatus=True).security_repo_status == verdict()
    fresh.publish(HubContent(repos=(replace(CONTENT.repos[-1], scans_done=False),)))
    assert verdict() == {"scansDone": False, "filesWithIssues": []}


def test_a_large_file_lies_on_the_storage_and_the_token_does_not_go_there(
    fresh: LocalHub, tmp_path: Path
) -> None:
    url = hf_hub_url("studio/gated", "w.safetensors", endpoint=fresh.url)
    found = get_hf_file_metadata(url, token="hf_granted", endpoint=fresh.url)
    assert (found.size, found.etag) == (len(LORA), hashlib.sha256(LORA).hexdigest())
    assert found.location.startswith(fresh.storage_url)
    path = hf_hub_download(
        "studio/gated", "w.safetensors", endpoint=fresh.url, cache_dir=tmp_path, token="hf_granted"
    )
    assert Path(path).read_bytes() == LORA
    assert {entry.authorized for entry in fresh.requests if entry.host == "storage"} == {False}
    assert all(entry.authorized for entry in fresh.requests if entry.host == "huggingface")


def test_a_small_file_comes_from_the_hub_itself(fresh: LocalHub, tmp_path: Path) -> None:
    path = hf_hub_download(
        "studio/cat-lora", "README.md", endpoint=fresh.url, cache_dir=tmp_path, token=False
    )
    assert ModelCard.load(path).data.base_model == "old-studio/base"
    assert {entry.host for entry in fresh.requests} == {"huggingface"}


def test_a_header_is_read_by_range(fresh: LocalHub) -> None:
    api = HfApi(endpoint=fresh.url, token=False)
    header = api.parse_safetensors_file_metadata("studio/cat-lora", "cat.safetensors")
    assert header.metadata == {"ss_network_dim": "4"}
    assert fresh.requests[-1].range == "bytes=0-100000"
    assert fresh.requests[-1].status == 206


def test_a_header_longer_than_the_first_range_is_read_in_two() -> None:
    weights = safetensors({"ss_tag_frequency": "x" * 200_000})
    repo = HubRepo(id="long/header", files={"w.safetensors": weights})
    with LocalHub(HubContent(repos=(repo,))) as hub:
        api = HfApi(endpoint=hub.url, token=False)
        header = api.parse_safetensors_file_metadata("long/header", "w.safetensors")
        assert len(header.metadata["ss_tag_frequency"]) == 200_000
        assert [entry.status for entry in hub.requests if entry.host == "storage"] == [206, 206]


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-3", 206, f"bytes 0-3/{len(LORA)}", LORA[:4]),
        (f"bytes={len(LORA) - 2}-", 206, f"bytes {len(LORA) - 2}-{len(LORA) - 1}/{len(LORA)}", LORA[-2:]),
        ("bytes=-5", 206, f"bytes {len(LORA) - 5}-{len(LORA) - 1}/{len(LORA)}", LORA[-5:]),
        ("bytes=7-999999", 206, f"bytes 7-{len(LORA) - 1}/{len(LORA)}", LORA[7:]),
        (f"bytes={len(LORA)}-", 416, f"bytes */{len(LORA)}", b""),
        ("bytes=0-1,4-5", 200, None, LORA),
        ("lines=1-2", 200, None, LORA),
    ],
)
def test_ranges(hub: LocalHub, asked: str, status: int, content_range: str | None, body: bytes) -> None:
    url = f"{hub.url}/studio/cat-lora/resolve/main/cat.safetensors"
    response = get_session().get(url, headers={"Range": asked}, follow_redirects=True)
    assert (response.status_code, response.headers.get("content-range")) == (status, content_range)
    assert response.content == body


def test_a_range_of_another_version_is_not_served(hub: LocalHub) -> None:
    url = f"{hub.url}/studio/cat-lora/resolve/main/cat.safetensors"
    headers = {"Range": "bytes=10-", "If-Range": '"another"'}
    response = get_session().get(url, headers=headers, follow_redirects=True)
    assert (response.status_code, len(response.content)) == (200, len(LORA))


def test_the_storage_wants_a_fresh_signature_and_no_token(hub: LocalHub) -> None:
    url = f"{hub.url}/studio/cat-lora/resolve/main/cat.safetensors"
    signed = get_session().get(url, follow_redirects=False).headers["location"]
    assert get_session().get(signed).content == LORA
    assert get_session().get(signed, headers={"Authorization": "Bearer x"}).status_code == 400
    assert get_session().get(signed.replace("Expires=", "Expires=9")).status_code == 403
    assert get_session().get(signed[:-4] + "0000").status_code == 403
    assert get_session().post(signed).status_code == 405


def test_a_signed_url_expires() -> None:
    now = [1_000_000.0]
    with LocalHub(CONTENT, clock=lambda: now[0], limits=Limits(url_lifetime=60)) as hub:
        url = f"{hub.url}/studio/cat-lora/resolve/main/cat.safetensors"
        signed = get_session().get(url, follow_redirects=False).headers["location"]
        now[0] += 61
        assert get_session().get(signed).status_code == 403


def download(hub: LocalHub, repo: str, cache: Path, token: str | bool = False, **more: str) -> Path:
    where = {"filename": "w.safetensors", **more}
    return Path(hf_hub_download(repo, endpoint=hub.url, cache_dir=cache, token=token, **where))


def test_refusals_are_the_clients_own_errors(hub: LocalHub, tmp_path: Path) -> None:
    for token in (False, "hf_member"):
        with pytest.raises(GatedRepoError):
            download(hub, "studio/gated", tmp_path, token)
        for repo in ("studio/none", "studio/hidden"):
            with pytest.raises(RepositoryNotFoundError):
                download(hub, repo, tmp_path, token)
    with pytest.raises(DisabledRepoError):
        get_hf_file_metadata(hf_hub_url("studio/gone", "w.safetensors", endpoint=hub.url), token=False)
    with pytest.raises(RevisionNotFoundError):
        download(hub, "studio/cat-lora", tmp_path, revision="v9")
    with pytest.raises(RemoteEntryNotFoundError):
        download(hub, "studio/cat-lora", tmp_path)
    assert download(hub, "studio/hidden", tmp_path, "hf_granted").exists()


def test_metadata_of_gated_and_disabled_repositories_is_public(api: HfApi) -> None:
    assert api.model_info("studio/gated").gated == "manual"
    assert api.model_info("studio/gone").disabled is True


def test_refusals_of_the_api(hub: LocalHub, api: HfApi) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("studio/none")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("studio/base", revision="v9")
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("studio/base", "no/such"))
    with pytest.raises(HfHubHTTPError, match="401"):
        api.model_info("studio/base", token="hf_wrong")
    assert get_session().get(f"{hub.url}/api/models/studio/base/nonsense").status_code == 404
    assert get_session().get(f"{hub.url}/nonsense").status_code == 404
    assert get_session().get(f"{hub.url}/api/whoami-v2").status_code == 401
    assert api.whoami(token="hf_member")["name"] == "someone"


def test_files_are_read_from_disk_when_they_are_served(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "weights.safetensors").write_bytes(LORA)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "left.out").write_bytes(b"")
    files = files_in(tmp_path)
    assert list(files) == ["unet/weights.safetensors"]
    with LocalHub(HubContent(repos=(HubRepo(id="on/disk", files=files),))) as hub:
        api = HfApi(endpoint=hub.url, token=False)
        assert api.parse_safetensors_file_metadata("on/disk", "unet/weights.safetensors").metadata


@pytest.mark.parametrize("name", ["alone", "a/b/c", "/b", "a/"])
def test_a_repository_needs_an_owner_and_a_name(name: str) -> None:
    with pytest.raises(ContentError, match="owner/name"):
        HubRepo(id=name, files={})


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ""])
def test_a_path_stays_inside_its_repository(path: str) -> None:
    with pytest.raises(ContentError, match="cannot be the path"):
        HubRepo(id="a/b", files={path: b""})


def test_two_repositories_cannot_share_a_name() -> None:
    with pytest.raises(ContentError, match="old-studio/base is used 2 times"):
        HubContent(repos=(BASE, HubRepo(id="old-studio/base", files={})))


def test_the_client_does_not_use_xet_here(hub: LocalHub) -> None:
    response = get_session().get(
        f"{hub.url}/studio/cat-lora/resolve/main/cat.safetensors", follow_redirects=False
    )
    assert constants.HUGGINGFACE_HEADER_X_XET_HASH.lower() not in response.headers
