"""A small pair of hubs, a crawl of both by the real sources, and what the catalog holds in the end."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from sqlalchemy import select

from crawler.catalog import Catalog, tables
from crawler.catalog.engine import open_engine
from crawler.civitai import Civitai
from crawler.crawl import CrawlSummary, crawl
from crawler.guest.client import civitai_client, hub_api
from crawler.huggingface import HuggingFace
from crawler.settings import CrawlerSettings
from leaksweep.hub import CivitaiFile, CivitaiModel, CivitaiVersion, HubContent, HubRepo, LocalHub

_TIMES = {"first_seen", "last_seen", "started_at", "ended_at", "asked_at", "at", "probed_at"}
_RUN = {"walk", "looked"}


def lora() -> bytes:
    """The least that is a LoRA of Stable Diffusion 1: one key of one cross-attention, of rank 1."""
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    shapes = {f"{layer}.lora_down.weight": (1, 768), f"{layer}.lora_up.weight": (640, 1)}
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * shape[0] * shape[1]
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def content(count: int = 120) -> HubContent:
    """A base model, and many small repositories and models that name it."""
    weights = lora()
    repos = [
        HubRepo(
            id=f"someone/lora-{index:03d}",
            files={"lora.safetensors": weights},
            card={"base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5", "tags": ["lora"]},
            created_at=f"2024-01-01T00:{index // 60:02d}:{index % 60:02d}.000Z",
            gated="auto" if index % 10 == 0 else False,
        )
        for index in range(count)
    ]
    models = [
        CivitaiModel(
            id=number,
            name=f"model {number}",
            type="LORA",
            downloads=number,
            versions=(
                CivitaiVersion(
                    id=1000 + number,
                    name="v1",
                    base_model="SD 1.5",
                    files=(CivitaiFile(id=2000 + number, name="a.safetensors", content=weights),),
                    trained_words=(f"word {number}",),
                    published_at=f"2024-01-01T00:{number // 60:02d}:{number % 60:02d}.000Z",
                ),
            ),
        )
        for number in range(1, count + 1)
    ]
    return HubContent(repos=tuple(repos), civitai=tuple(models))


def settings_for(hub: LocalHub, **changes: Any) -> CrawlerSettings:
    fields: dict[str, Any] = {
        "huggingface_url": hub.url,
        "civitai_url": hub.civitai_url,
        "include": ("lora", "diffusers"),
        "list_by_base": False,
        "civitai_types": ("LORA",),
        "civitai_interval_seconds": 0.0,
        "page_size": 10,
        "headroom": 0.0,
        "contact": "tests@example.org",
    }
    return CrawlerSettings(**{**fields, **changes})


def crawl_once(path: Path, settings: CrawlerSettings) -> CrawlSummary:
    """Both hubs, into the catalog at `path`."""
    engine = open_engine(f"sqlite:///{path}")
    catalog = Catalog(engine)
    catalog.create()
    with civitai_client(settings, None) as client:
        hugging_face = HuggingFace(hub_api(settings, None), settings, catalog.asked)
        sources = [hugging_face, Civitai(client, settings, catalog.asked)]
        summary = crawl(sources, catalog, settings, resolve_base=hugging_face.resolve_base)
    engine.dispose()
    return summary


def rows(path: Path) -> dict[str, list[Any]]:
    """What the catalog holds, without times and without the numbers of walks."""
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        found = {
            table.name: sorted(
                repr([value for name, value in row.items() if name not in _TIMES | _RUN])
                for row in db.execute(select(table)).mappings()
            )
            for table in tables.metadata.sorted_tables
            if table not in (tables.walk, tables.shard)
        }
    engine.dispose()
    return found
