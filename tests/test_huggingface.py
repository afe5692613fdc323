"""The Hugging Face source against the local hub, spoken to by the real client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory
from safetensors.numpy import save

from crawler.checkpoint import Base, Checkpoint, Grade, Hub, Kind, Layout, Page, Skip, SkipReason
from crawler.guest.client import hub_api
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from crawler.source import SourceError
from leaksweep.hub.content import Content, HubContent, HubRepo
from leaksweep.hub.faults import Faults, Strike
from leaksweep.hub.serve import LocalHub

CROSS = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
TAGS = {"10_sks thing": {"a picture of sks thing": 6}}
DIRS = {"10_sks thing": {"n_repeats": 10, "img_count": 6}}
KOHYA = {"ss_tag_frequency": json.dumps(TAGS), "ss_dataset_dirs": json.dumps(DIRS), "ss_steps": "100"}


def weights(
    metadata: Mapping[str, str] | None = None, width: int = 64, suffix: str = "lora_down.weight"
) -> bytes:
    up = {f"lora_unet_{CROSS}.lora_up.weight": np.zeros((64, 4), np.float16)}
    down = {f"lora_unet_{CROSS}.{suffix}": np.zeros((4, width), np.float16)}
    return save(up | down, dict(metadata) if metadata else None)


def folder(pipeline: str = "StableDiffusionPipeline", **unet: Any) -> dict[str, Content]:
    tensors = save({"a": np.zeros(100, np.float16)})
    return {
        "model_index.json": json.dumps({"_class_name": pipeline}).encode(),
        "unet/config.json": json.dumps({"cross_attention_dim": 64, **unet}).encode(),
        "unet/diffusion_pytorch_model.safetensors": tensors,
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": tensors,
        "text_encoder/config.json": b"{}",
        "text_encoder/model.safetensors": tensors,
        "tokenizer/vocab.json": b"{}",
        "scheduler/scheduler_config.json": b"{}",
    }


def lora(name: str, data: bytes | None = None, base: str | None = "zoo/base", **card: Any) -> HubRepo:
    declared = {"base_model": base} if base else {}
    return HubRepo(
        id=f"me/{name}",
        files={f"{name}.safetensors": data if data is not None else weights()},
        card={"tags": ["lora"], **declared, **card},
    )


BASE = HubRepo(id="zoo/base", files=folder(), renamed_from=("zoo/old-name",))


@pytest.fixture(autouse=True)
def the_librarys_own_client() -> Iterator[None]:
    """The client of huggingface_hub is the process's: give it back."""
    yield
    set_client_factory(default_client_factory)


class Memory:
    """A header cache in memory."""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}

    def header(self, digest: str) -> bytes | None:
        return self.known.get(digest)

    def put_header(self, digest: str, data: bytes) -> None:
        self.known[digest] = data


def source(hub: LocalHub, cache: Memory | None = None, **settings: Any) -> HuggingFace:
    changed = CrawlerSettings(huggingface_url=hub.url, **{"include": ["diffusers"], "retries": 0, **settings})
    return HuggingFace(hub_api(changed, None), changed, cache)


def crawl(*repos: HubRepo, cache: Memory | None = None, **settings: Any) -> dict[str, Checkpoint | Skip]:
    """All rows by repository, of one crawl of a hub with these and the base."""
    with LocalHub(HubContent(repos=(BASE, *repos))) as hub:
        found = source(hub, cache, **settings)
        rows = [row for shard in found.shards() for page in found.pages(shard, None) for row in page.rows]
    assert len({(row.repo, row.path) for row in rows}) == len(rows)
    return {row.repo: row for row in rows}


def test_what_the_listing_tells_is_not_asked_for_again() -> None:
    with LocalHub(HubContent(repos=(BASE, lora("one", instance_prompt="a sks")))) as hub:
        rows = [row for page in source(hub).pages("filter=lora", None) for row in page.rows]
        asked = [request.path for request in hub.requests]
    (row,) = rows
    assert isinstance(row, Checkpoint)
    assert (row.hub, row.repo, row.path, row.kind) == (
        Hub.HUGGINGFACE,
        "me/one",
        "one.safetensors",
        Kind.LORA,
    )
    assert (row.family, row.title) == ("sd1", "one")
    assert [prompt.text for prompt in row.prompts] == ["a sks"]
    assert row.base
    assert (row.base.repo, row.base.source, row.base.grade) == ("zoo/base", "hub relation", Grade.DECLARED)
    assert row.files[0].size == len(weights())
    assert row.files[0].url == f"{hub.url}/me/one/resolve/{row.revision}/one.safetensors"
    assert row.sha256
    assert not [path for path in asked if path.endswith("one.safetensors")]


def test_a_header_tells_captions_and_the_size_of_the_training() -> None:
    row = crawl(lora("kohya", weights(KOHYA)))["me/kohya"]
    assert isinstance(row, Checkpoint)
    assert [prompt.text for prompt in row.prompts] == ["a picture of sks thing", "sks thing"]
    assert (row.training.images, row.training.steps) == (6, 100)


def test_a_header_is_read_once_and_only_if_the_settings_allow() -> None:
    cache = Memory()
    data = weights(KOHYA)
    repo = lora("kohya", data)
    crawl(repo, cache=cache)
    ((digest, header),) = cache.known.items()
    assert header == data[: len(header)]
    cache.known[digest] = header.replace(b"sks thing", b"sks other")
    row = crawl(repo, cache=cache)["me/kohya"]
    assert isinstance(row, Checkpoint)
    assert row.prompts[0].text == "a picture of sks other"
    unread = crawl(repo, read_headers=False)["me/kohya"]
    assert isinstance(unread, Checkpoint)
    assert (unread.prompts, unread.kind) == ((), Kind.LORA)


def test_a_digest_in_a_header_outweighs_the_card() -> None:
    digest = {"ss_new_sd_model_hash": "ab" * 32}
    bases = {"ab" * 32: "zoo/base"}
    row = crawl(lora("liar", weights(digest), base="zoo/other"), base_models=bases)["me/liar"]
    assert isinstance(row, Checkpoint)
    assert [(claim.repo, claim.grade) for claim in row.claims] == [
        ("zoo/base", Grade.DIGEST),
        ("zoo/other", Grade.DECLARED),
    ]


@pytest.mark.parametrize(
    ("data", "reason", "family"),
    [
        (weights(width=2048), SkipReason.UNSUPPORTED_FAMILY, "sdxl"),
        (weights(suffix="oft_diag"), SkipReason.UNSUPPORTED_KIND, None),
        (b"\x80\x04pickle", SkipReason.NOT_WEIGHTS, None),
        (weights()[:-1], SkipReason.UNSAFE_FILE, None),
        ((10**9).to_bytes(8, "little") + b"{" + b" " * 100, SkipReason.UNSAFE_FILE, None),
    ],
)
def test_a_header_that_contradicts_or_is_none(data: bytes, reason: SkipReason, family: str | None) -> None:
    row = crawl(lora("odd", data))["me/odd"]
    assert isinstance(row, Skip)
    assert (row.reason, row.family, row.path) == (reason, family, "odd.safetensors")


def test_kinds_are_told_by_the_header() -> None:
    rows = crawl(
        HubRepo(
            id="me/dora",
            files={"a.safetensors": weights(suffix="dora_scale")},
            card={"base_model": "zoo/base"},
        ),
        HubRepo(
            id="me/full",
            files={"a.safetensors": save({"model.diffusion_model.out.0.weight": np.zeros(4, np.float16)})},
            card={"base_model": "zoo/base"},
        ),
    )
    dora, full = rows["me/dora"], rows["me/full"]
    assert isinstance(dora, Checkpoint)
    assert isinstance(full, Checkpoint)
    assert (dora.kind, full.kind, full.layout) == (Kind.DORA, Kind.FULL, Layout.FILE)


def test_folders() -> None:
    unet = {"_name_or_path": "zoo/base"}
    rows = crawl(
        HubRepo(id="me/full", files=folder(**unet)),
        HubRepo(id="me/two", files=folder(use_linear_projection=True)),
        HubRepo(id="me/xl", files=folder("StableDiffusionXLPipeline")),
        base_models={"SD 1.5": "zoo/base"},
    )
    full, two, xl, base = rows["me/full"], rows["me/two"], rows["me/xl"], rows["zoo/base"]
    assert isinstance(full, Checkpoint)
    assert isinstance(two, Checkpoint)
    assert (full.layout, full.path, full.family, two.family) == (Layout.FOLDER, "", "sd1", "sd2")
    assert len(full.files) == len(folder())
    assert full.base
    assert (full.base.repo, full.base.source) == ("zoo/base", "unet config")
    assert isinstance(xl, Skip)
    assert (xl.reason, xl.family) == (SkipReason.UNSUPPORTED_FAMILY, "sdxl")
    assert isinstance(base, Skip)
    assert base.reason is SkipReason.BASE_MODEL


def test_the_family_of_an_unknown_base_is_asked_for_once() -> None:
    xl = HubRepo(id="zoo/xl", files=folder("StableDiffusionXLPipeline"))
    adapters = [
        lora(f"{name}{n}", base=f"zoo/{name}", instance_prompt="x") for name in ("base", "xl") for n in (1, 2)
    ]
    with LocalHub(HubContent(repos=(BASE, xl, *adapters))) as hub:
        rows = [row for page in source(hub).pages("filter=lora", None) for row in page.rows]
        asked = [request.path for request in hub.requests]
    families = {row.repo: row.family for row in rows}
    assert families == {"me/base1": "sd1", "me/base2": "sd1", "me/xl1": "sdxl", "me/xl2": "sdxl"}
    assert asked.count("/api/models/zoo/base") == asked.count("/api/models/zoo/xl") == 1


def test_a_base_that_nobody_knows() -> None:
    rows = crawl(
        lora("a", base="nobody/nothing", instance_prompt="x"),
        lora("b", base=None),
        lora("c", weights(width=768), base=None),
    )
    a, b, c = rows["me/a"], rows["me/b"], rows["me/c"]
    assert isinstance(a, Skip)
    assert isinstance(b, Skip)
    assert a.reason is b.reason is SkipReason.UNKNOWN_BASE
    assert isinstance(c, Checkpoint)
    assert (c.family, c.base) == ("sd1", None)


def test_refusals_are_rows() -> None:
    rows = crawl(
        HubRepo(id="me/gated", files=folder(), gated="manual"),
        HubRepo(id="me/disabled", files=folder(), disabled=True),
        HubRepo(id="me/pickle", files={"model.ckpt": b"\x80\x04"}),
        lora("refuses"),
        opt_out=["me/refuses"],
    )
    reasons = {repo: row.reason for repo, row in rows.items() if isinstance(row, Skip)}
    assert reasons == {
        "me/gated": SkipReason.GATED,
        "me/disabled": SkipReason.DISABLED,
        "me/pickle": SkipReason.PICKLE_ONLY,
        "me/refuses": SkipReason.OPTED_OUT,
    }


def walk(hub: LocalHub, cursor: str | None = None, **settings: Any) -> list[Page]:
    return list(source(hub, **settings).pages("filter=lora", cursor))


MANY = tuple(
    HubRepo(
        id=f"me/l{n:02}",
        files={"a.safetensors": weights()},
        card={"tags": ["lora"], "base_model": "zoo/base", "instance_prompt": "x"},
        created_at=f"2024-01-01T00:00:{n // 2:02}.000Z",
    )
    for n in range(11)
)


def test_a_listing_goes_on_from_every_cursor_at_another_endpoint_and_page_size() -> None:
    content = HubContent(repos=(BASE, *MANY))
    with LocalHub(content) as hub:
        pages = walk(hub, page_size=3)
    assert [len(page.rows) for page in pages] == [3, 3, 3, 2]
    assert [page.cursor is None for page in pages] == [False, False, False, True]
    everything = [row.repo for page in pages for row in page.rows]
    assert sorted(everything) == [repo.id for repo in MANY]
    assert hub.url.rsplit(":", 1)[1] not in str([page.cursor for page in pages])
    with LocalHub(content) as other:
        for index, page in enumerate(pages[:-1]):
            rest = walk(other, page.cursor, page_size=4)
            assert [row.repo for more in rest for row in more.rows] == everything[3 * (index + 1) :]


def test_a_repository_in_two_listings_is_one_row() -> None:
    with LocalHub(HubContent(repos=(BASE, *MANY[:3]))) as hub:
        found = source(hub, include=["diffusers", "author=me"])
        pages = [page for shard in found.shards() for page in found.pages(shard, None)]
    assert found.shards() == ["filter=diffusers", "author=me"]
    assert [len(page.rows) for page in pages] == [4, 0]
    assert pages[1].notes == {"seen_twice": 3}


def test_a_page_that_was_not_committed_comes_again() -> None:
    with LocalHub(HubContent(repos=(BASE, *MANY))) as hub:
        found = source(hub, page_size=100)
        first = next(found.pages("filter=lora", None))
        again = next(found.pages("filter=lora", None))
    assert [row.repo for row in first.rows] == [row.repo for row in again.rows]


def test_a_hub_that_breaks_down_is_an_error_that_says_how_to_go_on() -> None:
    faults = Faults(server_error=Strike(on="huggingface/api/models"))
    with (
        LocalHub(HubContent(repos=(BASE,)), faults=faults) as hub,
        pytest.raises(SourceError, match="crawl again"),
    ):
        walk(hub)


def test_a_repository_that_breaks_down_is_a_row_to_be_tried_again() -> None:
    faults = Faults(server_error=Strike(on="unet/config.json"))
    with LocalHub(HubContent(repos=(BASE,)), faults=faults) as hub:
        (page,) = source(hub).pages("filter=diffusers", None)
    (row,) = page.rows
    assert isinstance(row, Skip)
    assert row.reason is SkipReason.DOWNLOAD_FAILED


def test_bases() -> None:
    repos = (
        BASE,
        HubRepo(id="zoo/gated", files=folder(), gated="auto"),
        HubRepo(
            id="zoo/pickle",
            files={**folder(), "unet/diffusion_pytorch_model.safetensors": b""} | {"a.bin": b""},
        ),
        HubRepo(id="zoo/single", files={"a.safetensors": weights()}),
    )
    with LocalHub(HubContent(repos=repos)) as hub:
        found = source(hub)
        base = found.resolve_base("zoo/base")
        renamed = found.resolve_base("zoo/old-name")
        reasons = {
            name: skip.reason
            for name in ("zoo/gated", "zoo/single", "nobody/nothing")
            if isinstance(skip := found.resolve_base(name), Skip)
        }
    assert isinstance(base, Base)
    assert renamed == base
    assert (base.repo, base.family, len(base.revision)) == ("zoo/base", "sd1", 40)
    assert [file.path for file in base.files][:3] == [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ]
    assert reasons == {
        "zoo/gated": SkipReason.GATED,
        "zoo/single": SkipReason.MISSING_BASE,
        "nobody/nothing": SkipReason.MISSING_BASE,
    }
