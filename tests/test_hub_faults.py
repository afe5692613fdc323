"""What goes wrong at the local hub when it is told to: quotas, and every fault by name."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.utils import get_session, httpx, parse_ratelimit_headers

from leaksweep.hub import ONCE, Faults, HubContent, HubRepo, Limits, LocalHub, Strike
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
