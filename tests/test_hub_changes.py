"""A hub that changes while it is listed: each change on the wire, and what the hub remembers of them."""

from __future__ import annotations

import time

import httpx
import pytest
from fakes_hub import models, repos

from leaksweep.hub import HubContent, HubRepo, LocalHub, NothingToChange, Schedule, Synthetic
from leaksweep.hub.changes import KINDS

LISTED = "nsfw=true&archived=true&limit=100"
SOME = Schedule(every=2, insert=2, edit=2, delete=2, rename=1, gate=1, take_down=1, times=10, seed=3)


def test_a_walk_by_creation_sees_all_that_existed_throughout() -> None:
    with LocalHub(synthetic=Synthetic(repos=2000), schedule=SOME) as hub:
        found = [row["_id"] for row in repos(hub, "sort=createdAt&limit=100")]
        changes = hub.repo_changes
        assert len(found) == len(set(found)), "a date of creation never changes"
        assert set(changes.throughout()) <= set(found)
        assert len(changes.done) == 90
        assert not changes.identities("delete") & set(changes.throughout())
        assert not changes.identities("insert") & set(changes.throughout())
        again = {row["_id"]: row["id"] for row in repos(hub, "sort=createdAt&limit=1000")}
        assert changes.throughout().items() <= again.items(), "with the names they have by then"
        assert again.keys() == changes.throughout().keys() | (
            changes.identities("insert") - changes.identities("delete")
        )


def test_a_walk_of_civitai_in_the_order_of_rating() -> None:
    with LocalHub(synthetic=Synthetic(models=2000), schedule=SOME) as hub:
        found = {str(row["id"]) for row in models(hub, f"sort=Highest Rated&{LISTED}")}
        changes = hub.model_changes
        assert set(changes.throughout(LISTED)) <= found
        again = {str(row["id"]) for row in models(hub, f"sort=Most Downloaded&{LISTED}")}
        assert changes.identities("insert") - changes.identities("delete") <= again
        assert not changes.identities("delete") & again


def test_the_same_seed_makes_the_same_changes() -> None:
    def done() -> list[object]:
        with LocalHub(synthetic=Synthetic(repos=500, models=500), schedule=SOME) as hub:
            repos(hub, "sort=createdAt&limit=100")
            models(hub, LISTED)
            return [*hub.repo_changes.done, *hub.model_changes.done]

    assert done() == done()


def test_what_each_change_of_a_repository_looks_like() -> None:
    repo = HubRepo(id="me/cat", files={"cat.safetensors": b"1234"})
    with LocalHub(HubContent(repos=(repo,))) as hub, httpx.Client(base_url=hub.url) as client:
        before = client.get("/api/models/me/cat").json()
        hub.repo_changes.change("edit", "me/cat")
        edited = client.get("/api/models/me/cat").json()
        assert edited["_id"] == before["_id"]
        assert edited["sha"] != before["sha"]
        assert edited["lastModified"] > before["lastModified"]
        assert client.get(f"/api/models/me/cat/tree/{before['sha']}").status_code == 200
        hub.repo_changes.change("gate", "me/cat")
        gated = client.get("/api/models/me/cat").json()
        assert (gated["gated"], gated["lastModified"]) == ("auto", edited["lastModified"])
        renamed = hub.repo_changes.change("rename", "me/cat").after
        moved = client.get("/api/models/me/cat")
        assert (moved.status_code, moved.headers["location"]) == (307, f"/api/models/{renamed}")
        assert client.get(f"/api/models/{renamed}").json()["sha"] == edited["sha"]
        hub.repo_changes.change("take_down", renamed)
        assert client.get(f"/api/models/{renamed}").json()["disabled"] is True
        new = hub.repo_changes.change("insert", renamed).after
        assert client.get(f"/api/models/{new}").json()["createdAt"] > edited["lastModified"]
        hub.repo_changes.change("delete", renamed)
        assert client.get(f"/api/models/{renamed}").headers["x-error-code"] == "RepoNotFound"
        assert [row["id"] for row in client.get("/api/models").json()] == [new]
        assert hub.repo_changes.throughout() == {}
        with pytest.raises(NothingToChange, match=r"me/cat.*nothing to take down"):
            hub.repo_changes.change("take_down", "me/cat")


def test_what_each_change_of_a_model_looks_like() -> None:
    with LocalHub(synthetic=Synthetic(models=1)) as hub, httpx.Client(base_url=hub.civitai_url) as client:
        (name,) = hub.model_changes.throughout(LISTED)
        before = client.get(f"/api/v1/models/{name}").json()
        hub.model_changes.change("edit", name)
        edited = client.get(f"/api/v1/models/{name}").json()
        assert len(edited["modelVersions"]) == len(before["modelVersions"]) + 1
        newest = edited["modelVersions"][0]
        assert newest["publishedAt"] > before["modelVersions"][0]["publishedAt"]
        download = f"/api/download/models/{newest['id']}"
        assert client.get(download).status_code == 307
        hub.model_changes.change("gate", name)
        assert client.get(download).status_code == 401
        hub.model_changes.change("take_down", name)
        assert client.get(f"/api/v1/models/{name}").json()["mode"] == "TakenDown"
        hub.model_changes.change("rename", name)
        assert "renamed" in client.get(f"/api/v1/models/{name}").json()["name"]
        assert hub.model_changes.throughout(LISTED) == {name: name}
        hub.model_changes.change("delete", name)
        assert client.get(f"/api/v1/models/{name}").status_code == 404
        with pytest.raises(NothingToChange, match="no public row"):
            hub.model_changes.change("edit")


def test_thousands_of_changes_to_a_hundred_thousand_rows_are_quick() -> None:
    with LocalHub(synthetic=Synthetic(repos=100_000)) as hub:
        start = time.process_time()
        for number in range(1000):
            hub.repo_changes.change(KINDS[number % len(KINDS)])
        assert len(hub.repo_changes.throughout()) > 99_000
        assert time.process_time() - start < 5
