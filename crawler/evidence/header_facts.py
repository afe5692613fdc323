"""What one safetensors header says in all, read through the cache: each file's header is asked for once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.checkpoint import BaseClaim, Grade, Kind, Observation, Prompt, RemoteFile, Training
from crawler.evidence import base_metadata, captions, tensor_names, training_metadata
from crawler.evidence.datasets import read_dataset
from crawler.evidence.families import UNKNOWN
from crawler.evidence.headers import Header, RangeReader, parse_header, read_header
from crawler.evidence.resolve import best_first
from crawler.evidence.wishes import wishes
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
    wish: str | None
    """Why the header asks not to be processed; None when it does not."""
    observations: tuple[Observation, ...]


Observe = Callable[[Mapping[str, Any]], tuple[Observation, ...]]
"""Finds what metadata gives away: `crawler.evidence.observations.Observer`."""


def header_facts(
    header: Header, base_models: Mapping[str, str], observe: Observe | None = None
) -> HeaderFacts:
    """Gather what a header tells; `base_models` are the operator's own bases by digest."""
    kind = tensor_names.kind_name(header.tensors)
    families = tensor_names.families_of(header.tensors)
    dataset = read_dataset(header.metadata)
    return HeaderFacts(
        kind=Kind(kind) if kind in set(Kind) else None,
        kind_name=kind,
        family=families[0] if len(families) == 1 else None,
        claims=best_first((*_proof(families), *base_metadata.base_claims(header.metadata, base_models))),
        prompts=captions.prompts(header.metadata, dataset),
        training=training_metadata.training(header.metadata, dataset),
        base_digest=base_metadata.base_digest(header.metadata),
        wish=wishes({}, (), header.metadata),
        observations=observe(header.metadata) if observe else (),
    )


def _proof(families: Sequence[str]) -> list[BaseClaim]:
    """One claim for each family that names and shapes leave possible."""
    return [
        BaseClaim(repo=None, family=family, source="names and shapes", grade=Grade.TENSORS)
        for family in families
        if family != UNKNOWN
    ]


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
    return best_first(claim for group in groups for claim in group)
