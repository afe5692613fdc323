"""Headers of Civitai's files: read where they help, once, and few."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fakes_civitai import at, looked, lora, numbers, serving, source, walked, weights

from crawler.checkpoint import Checkpoint, Grade, Kind, Listing, Skip, SkipReason
from crawler.source import Enough, NoCache
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion
from leaksweep.hub.limits import Limits

OLDEST = "types=LORA&sort=Oldest"
KOHYA = {
    "ss_tag_frequency": json.dumps({"5_sks": {"a sks cat": 4}}),
    "ss_dataset_dirs": json.dumps({"5_sks": {"n_repeats": 5, "img_count": 4}}),
    "ss_new_sd_model_hash": "ab" * 32,
}


class Kept(NoCache):
    """Headers in memory."""

    def __init__(self) -> None:
        self.headers: dict[str, bytes] = {}

    def header(self, digest: str) -> bytes | None:
        return self.headers.get(digest)

    def put_header(self, digest: str, data: bytes) -> None:
        self.headers[digest] = data


def looks(*models: CivitaiModel, hub: dict[str, Any] | None = None, **change: Any) -> list[Checkpoint | Skip]:
    """All rows after a listing and the looks that it asks for."""
    with serving(*models, **(hub or {})) as running, source(running.civitai_url, **change) as found:
        return looked(found, found.pages(OLDEST, None, None))


def one(*models: CivitaiModel, **change: Any) -> Checkpoint | Skip:
    (row,) = looks(*models, **change)
    return row


def test_a_header_is_read_where_there_are_no_trigger_words() -> None:
    read, told = looks(
        lora(1, weights(KOHYA), words=()), lora(2, weights(KOHYA)), base_models={"ab" * 32: "zoo/base"}
    )
    assert isinstance(read, Checkpoint)
    assert isinstance(told, Checkpoint)
    assert read.prompts[0].text == "a sks cat"
    assert read.training.images == 4
    assert read.base
    assert (read.base.repo, read.base.grade) == ("zoo/base", Grade.DIGEST)
    assert (told.training.images, told.prompts[0].text) == (None, "sks")


def test_with_read_headers_off_nothing_is_downloaded() -> None:
    with serving(lora(1, weights(KOHYA), words=())) as hub:
        with source(hub.civitai_url, read_headers=False) as found:
            (row,) = looked(found, walked(found))
        assert isinstance(row, Checkpoint)
        assert row.prompts == ()
        assert not [logged for logged in hub.requests if "download" in str(logged)]


def test_only_the_header_tells_which_lycoris_a_locon_is() -> None:
    with (
        serving(lora(1, weights(suffix="lokr_w1"), type="LoCon")) as hub,
        source(hub.civitai_url, civitai_types=["LoCon"]) as found,
    ):
        (row,) = looked(found, found.pages("types=LoCon&sort=Oldest", None, None))
    assert isinstance(row, Checkpoint)
    assert row.kind is Kind.LOKR


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (weights(suffix="oft_diag"), SkipReason.UNSUPPORTED_KIND),
        (weights({"modelspec.robots": "noai"}), SkipReason.OPTED_OUT),
        (b"\x80\x04pickle", SkipReason.NOT_WEIGHTS),
        (b"<html>" + b" " * 100, SkipReason.NOT_WEIGHTS),
        (weights()[:-1], SkipReason.UNSAFE_FILE),
        (b"\xff" * 8 + b"{" + b" " * 100, SkipReason.UNSAFE_FILE),
    ],
)
def test_a_header_that_contradicts_the_listing_or_is_none(data: bytes, reason: SkipReason) -> None:
    row = one(lora(1, data, words=()))
    assert isinstance(row, Skip)
    assert (row.reason, row.revision, row.path) == (reason, "1", "a.safetensors")


def test_the_header_knows_the_family_better_than_the_label() -> None:
    row = one(lora(1, weights(width=2048), words=()))
    assert isinstance(row, Checkpoint)
    assert row.family == "sdxl"


@pytest.mark.parametrize(
    ("model", "hub", "reason"),
    [
        (lora(1, words=(), usage_control="Generation"), {}, SkipReason.GATED),
        (lora(1, words=()), {"downloads_need_token": True}, SkipReason.GATED),
    ],
)
def test_a_file_that_the_hub_refuses_is_a_skip(
    model: CivitaiModel, hub: dict[str, Any], reason: SkipReason
) -> None:
    row = one(model, hub=hub)
    assert isinstance(row, Skip)
    assert row.reason is reason
    assert "status 401" in row.detail


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (httpx.Response(403, text="<Error>AccessDenied</Error>"), "status 403"),
        (httpx.Response(503), "status 503"),
        (None, "does not answer (ConnectTimeout)"),
    ],
)
def test_a_storage_that_fails_leaves_the_row_and_is_asked_again(
    failure: httpx.Response | None, told: str
) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/download"):
            return httpx.Response(307, headers={"Location": "https://storage.test/file"})
        if request.url.host != "storage.test":
            return real.handle_request(request)
        if failure is None:
            raise httpx.ConnectTimeout("too slow")
        return failure

    real = httpx.HTTPTransport()
    with (
        serving(lora(1, weights(), words=())) as hub,
        source(hub.civitai_url, transport=httpx.MockTransport(broken)) as found,
    ):
        row, skip = looked(found, found.pages(OLDEST, None, None))
    real.close()
    assert isinstance(row, Checkpoint)
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.DOWNLOAD_FAILED
    assert told in skip.detail


def test_a_hub_that_is_away_ends_the_looking() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/download"):
            raise httpx.ConnectError("refused")
        return real.handle_request(request)

    real = httpx.HTTPTransport()
    with (
        serving(lora(1, weights(), words=())) as hub,
        source(hub.civitai_url, transport=httpx.MockTransport(away)) as found,
        pytest.raises(httpx.ConnectError),
    ):
        looked(found, found.pages(OLDEST, None, None))
    real.close()


def test_headers_of_a_crawl_are_few_and_the_next_crawl_goes_on() -> None:
    models = [lora(number, weights({"number": str(number)}), words=()) for number in range(1, 6)]
    kept = Kept()
    with serving(*models) as hub:
        ended = []
        for _ in range(3):
            with source(hub.civitai_url, headers=kept, civitai_headers_per_crawl=2) as found:
                pages = list(found.pages(OLDEST, None, None))
                try:
                    looked(found, pages)
                    ended.append("all")
                except Enough as enough:
                    ended.append(str(enough).partition(" headers were read")[0])
        downloads = [logged for logged in hub.requests if "/api/download" in str(logged)]
    assert ended == ["2", "2", "all"]
    assert (len(kept.headers), len(downloads)) == (5, 5)


def test_a_hub_that_calls_the_downloads_unusual_is_asked_no_more() -> None:
    models = [lora(number, weights({"number": str(number)}), words=()) for number in range(1, 4)]
    with (
        serving(*models, limits=Limits(civitai_downloads=1)) as hub,
        source(hub.civitai_url) as found,
    ):
        pages = list(found.pages(OLDEST, None, None))
        with pytest.raises(Enough, match="unusually many"):
            looked(found, pages)
        with pytest.raises(Enough):
            looked(found, pages)
        assert len([logged for logged in hub.requests if "/api/download" in str(logged)]) == 2


def test_a_look_returns_all_rows_of_the_model_its_skips_too() -> None:
    old = CivitaiVersion(
        id=99,
        name="pickle",
        base_model="SD 1.5",
        files=(CivitaiFile(id=99, name="a.ckpt", content=b"x", format="PickleTensor"),),
        published_at=at(0),
    )
    (version,) = lora(1, weights(KOHYA), words=()).versions
    model = CivitaiModel(id=1, name="two", type="LORA", versions=(version, old))
    row, skip = looks(model)
    assert isinstance(row, Checkpoint)
    assert row.training.images == 4
    assert isinstance(skip, Skip)
    assert (skip.revision, skip.reason, skip.kind) == ("99", SkipReason.PICKLE_ONLY, Kind.LORA)


def test_a_file_without_a_digest_waits_for_the_hubs_scan() -> None:
    file = CivitaiFile(id=1, name="a.safetensors", content=weights(), hashed=False)
    version = CivitaiVersion(id=1, name="v", base_model="SD 1.5", files=(file,))
    model = CivitaiModel(id=1, name="new", type="LORA", versions=(version,))
    with serving(model) as hub, source(hub.civitai_url) as found:
        (page,) = found.pages(OLDEST, None, None)
    (listing,) = page.listings
    assert isinstance(listing, Listing)
    assert not listing.look
    assert numbers([page]) == {1}
