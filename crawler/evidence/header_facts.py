"""What one safetensors header says in all, read through the cache: each file's header is asked for once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crawler.checkpoint import BaseClaim, Kind, Prompt, RemoteFile, Training
from crawler.evidence import tensor_names, training_metadata
from crawler.evidence.headers import Header, RangeReader, parse_header, read_header
from crawler.source import HeaderCache


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFacts:
    """Names and shapes prove; metadata only claims."""

    kind: Kind | None
    """None for what is none of ours; `kind_name` then says what it is."""
    kind_name: str
    family: str | None
    """Proved by shapes; "unknown" when they rule out a U-Net, None when they leave it open."""
    claims: tuple[BaseClaim, ...]
    prompts: tuple[Prompt, ...]
    training: Training
    base_digest: str | None
    """SHA-256 of the base that was loaded, also where no table knows it."""


def header_facts(header: Header, base_models: Mapping[str, str]) -> HeaderFacts:
    """Gather what a header tells; `base_models` are the operator's own bases by digest."""
    return HeaderFacts(
        kind=tensor_names.kind_of(header.tensors),
        kind_name=tensor_names.kind_name(header.tensors),
        family=tensor_names.family_of(header.tensors),
        claims=training_metadata.base_claims(header.metadata, base_models),
        prompts=training_metadata.prompts(header.metadata),
        training=training_metadata.training(header.metadata),
        base_digest=training_metadata.base_digest(header.metadata),
    )


def cached_header(file: RemoteFile, read: RangeReader, cache: HeaderCache) -> Header:
    """The file's header, from the cache or from the hub.

    Raises:
        HeaderError: not a safetensors file, or one outside the limits.
    """
    data = cache.header(file.sha256) if file.sha256 else None
    if data is None:
        data = read_header(read, file.url, file.size)
        header = parse_header(data, file.size)
        if file.sha256:
            cache.put_header(file.sha256, data)
        return header
    return parse_header(data, file.size)


def merge_claims(*groups: tuple[BaseClaim, ...]) -> tuple[BaseClaim, ...]:
    """All claims, best grade first; within a grade the groups keep their order."""
    return tuple(sorted((claim for group in groups for claim in group), key=lambda claim: -claim.grade))
