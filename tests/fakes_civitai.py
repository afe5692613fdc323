"""Models for the local hub's Civitai side, a client for it, and a hub that breaks on one model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save

from crawler.checkpoint import Checkpoint, Listing, Page, Skip
from crawler.civitai import Civitai
from crawler.settings import CrawlerSettings
from crawler.source import HeaderCache, Mode
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion, HubContent
from leaksweep.hub.serve import LocalHub

CROSS = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
START = datetime(2024, 1, 1, tzinfo=UTC)


def weights(
    metadata: dict[str, str] | None = None, width: int = 768, suffix: str = "lora_down.weight"
) -> bytes:
    """A LoRA of one layer, SD 1.x's by its width."""
    tensors = {f"{CROSS}.lora_up.weight": (320, 4), f"{CROSS}.{suffix}": (4, width)}
    return save({name: np.zeros(shape, np.float16) for name, shape in tensors.items()}, metadata)


def at(minutes: float) -> str:
    """A time as the hub writes it."""
    return (START + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lora(
    number: int,
    data: bytes = b"weights",
    words: tuple[str, ...] = ("sks",),
    minutes: float | None = None,
    **more: Any,
) -> CivitaiModel:
    """A model with one version; `more` are fields of the model, or of the version where it has them."""
    of_version = {name: more.pop(name) for name in list(more) if name in ("base_model", "usage_control")}
    version = CivitaiVersion(
        id=number,
        name="v1",
        base_model=of_version.pop("base_model", "SD 1.5"),
        files=(CivitaiFile(id=number, name="a.safetensors", content=data),),
        trained_words=words,
        published_at=at(number if minutes is None else minutes),
        **of_version,
    )
    content = {"type": "LORA", "downloads": number % 7} | more
    return CivitaiModel(id=number, name=f"model {number}", versions=(version,), **content)


def serving(*models: CivitaiModel, **hub: Any) -> LocalHub:
    """A hub with these models, to be entered."""
    return LocalHub(HubContent(civitai=models), **hub)


@contextmanager
def source(
    url: str,
    *,
    transport: httpx.BaseTransport | None = None,
    token: str | None = None,
    headers: HeaderCache | None = None,
    now: Callable[[], datetime] = lambda: datetime(2026, 6, 1, tzinfo=UTC),
    **change: Any,
) -> Iterator[Civitai]:
    """A source of small pages with a plain httpx client: no retries, so that answers are as scripted."""
    settings = CrawlerSettings(**{"page_size": 3, "civitai_types": ["LORA"], "civitai_url": url, **change})
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(
        base_url=url, follow_redirects=True, transport=transport, headers=authorization
    ) as client:
        yield Civitai(client, settings, headers, now)


def walked(found: Civitai, mode: Mode = Mode.FULL, since: datetime | None = None) -> list[Page]:
    """All pages of all listings, but for those by base models that none of `lora` has."""
    shards = [name for name in found.shards(mode) if "baseModels" not in name or "SD+1.5&" in name]
    return [page for shard in shards for page in found.pages(shard, None, since)]


def numbers(pages: Iterable[Page]) -> set[int]:
    """Ids of the models listed on pages."""
    return {int(listing.number) for page in pages for listing in page.listings}


def rows(pages: Iterable[Page]) -> list[Checkpoint | Skip]:
    """All rows of pages, each repository's once."""
    kept: dict[str, list[Checkpoint | Skip]] = {}
    for page in pages:
        for repo in {row.repo for row in page.rows}:
            kept[repo] = [row for row in page.rows if row.repo == repo]
    return [row for repo in sorted(kept) for row in kept[repo]]


def looked(found: Civitai, pages: Iterable[Page]) -> list[Checkpoint | Skip]:
    """All rows after a look at each model that asks for one."""
    listings: dict[str, tuple[Listing, list[Checkpoint | Skip]]] = {}
    for page in pages:
        for listing in page.listings:
            listings[listing.number] = listing, [row for row in page.rows if row.repo == listing.repo]
    ended: list[Checkpoint | Skip] = []
    for listing, known in listings.values():
        checkpoints = [row for row in known if isinstance(row, Checkpoint)]
        ended += found.look(listing, checkpoints) if listing.look else known
    return ended


class BreaksOn(httpx.BaseTransport):
    """A hub that answers 500 whenever a certain model would be in the answer."""

    def __init__(self, *ids: int) -> None:
        self._ids = set(ids)
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        data = answer.read()
        content = json.loads(data)
        rows = content.get("items", [content]) if isinstance(content, dict) else []
        if self._ids & {row.get("id") for row in rows}:
            return httpx.Response(500, json={"error": "Cannot read properties of undefined (reading 'file')"})
        return httpx.Response(answer.status_code, content=data, headers={"Content-Type": "application/json"})

    def close(self) -> None:
        self._inner.close()


Answer = httpx.Response | Callable[[httpx.Request], httpx.Response]


class Script(httpx.BaseTransport):
    """Answers one request after the other, and remembers the paths and queries."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.URL] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        answer = self._answers.pop(0)
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def values(self, name: str) -> list[str | None]:
        """What each request had for a parameter."""
        return [url.params.get(name) for url in self.asked]


def answer(*ids: int, cursor: object = None, **more: Any) -> httpx.Response:
    """A page of models without versions."""
    models: Sequence[Any] = [{"id": number, "type": "Other", "modelVersions": []} for number in ids]
    metadata = ({"nextCursor": cursor} if cursor else {}) | more
    return httpx.Response(200, json={"items": models, "metadata": metadata})
