"""An adapter file matched to the base: every tensor used, or counted and named as unused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from extraction.adapters.layer import LayerChange, check_layer
from extraction.adapters.parts import split
from extraction.adapters.places import Place, Places
from extraction.adapters.recognise import refuse_foreign
from extraction.adapters.strength import Strength
from extraction.adapters.textual_inversion import Word, bundled, read_words
from extraction.extraction import LoadError
from extraction.original import Original
from extraction.weights import Weights, shorten

MOST_UNUSED = 0.01
"""Share of a file's numbers that may have no place in the base before it is called a fine-tune of another."""

NAMED = 3
"""Unused tensors that a note names."""

BIASES = ("diff_b", "up_bias")

Find = Callable[[str], Place | None]


@dataclass(frozen=True, slots=True)
class Adapter:
    """Changes of the base's layers, and words that its text encoders are taught."""

    layout: str
    """ "kohya", "diffusers", "peft", "xlabs" or "original"."""
    kind: str
    """ "lora", "dora", "loha", "lokr", "difference" or "textual_inversion"."""
    changes: Mapping[Place, LayerChange]
    notes: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()

    def values(self, base: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield each changed parameter of the base with its new value in fp32.

        The change is added to the base's stored values, whatever their dtype, so that only one
        rounding, the caller's, enters the difference between the two models.
        """
        for place, change in self.changes.items():
            if change.form != "bias":
                yield from _added(place, "weight", change.delta, base)
            if change.names.keys() & set(BIASES):
                yield from _added(place, "bias", change.bias_delta, base)

    def delta(self, layer: str, base: Mapping[str, Tensor]) -> Tensor | None:
        """The change of one layer's weight in fp32, such as "unet.conv_in"; None when it has none."""
        for place, change in self.changes.items():
            if layer in place.layers and change.form != "bias":
                return dict(_deltas(place, "weight", change.delta, base))[f"{layer}.weight"]
        return None

    def factors(self, layer: str, base: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Matrices (out, r) and (r, in) whose product is the change of one layer's weight, if there are."""
        for place, change in self.changes.items():
            if layer in place.layers and place.turn is None:
                thin = change.factors(base[f"{layer}.weight"].device)
                rows = [base[f"{name}.weight"].shape[0] for name in place.layers]
                return thin and (torch.split(thin[0], rows)[place.layers.index(layer)], thin[1])
        return None


def match(weights: Weights, original: Original, find: Find, places: Places, strength: Strength) -> Adapter:
    """Match the tensors of one file to the base's layers.

    Raises:
        LoadError: "does_not_fit" for a layer with half a pair, a wrong shape or two spellings, or when
            more than a hundredth of the file has no place; "unsupported_kind", "not_finite".
    """
    parts: dict[Place, dict[str, str]] = {}
    taught = dict.fromkeys(bundled(weights))
    unused: list[str] = []
    spelled: Counter[str] = Counter()
    for name in weights:
        if name in taught:
            continue
        found = split(name)
        place = None if found is None else find(found[0])
        if found is None or place is None or not _has(place, found[1], original, places):
            unused.append(name)
            continue
        own = parts.setdefault(place, {})
        if found[1] in own:
            raise _twice(own[found[1]], name)
        own[found[1]] = name
        spelled[layout_of(name)] += 1
    notes = _check_unused(weights, sorted(unused), original)
    _check_disjoint(parts)
    changes = {}
    for place, names in parts.items():
        if strength.decomposed(place.component) and "magnitude" not in names:
            raise LoadError(
                "does_not_fit",
                f"the config says DoRA and tensor '{shorten(next(iter(names.values())))}' has no magnitude "
                "beside it; download the file again",
            )
        if strength.configs and "alpha" in names:
            raise LoadError(
                "unsupported_kind",
                f"tensor '{shorten(names['alpha'])}' is an alpha, and a config gives another; "
                "which one counts is not known",
            )
        scaling = partial(strength.scale, place.component, place.path)
        changes[place] = check_layer(weights, names, place.path, places.shape(place) or (), scaling)
    words = read_words(weights, taught, original)
    layout = spelled.most_common(1)[0][0] if spelled else "diffusers"
    return Adapter(layout, _kind(changes.values()), changes, notes, words)


def layout_of(name: str) -> str:
    """Whose spelling a tensor's name has."""
    if name.startswith(("lora_", "lycoris_")):
        return "kohya"
    if name.startswith("base_model."):
        return "peft"
    if ".processor.qkv_lora" in name or ".processor.proj_lora" in name:
        return "xlabs"
    return "original" if name.startswith(("diffusion_model.", "model.diffusion_model.")) else "diffusers"


def _has(place: Place, part: str, original: Original, places: Places) -> bool:
    """Whether the base has what a part changes: a bias, a layer for a matrix, any weight for a difference."""
    if part in BIASES:
        return places.shape(place, "bias") is not None
    if part == "diff":
        return places.shape(place) is not None
    return all(layer in original.layers for layer in place.layers)


def _deltas(
    place: Place, parameter: str, delta: Callable[[Tensor], Tensor], base: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    names = [f"{layer}.{parameter}" for layer in place.layers]
    stored = torch.cat([base[name].float() for name in names])
    if place.turn is not None:
        stored = place.turn(stored)
    change = delta(stored)
    if place.turn is not None:
        change = place.turn(change)
    yield from zip(names, torch.split(change, [base[name].shape[0] for name in names]), strict=True)


def _added(
    place: Place, parameter: str, delta: Callable[[Tensor], Tensor], base: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    for name, change in _deltas(place, parameter, delta, base):
        yield name, base[name].float() + change


def _check_unused(weights: Weights, unused: list[str], original: Original) -> tuple[str, ...]:
    if not unused:
        return ()
    count = sum(math.prod(weights.shape(name)) for name in unused)
    share = count / sum(math.prod(weights.shape(name)) for name in weights)
    some = ", ".join(f"'{shorten(name)}'" for name in unused[:NAMED])
    if share > MOST_UNUSED:
        refuse_foreign(weights, unused, original)
        raise LoadError(
            "does_not_fit",
            f"{shorten(weights.path.name)}: {len(unused)} of {len(weights)} tensors, {share:.0%} of its "
            f"numbers, belong to no layer of the base, such as {some}; it was made for another base, or "
            "changes a part that is kept as the base has it",
        )
    return (f"{len(unused)} tensors ({share:.2%} of its numbers) have no place in the base: {some}",)


def _check_disjoint(parts: Mapping[Place, Mapping[str, str]]) -> None:
    """Raise where two spellings, or a layer and the stack that holds it, change one and the same layer."""
    owners: dict[str, str] = {}
    for place, names in parts.items():
        name = next(iter(names.values()))
        for layer in place.layers:
            if layer in owners:
                raise _twice(owners[layer], name)
            owners[layer] = name


def _twice(first: str, second: str) -> LoadError:
    return LoadError(
        "does_not_fit",
        f"'{shorten(first)}' and '{shorten(second)}' are one layer twice, in two spellings; "
        "the file was put together wrongly, leave it out",
    )


def _kind(changes: Collection[LayerChange]) -> str:
    """What most layers are."""
    kinds = Counter("dora" if change.along is not None else change.form for change in changes)
    kinds.pop("bias", None)
    return kinds.most_common(1)[0][0] if kinds else "difference" if changes else "textual_inversion"
