"""A diffusers folder: configs and safetensors of its components, and nothing from outside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extraction.extraction import LoadError
from extraction.header import LIMITS, Limits, parse_object, shorten
from extraction.weights import Weights, open_weights

CONFIG_BYTES = 4_000_000
"""A shard index of a large model has 1 MB."""

STEMS = ("diffusion_pytorch_model", "model")
"""How diffusers and transformers name a component's weights."""

VARIANTS = ("", ".fp16", ".bf16")
"""Taken in this order: the most exact first."""


def read_json(path: Path, *, limit: int = CONFIG_BYTES) -> dict[str, Any]:
    """Read a stranger's JSON object.

    Raises:
        LoadError: "unsafe_file" when it is missing, too long or no JSON object.
    """
    try:
        with path.open("rb") as file:
            text = file.read(limit + 1)
    except OSError as error:
        raise LoadError("unsafe_file", f"{shorten(path.name)}: cannot be read: {error.strerror}") from error
    if len(text) > limit:
        raise LoadError(
            "unsafe_file",
            f"{shorten(path.name)}: longer than the {limit:,} bytes allowed for a config; leave it out",
        )
    try:
        return parse_object(text)
    except ValueError as error:
        raise LoadError(
            "unsafe_file",
            f"{shorten(path.name)}: not a JSON object ({shorten(error, 60)}); download it again",
        ) from error


def open_component(folder: Path, *, limits: Limits = LIMITS) -> dict[str, Weights]:
    """Open the safetensors of one component: tensor name -> the file that holds it.

    A component may lie in one file or in shards with an index.

    Raises:
        LoadError: "pickle_only", "no_weights", or what `open_weights` says of a file.
    """
    for stem in STEMS:
        for variant in VARIANTS:
            whole = folder / f"{stem}{variant}.safetensors"
            if whole.is_file():
                weights = open_weights(whole, limits=limits)
                return dict.fromkeys(weights, weights)
            index = folder / f"{stem}.safetensors.index{variant}.json"
            if index.is_file():
                return _open_shards(index, limits)
    raise no_weights(folder)


def no_weights(folder: Path) -> LoadError:
    """The error for a folder without the safetensors it should have."""
    title = shorten(folder.name)
    if any(folder.glob("*.bin")) or any(folder.glob("*.ckpt")):
        return LoadError(
            "pickle_only", f"{title}: only a pickle is there, which is not loaded, because it can run code"
        )
    return LoadError("no_weights", f"{title}: the expected safetensors file is not there; download it again")


def _open_shards(index: Path, limits: Limits) -> dict[str, Weights]:
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, Mapping) or not all(isinstance(name, str) for name in shards.values()):
        raise LoadError(
            "unsafe_file", f"{shorten(index.name)}: has no weight_map of file names; download it again"
        )
    opened: dict[str, Weights] = {}
    for name in sorted(set(shards.values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise LoadError(
                "unsafe_file",
                f"{shorten(index.name)}: '{shorten(name)}' is not the name of a safetensors file beside it",
            )
        opened[name] = open_weights(index.parent / name, limits=limits)
    found = {tensor: weights for weights in opened.values() for tensor in weights}
    if found.keys() != shards.keys() or any(
        found[tensor] is not opened[name] for tensor, name in shards.items()
    ):
        raise LoadError(
            "unsafe_file",
            f"{shorten(index.name)}: lists other tensors than its shards hold; download the folder again",
        )
    return found
