"""[crawler] in config.toml: which hubs are asked for what, and how gently."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from crawler.checkpoint import Hub
from crawler.evidence.observations import KeepLeaks

Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*)?$")]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class CrawlerSettings(BaseModel):
    """What is crawled and downloaded. Tokens come from HF_TOKEN and CIVITAI_TOKEN in the environment only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Hub, ...] = Field(
        default=(Hub.HUGGINGFACE, Hub.CIVITAI), min_length=1, description="Hubs to crawl, in this order."
    )
    huggingface_url: Url = Field(default="https://huggingface.co", description="The Hugging Face Hub.")
    civitai_url: Url = Field(default="https://civitai.com", description="Where Civitai is, without /api/v1.")
    contact: str = Field(
        default="",
        max_length=200,
        pattern=r"^[\x20-\x7e]*$",
        description="An address or page where a hub's operators can reach you; goes into the user agent.",
    )
    include: tuple[Word, ...] = Field(
        default=("pipeline_tag=text-to-image", "diffusers", "lora", "textual_inversion", "stable-diffusion"),
        description="Hugging Face tags, or queries with =, to list; a repository found twice counts once.",
    )
    list_by_base: bool = Field(
        default=True,
        description="List Hugging Face by known base models and pipeline classes, too: for untagged ones.",
    )
    civitai_types: tuple[Word, ...] = Field(
        default=("Checkpoint", "LORA", "LoCon", "DoRA", "TextualInversion"),
        description="Civitai model types to list.",
    )
    civitai_headers_per_crawl: int = Field(
        default=200,
        ge=0,
        description="Headers read from Civitai in one crawl; each counts as a download, and it allows few.",
    )
    base_models: dict[str, Word] = Field(
        default_factory=dict,
        description="Civitai base model label to Hugging Face repository; overrides the built-in table.",
    )
    opt_out: tuple[Word, ...] = Field(
        default=(), description="Owners, repositories and Civitai model ids that are left alone."
    )
    page_size: int = Field(
        default=100, ge=1, le=1000, description="Rows asked for at a time; Civitai gives 100 at most."
    )
    full_pass_days: int = Field(
        default=7,
        ge=1,
        le=365,
        description="Read a hub whole after so many days; until then, what its dates say has changed.",
    )
    overlap_hours: float = Field(
        default=24.0,
        ge=0,
        le=720,
        description="How far before the last pass an increment reads back, for clocks and late answers.",
    )
    tombstone_days: int = Field(
        default=21,
        ge=1,
        le=365,
        description="A repository that a hub denies for so long, on three days at least, counts as gone.",
    )
    look_inside: bool = Field(
        default=True,
        description="Ask for file lists, configs and headers where a listing is not enough, or list only.",
    )
    read_headers: bool = Field(
        default=True,
        description="Read LoRA headers for their training facts; a hub may count that as a download.",
    )
    keep_leaks: KeepLeaks = Field(
        default=KeepLeaks.HASHED,
        description="Paths, names and addresses found in headers: hashed, plain, or nothing.",
    )
    max_checkpoints: int | None = Field(
        default=None,
        ge=1,
        description='End a crawl after the page that reaches so many checkpoints; "none": at the end.',
    )
    max_file_bytes: int = Field(
        default=32 * 2**30, ge=1, description="Largest single file that is downloaded, in bytes."
    )
    store_bytes: int = Field(
        default=200 * 2**30,
        ge=0,
        description="Budget of the download store, in bytes; files unused for longest make room.",
    )
    part_days: int = Field(
        default=7,
        ge=0,
        le=365,
        description="Unfinished downloads that no job needs are removed after so many days without a byte.",
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Wait for a connection, or for the next bytes of an answer."
    )
    retries: int = Field(default=5, ge=0, le=20, description="Further attempts after a failed one.")
    headroom: float = Field(
        default=0.2, ge=0, lt=1, description="Share of a hub's announced rate limit left unused, 0 to 1."
    )
    civitai_interval_seconds: float = Field(
        default=1.0, ge=0, le=60, description="Least time between requests to Civitai, which tells no limit."
    )
