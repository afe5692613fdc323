"""What goes wrong at the local hub when it is told to: quotas, and every fault by name."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx as plain
import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.utils import get_session, httpx, parse_ratelimit_headers

from leaksweep.hub import (
    ALWAYS,
    ONCE,
    CivitaiFile,
    CivitaiModel,
    CivitaiVersion,
    Faults,
    HubContent,
    HubRepo,
    Limits,
    LocalHub,
    Strike,
)
from leaksweep.hub.disguises import padded
from leaksweep.hub.faults import Striker
from leaksweep.hub.limits import Meter

LORA = bytes(range(256)) * 16
CONTENT = HubContent(
    repos=(HubRepo(id="studio/cat-lora", files={"cat.safetensors": LORA}, card={"tags": ["lora"]}),)
)


def test_every_answer_tells_the_quota_and_429_says_when_it_returns() -> None:
    now = [1_000_200.0]
    with LocalHub(CONTENT, clock=lambda: now[0], limits=Limits(api=2, window=300)) as hub:
        url = f"{hub.url}/api/models/studio/none"
        first = parse_ratelimit_headers(get_session().get(url).headers)
        assert first is not None
        assert (first.resource_type, first.remaining, first.limit, first.window_seconds) == ("api", 1, 2, 300)
        get_session().get(url)
        refused = get_session().get(url)
        spent = parse_ratelimit_headers(refused.headers)
        assert spent is not None
        assert (refused.status_code, spent.remaining) == (429, 0)
        assert get_session().head(f"{hub.url}/studio/cat-lora/resolve/main/README.md").status_code == 200
        now[0] += spent.reset_in_seconds
        assert get_session().get(f"{hub.url}/api/models").status_code == 200


def test_the_client_waits_out_a_spent_quota() -> None:
    start = time.time()
    with LocalHub(CONTENT, limits=Limits(api=1, window=2), clock=lambda: time.time() - start) as hub:
        api = HfApi(endpoint=hub.url, token=False)
        assert len(list(api.list_models())) == len(list(api.list_models()))
        assert 429 in {entry.status for entry in hub.requests}


def test_each_caller_has_a_quota_of_its_own() -> None:
    meter = Meter(300, lambda: 0.0)
    assert not meter.spend("one", "api", 1).exceeded
    assert meter.spend("one", "api", 1).exceeded
    assert not meter.spend("two", "api", 1).exceeded
    assert not meter.spend("one", "resolvers", 1).exceeded


def test_a_429_with_quota_left_is_another_limit() -> None:
    with LocalHub(CONTENT, faults=Faults(too_many_requests=ONCE, retry_after=7)) as hub:
        response = get_session().get(f"{hub.url}/api/models")
        left = parse_ratelimit_headers(response.headers)
        assert left is not None
        assert (response.status_code, response.headers["retry-after"], left.remaining) == (429, "7", 499)
        assert get_session().get(f"{hub.url}/api/models").status_code == 200


@pytest.mark.parametrize(("fault", "status"), [("server_error", 500), ("unavailable", 503)])
def test_a_failing_hub_recovers(fault: str, status: int) -> None:
    faults = Faults(**{fault: Strike(on="huggingface/api/models", after=1, times=1)})
    with LocalHub(CONTENT, faults=faults) as hub:
        seen = [get_session().get(f"{hub.url}/api/models").status_code for _ in range(3)]
        assert seen == [200, status, 200]


def test_a_bare_401_does_not_say_what_is_meant() -> None:
    with LocalHub(CONTENT, faults=Faults(bare_unauthorized=Strike())) as hub:
        response = get_session().get(f"{hub.url}/api/models/studio/none")
        assert response.status_code == 401
        assert "x-error-code" not in response.headers


def test_the_client_tries_a_cut_file_again(tmp_path: Path) -> None:
    with LocalHub(CONTENT, faults=Faults(cut_body=ONCE)) as hub:
        path = Path(
            hf_hub_download(
                "studio/cat-lora", "cat.safetensors", endpoint=hub.url, cache_dir=tmp_path, token=False
            )
        )
        assert path.read_bytes() == LORA
        assert [entry.host for entry in hub.requests].count("storage") == 2


def test_a_cut_answer_is_an_error_of_the_connection() -> None:
    with LocalHub(CONTENT, faults=Faults(cut_answer=ONCE)) as hub:
        with pytest.raises(httpx.RemoteProtocolError):
            get_session().get(f"{hub.url}/api/models")
        assert get_session().get(f"{hub.url}/api/models").status_code == 200


def fetch(hub: LocalHub, **headers: str) -> httpx.Response:
    url = f"{hub.url}/studio/cat-lora/resolve/main/cat.safetensors"
    return get_session().get(url, headers=headers, follow_redirects=True)


def test_faults_of_the_storage() -> None:
    with LocalHub(CONTENT, faults=Faults(wrong_content=ONCE)) as hub:
        spoilt = fetch(hub).content
        assert len(spoilt) == len(LORA)
        assert hashlib.sha256(spoilt).digest() != hashlib.sha256(LORA).digest()
        assert fetch(hub).content == LORA
    with LocalHub(CONTENT, faults=Faults(html_body=Strike())) as hub:
        page = fetch(hub)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    with LocalHub(CONTENT, faults=Faults(ignored_range=Strike())) as hub:
        whole = fetch(hub, Range="bytes=5-")
        assert (whole.status_code, whole.content) == (200, LORA)
    with LocalHub(CONTENT, faults=Faults(expired_url=ONCE)) as hub:
        assert [fetch(hub).status_code for _ in range(2)] == [403, 200]
    with LocalHub(CONTENT, faults=Faults(slow_body=Strike(), slow_seconds=0.2)) as hub:
        start = time.monotonic()
        assert fetch(hub).content == LORA
        assert time.monotonic() - start > 0.2


def test_chance_depends_on_seed_and_path_only() -> None:
    def struck(seed: int, *paths: str) -> list[bool]:
        striker = Striker(Faults(seed=seed, server_error=Strike(chance=0.5)))
        return [striker.strikes("server_error", path) for path in paths]

    one, other = ["a"] * 40, ["b"] * 40
    mixed = [path for pair in zip(one, other, strict=True) for path in pair]
    assert struck(1, *one) == struck(1, *mixed)[::2]
    assert struck(1, *one) != struck(2, *one)
    assert 5 < sum(struck(1, *one)) < 35


def test_every_fault_has_a_name() -> None:
    assert {"cut_body", "wrong_content", "too_many_requests"} <= set(Faults.names())
    assert not {"seed", "retry_after", "slow_seconds"} & set(Faults.names())


def test_a_hub_can_be_stopped_in_the_middle_of_a_slow_file() -> None:
    big = HubRepo(id="big/file", files={"w.safetensors": bytes(2_000_000)})
    with (
        LocalHub(HubContent(repos=(big,)), faults=Faults(slow_body=Strike(), slow_seconds=1.0)) as hub,
        get_session().stream(
            "GET", f"{hub.url}/big/file/resolve/main/w.safetensors", follow_redirects=True
        ) as body,
    ):
        assert body.status_code == 200
        start = time.monotonic()
        hub.stop()
        assert time.monotonic() - start < 10


_HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}).encode()
WEIGHTS = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(range(256))
MODELS = tuple(
    CivitaiModel(
        id=number,
        name=f"model {number}",
        type="LORA",
        downloads=100 - number,
        thumbs_up=100 - number,
        versions=(
            CivitaiVersion(
                id=number * 10,
                name="v1",
                base_model="SD 1.5",
                files=(CivitaiFile(id=number * 10, name=f"{number}.safetensors", content=WEIGHTS),),
            ),
        ),
    )
    for number in range(1, 9)
)
BOTH = HubContent(
    repos=tuple(
        HubRepo(
            id=f"studio/lora-{number}",
            files={"w.safetensors": WEIGHTS, "note.txt": b"hello"},
            card={"base_model": "a/base"},
            created_at=f"2024-01-0{number}T00:00:00.000Z",
            file_issues={"w.safetensors": "unsafe"},
        )
        for number in range(1, 9)
    ),
    civitai=MODELS,
)
LISTINGS = ("/api/models?sort=createdAt&limit=4", "/api/v1/models?sort=Most Downloaded&limit=4")


def ask(hub: LocalHub, path: str, **options: Any) -> plain.Response:
    """One request, without following redirects; Civitai's paths are told by their /v1/ and /download/."""
    civitai = path.startswith(("/api/v1/", "/api/download/"))
    return plain.get((hub.civitai_url if civitai else hub.url) + path, **options)


def read(answer: plain.Response) -> tuple[list[Any], str | None]:
    """Ids of a page of either hub, and the link to the next."""
    content = answer.json()
    if isinstance(content, list):
        return [row["id"] for row in content], answer.links.get("next", {}).get("url")
    return [row["id"] for row in content["items"]], content["metadata"].get("nextPage")


def test_a_spent_quota_on_demand() -> None:
    with LocalHub(BOTH, faults=Faults(quota_spent=ONCE, retry_after=3)) as hub:
        refused = ask(hub, "/api/models")
        assert (refused.status_code, refused.headers["ratelimit"]) == (429, '"api";r=0;t=3')
        assert "retry-after" not in refused.headers
        refused = ask(hub, "/api/v1/models")
        assert refused.status_code == 429
        assert not {"ratelimit", "retry-after"} & set(refused.headers)
        assert ask(hub, "/api/v1/models").status_code == 200


def test_a_proxy_in_between_fails() -> None:
    with LocalHub(BOTH, faults=Faults(bad_gateway=Strike(times=2))) as hub:
        seen = [ask(hub, "/api/models") for _ in range(3)]
        assert [answer.status_code for answer in seen] == [502, 502, 200]
        assert seen[0].headers["content-type"].startswith("text/html")


def test_retry_after_may_be_a_date() -> None:
    faults = Faults(unavailable_until=ONCE, retry_after=90)
    with LocalHub(BOTH, faults=faults, clock=lambda: 1_000_000_000.0) as hub:
        refused = ask(hub, "/api/v1/models")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "Sun, 09 Sep 2001 01:48:10 GMT"


def test_an_answer_and_a_file_stall() -> None:
    patience = plain.Timeout(5, read=0.3)
    with LocalHub(BOTH, faults=Faults(stalled_answer=ONCE, stalled_body=ONCE)) as hub:
        for listing in LISTINGS:
            with pytest.raises(plain.ReadTimeout):
                ask(hub, listing, timeout=patience)
            assert ask(hub, listing, timeout=patience).status_code == 200
        path = "/studio/lora-1/resolve/main/w.safetensors"
        assert ask(hub, path, timeout=patience).status_code == 302
    with LocalHub(BOTH, faults=Faults(stalled_body=ONCE)) as hub:
        with plain.stream("GET", hub.url + path, follow_redirects=True, timeout=patience) as body:
            pieces = body.iter_raw()
            assert 0 < len(next(pieces)) < len(WEIGHTS)
            with pytest.raises(plain.ReadTimeout):
                next(pieces)
        assert ask(hub, path, follow_redirects=True).content == WEIGHTS


def test_a_login_page_comes_in_place_of_json() -> None:
    with LocalHub(BOTH, faults=Faults(html_answer=ONCE)) as hub:
        for listing in LISTINGS:
            page = ask(hub, listing)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert ask(hub, listing).json()


def test_an_api_that_redirects_away_shows_who_brings_a_token_along() -> None:
    secret = {"Authorization": "Bearer hf_secret"}
    with LocalHub(BOTH, faults=Faults(foreign_api=ALWAYS), tokens={"hf_secret": ()}) as hub:
        for listing in LISTINGS:
            answer = ask(hub, listing, headers=secret)
            assert answer.status_code == 307
            assert answer.headers["location"].startswith(hub.foreign_url)
            emptied = ask(hub, listing, headers=secret, follow_redirects=True)
            assert read(emptied) == ([], None), "who trusts the foreign host loses the rest of the listing"
        assert hub.hosts_that_saw("hf_secret") == {"huggingface", "civitai"}
        plain.post(f"{hub.foreign_url}/x", json=["hf_secret"])
        assert "foreign" in hub.hosts_that_saw("hf_secret"), "in whatever part of a request"


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_cursor_that_leads_in_a_circle(listing: str) -> None:
    with LocalHub(BOTH, faults=Faults(looping_cursor=Strike(times=2))) as hub:
        first, link = read(ask(hub, listing))
        assert link
        again, link = read(plain.get(link))
        assert link
        assert again == first
        third, link = read(plain.get(link))
        assert third == first, "the second one led there, too"
        assert link
        assert set(read(plain.get(link))[0]).isdisjoint(first)


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize(("fault", "sizes"), [("short_page", [2, 4, 2]), ("empty_page", [0, 4, 4])])
def test_short_and_empty_pages_lose_nothing(listing: str, fault: str, sizes: list[int]) -> None:
    with LocalHub(BOTH, faults=Faults(**{fault: ONCE})) as hub:
        pages: list[list[Any]] = []
        link: str | None = (hub.civitai_url if "/v1/" in listing else hub.url) + listing
        while link:
            ids, link = read(plain.get(link))
            pages.append(ids)
        assert [len(page) for page in pages] == sizes
        assert len({one for page in pages for one in page}) == 8


def test_an_empty_page_in_the_order_newest() -> None:
    listing = "/api/v1/models?sort=Newest&limit=4"
    with LocalHub(BOTH, faults=Faults(empty_page=ONCE)) as hub:
        empty, link = read(ask(hub, listing))
        assert (empty, bool(link)) == ([], True)
        assert read(plain.get(str(link)))[0] == [8, 7, 6, 5]


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_link_to_the_next_page_that_leads_away(listing: str) -> None:
    with LocalHub(BOTH, faults=Faults(foreign_next=ONCE)) as hub:
        link = read(ask(hub, listing))[1]
        assert link
        assert link.startswith(f"{hub.foreign_url}/api/")
        assert "cursor=" in link


@pytest.mark.parametrize("listing", LISTINGS)
def test_cursors_are_refused(listing: str) -> None:
    with LocalHub(BOTH, faults=Faults(expired_cursor=ONCE)) as hub:
        link = read(ask(hub, listing))[1]
        assert [plain.get(str(link)).status_code for _ in range(2)] == [400, 200]


def test_an_update_of_civitai_makes_old_cursors_void() -> None:
    with LocalHub(BOTH, faults=Faults(cursor_arity=ONCE)) as hub:
        refused = plain.get(str(read(ask(hub, LISTINGS[1]))[1]))
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("Invalid cursor: 95|95|5")
        assert plain.get(str(read(ask(hub, LISTINGS[0]))[1])).status_code == 200


@pytest.mark.parametrize("listing", LISTINGS)
def test_cursors_have_a_lifetime(listing: str) -> None:
    now = [1_000_000.0]
    with LocalHub(BOTH, limits=Limits(cursor_lifetime=60), clock=lambda: now[0]) as hub:
        link = str(read(ask(hub, listing))[1])
        now[0] += 59
        assert plain.get(link).status_code == 200
        now[0] += 2
        assert plain.get(link).status_code == 400


def test_one_bad_row_makes_every_page_with_it_fail() -> None:
    with LocalHub(BOTH, faults=Faults(bad_row=Strike(on="civitai/models/3/"))) as hub:
        assert ask(hub, "/api/v1/models?limit=8").status_code == 500
        assert ask(hub, "/api/v1/models?limit=2").status_code == 200
        assert ask(hub, "/api/v1/models?ids=3").status_code == 500
        assert ask(hub, "/api/v1/models?ids=4").status_code == 200
        assert ask(hub, "/api/v1/models/3").status_code == 500
        assert ask(hub, "/api/v1/model-versions/30").status_code == 500


@pytest.mark.parametrize(("fault", "same"), [("renamed", True), ("replaced", False)])
def test_a_redirect_is_no_proof_of_a_rename(fault: str, same: bool) -> None:
    with LocalHub(BOTH, faults=Faults(**{fault: Strike(on="lora-1")})) as hub:
        listed = {row["id"]: row["_id"] for row in ask(hub, "/api/models").json()}
        moved = ask(hub, "/api/models/studio/lora-1?expand=sha")
        assert moved.status_code == 307
        assert moved.headers["location"].startswith("/api/models/studio-")
        there = ask(hub, moved.headers["location"]).json()
        assert there["id"] != "studio/lora-1"
        assert (there["_id"] == listed["studio/lora-1"]) is same
        file = ask(hub, "/studio/lora-1/resolve/main/w.safetensors", follow_redirects=True)
        assert file.content == WEIGHTS
        assert ask(hub, "/api/models/studio/lora-2").status_code == 200


def test_not_found_is_not_gone() -> None:
    with LocalHub(BOTH, faults=Faults(false_missing=ONCE), tokens={"t": ()}) as hub:
        paths = "/api/models/studio/lora-1", "/api/v1/models/3", "/api/v1/model-versions/30"
        for path in paths:
            options = {} if "/v1/" in path else {"headers": {"Authorization": "Bearer t"}}
            assert [ask(hub, path, **options).status_code for _ in range(2)] == [404, 200]


def test_an_unfinished_scan_lists_nothing() -> None:
    with LocalHub(BOTH, faults=Faults(scan_unfinished=Strike(on="lora-1"))) as hub:
        assert ask(hub, "/api/models/studio/lora-1/scan").json() == {
            "scansDone": False,
            "filesWithIssues": [],
        }
        assert ask(hub, "/api/models/studio/lora-2/scan").json()["filesWithIssues"]


def test_a_card_that_lies_about_its_base() -> None:
    with LocalHub(BOTH, faults=Faults(lying_base=Strike(on="lora-1"))) as hub:
        query = "expand=cardData&expand=tags"
        rows = {row["id"]: row for row in ask(hub, f"/api/models?{query}").json()}
        bases = ["a/base", "a/base", "nobody/no-such-base"]
        assert rows["studio/lora-1"]["cardData"]["base_model"] == bases
        assert "base_model:nobody/no-such-base" in rows["studio/lora-1"]["tags"]
        assert rows["studio/lora-2"]["cardData"]["base_model"] == "a/base"
        about = ask(hub, f"/api/models/studio/lora-1?{query}").json()
        assert about["cardData"]["base_model"] == bases


def test_sizes_that_lie() -> None:
    with LocalHub(BOTH, faults=Faults(lying_size=ALWAYS)) as hub:
        (entry,) = [e for e in ask(hub, "/api/models/studio/lora-1/tree/main").json() if "lfs" in e]
        assert entry["size"] == entry["lfs"]["size"] == len(WEIGHTS) + 1
        resolved = ask(hub, "/studio/lora-1/resolve/main/w.safetensors")
        assert resolved.headers["x-linked-size"] == str(len(WEIGHTS) + 1)
        assert plain.get(resolved.headers["location"]).content == WEIGHTS
        (file,) = ask(hub, "/api/v1/model-versions/30").json()["files"]
        assert file["sizeKB"] == (len(WEIGHTS) + 1) / 1024


def test_hashes_that_lie() -> None:
    with LocalHub(BOTH, faults=Faults(lying_hash=ALWAYS)) as hub:
        true = hashlib.sha256(WEIGHTS).hexdigest()
        (entry,) = [e for e in ask(hub, "/api/models/studio/lora-1/tree/main").json() if "lfs" in e]
        assert entry["lfs"]["oid"] != true
        resolved = ask(hub, "/studio/lora-1/resolve/main/w.safetensors")
        assert resolved.headers["x-linked-etag"] == f'"{entry["lfs"]["oid"]}"'
        (file,) = ask(hub, "/api/v1/model-versions/30").json()["files"]
        assert file["hashes"]["SHA256"] != true.upper()
        got = ask(hub, "/api/download/models/30", follow_redirects=True).content
        assert hashlib.sha256(got).hexdigest() == true


@pytest.mark.parametrize(
    ("fault", "stated"), [("big_header", 200_000), ("huge_header", 26_000_000), ("lying_header", 2**40)]
)
def test_headers_of_all_sizes(fault: str, stated: int) -> None:
    with LocalHub(BOTH, faults=Faults(**{fault: ALWAYS})) as hub:
        for path in ("/studio/lora-1/resolve/main/w.safetensors", "/api/download/models/30"):
            start = ask(hub, path, headers={"Range": "bytes=0-7"}, follow_redirects=True)
            assert start.status_code == 206
            assert int.from_bytes(start.content, "little") == stated
        (entry,) = [e for e in ask(hub, "/api/models/studio/lora-1/tree/main").json() if "lfs" in e]
        size = len(WEIGHTS) if fault == "lying_header" else len(padded(WEIGHTS, stated))
        assert entry["size"] == size, "what the hub states of it is true"
    assert json.loads(padded(WEIGHTS, 200_000)[8:200_008]) == json.loads(
        WEIGHTS[8 : 8 + int.from_bytes(WEIGHTS[:8], "little")]
    )


def test_a_download_that_redirects_to_a_foreign_host() -> None:
    secret = {"Authorization": "Bearer hf_secret"}
    with LocalHub(BOTH, faults=Faults(foreign_download=ALWAYS), tokens={"hf_secret": ()}) as hub:
        for path in ("/studio/lora-1/resolve/main/w.safetensors", "/api/download/models/30"):
            answer = ask(hub, path, headers=secret, follow_redirects=True)
            assert answer.content == WEIGHTS
            assert str(answer.url).startswith(hub.foreign_url)
        assert "foreign" not in hub.hosts_that_saw("hf_secret"), "httpx drops the header on the way"
        assert hub.counts["foreign", 200] == 2


def test_a_file_longer_than_it_should_be() -> None:
    with LocalHub(BOTH, faults=Faults(long_body=ONCE)) as hub:
        path = "/studio/lora-1/resolve/main/w.safetensors"
        got = [len(ask(hub, path, follow_redirects=True).content) for _ in range(2)]
        assert got == [len(WEIGHTS) + 1024, len(WEIGHTS)]


def test_the_log_of_requests_can_be_bounded() -> None:
    with LocalHub(BOTH, log_size=3) as hub:
        for number in range(5):
            ask(hub, f"/api/models?limit={number + 1}", headers={"X-Mine": str(number)})
        assert [entry.header("x-mine") for entry in hub.requests] == ["2", "3", "4"]
        assert hub.counts["huggingface", 200] == 5


def test_every_fault_is_documented_and_tested() -> None:
    page = Path(__file__).parents[1].joinpath("docs/local-hub.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(Faults.names())
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in Faults.names() if not re.search(rf"\b{name}\b", tests)] == []
