"""peft's folders: a config with the strength, and tensors that name a layer without its component."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from extraction.adapters.adapter import Adapter, match
from extraction.adapters.parts import split
from extraction.adapters.places import Places
from extraction.adapters.recognise import refuse_unsupported
from extraction.adapters.strength import Config, Strength
from extraction.folder import no_weights, read_json
from extraction.original import Original
from extraction.weights import open_weights

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def is_folder(folder: Path, original: Original) -> bool:
    """Whether a folder holds peft adapters."""
    return any((part / CONFIG).is_file() for part in (folder, *_parts(folder, original)))


def read(folder: Path, original: Original, *, limit: int = 1_000_000) -> Adapter:
    """Match a peft folder to the base's layers.

    The folder holds the adapter of one component, or has a folder for each, as "unet" or "transformer".

    Args:
        limit: bytes of a config.

    Raises:
        LoadError: "does_not_fit", "unsupported_kind", or what `open_weights` says of the file.
    """
    if (folder / CONFIG).is_file():
        return _read_component(folder, original, original.components, limit)
    found = [
        _read_component(part, original, (part.name,), limit)
        for part in _parts(folder, original)
        if (part / CONFIG).is_file()
    ]
    changes = {place: change for adapter in found for place, change in adapter.changes.items()}
    return replace(
        found[0], changes=changes, notes=tuple(note for adapter in found for note in adapter.notes)
    )


def _parts(folder: Path, original: Original) -> list[Path]:
    return [folder / component for component in original.components]


def _read_component(folder: Path, original: Original, components: tuple[str, ...], limit: int) -> Adapter:
    """Match one adapter to the layers of its component: of several, the one that has most of them."""
    config = Config.parse(read_json(folder / CONFIG, limit=limit))
    if not (folder / WEIGHTS).is_file():
        raise no_weights(folder)
    weights = open_weights(folder / WEIGHTS)
    refuse_unsupported(weights)
    places = Places(original)
    stems = [found[0] for name in weights if (found := split(name)) is not None]
    component = max(components, key=lambda c: sum(places.find_in(c, stem) is not None for stem in stems))
    find = partial(places.find_in, component)
    return match(weights, original, find, places, Strength({component: config}))
