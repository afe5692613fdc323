"""Small repositories of the Hugging Face Hub, and a crawl of them by the real client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save

from crawler.checkpoint import Checkpoint, Skip
from crawler.guest.client import hub_api
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from crawler.source import Mode, NoCache
from leaksweep.hub.content import Content, HubContent, HubRepo
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


class Memory(NoCache):
    """What a catalog remembers, in memory."""

    def __init__(self) -> None:
        self.headers: dict[str, bytes] = {}
        self.answers: dict[str, bytes] = {}

    def header(self, digest: str) -> bytes | None:
        return self.headers.get(digest)

    def put_header(self, digest: str, data: bytes) -> None:
        self.headers[digest] = data

    def answer(self, name: str) -> bytes | None:
        return self.answers.get(name)

    def put_answer(self, name: str, data: bytes) -> None:
        self.answers[name] = data


def source(
    hub: LocalHub, cache: Memory | None = None, token: str | None = None, **settings: Any
) -> HuggingFace:
    plain = {"include": ["diffusers"], "list_by_base": False, "retries": 0}
    changed = CrawlerSettings(huggingface_url=hub.url, **{**plain, **settings})
    return HuggingFace(hub_api(changed, token), changed, cache)


def everything(found: HuggingFace) -> list[Checkpoint | Skip]:
    """All rows of one full pass and its looks."""
    pages = [page for shard in found.shards(Mode.FULL) for page in found.pages(shard, None, None)]
    listings = {listing.number: listing for page in pages for listing in page.listings}
    rows = [row for page in pages for row in page.rows]
    return rows + [row for one in listings.values() if one.look for row in found.look(one, ())]


def crawl(*repos: HubRepo, cache: Memory | None = None, **settings: Any) -> dict[str, Checkpoint | Skip]:
    """All rows by repository, of one crawl of a hub with these and the base."""
    with LocalHub(HubContent(repos=(BASE, *repos))) as hub:
        rows = everything(source(hub, cache, **settings))
    assert len({(row.repo, row.path) for row in rows}) == len(rows)
    return {row.repo: row for row in rows}
