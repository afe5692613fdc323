"""Records of a crawl, a clock that is moved by hand, and a catalog to put them into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from crawler.catalog import Catalog, Walk
from crawler.checkpoint import (
    BaseClaim,
    Checkpoint,
    Grade,
    Hub,
    Kind,
    Layout,
    Listing,
    Page,
    Presence,
    Prompt,
    PromptOrigin,
    RemoteFile,
    Skip,
    SkipReason,
    Training,
)

HF, CIVITAI = Hub.HUGGINGFACE, Hub.CIVITAI
WEEK, DAY = timedelta(days=7), timedelta(days=1)


@dataclass
class Clock:
    """The catalog's time. It stands still until it is moved."""

    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> str:
        return self.time.isoformat(timespec="seconds")

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


def checkpoint(
    repo: str = "a/lora", revision: str = "r1", path: str = "x.safetensors", hub: Hub = HF
) -> Checkpoint:
    return Checkpoint(
        hub=hub,
        repo=repo,
        revision=revision,
        path=path,
        kind=Kind.LORA,
        layout=Layout.FILE,
        family="sd1",
        files=(RemoteFile(path=path, url=f"https://hub.test/{repo}/{path}", size=3, sha256="ab" * 32),),
        claims=(
            BaseClaim(repo=None, family="sd1", source="header digest", grade=Grade.DIGEST),
            BaseClaim(repo="a/base", family="sd1", source="card", grade=Grade.DECLARED),
        ),
        prompts=(Prompt(text="a photo of sks dog; 犬 '", origin=PromptOrigin.INSTANCE_PROMPT),),
        training=Training(images=5, steps=100, resolution=64),
        title="=cmd|' /C calc'!A0",
        downloads=7,
    )


def skip(repo: str = "a/lora", revision: str = "r1", path: str = "", hub: Hub = HF) -> Skip:
    return Skip(
        hub=hub, repo=repo, revision=revision, path=path, reason=SkipReason.GATED, detail="ask for access"
    )


def listing(
    number: str = "1",
    repo: str = "a/lora",
    revision: str = "r1",
    presence: Presence = Presence.PRESENT,
    *,
    hub: Hub = HF,
    look: bool = False,
    downloads: int | None = 7,
    updated_at: str | None = None,
    facts: str = "",
) -> Listing:
    return Listing(
        hub=hub,
        number=number,
        repo=repo,
        revision=revision,
        presence=presence,
        look=look,
        downloads=downloads,
        updated_at=updated_at,
        facts=facts,
    )


def page(*rows: Checkpoint | Skip, listings: Sequence[Listing] = (), cursor: str | None = None) -> Page:
    return Page(rows=rows, listings=tuple(listings), cursor=cursor)


def begun(catalog: Catalog, hub: Hub = HF, *shards: str) -> Walk:
    """A walk of the hub, with these listings or one that is called "all"."""
    walk = catalog.walks.begin(hub, full_every=WEEK, overlap=DAY)
    catalog.walks.take(walk, shards or ["all"])
    return walk
