"""Textual inversion: vectors for words that the base's text encoders do not know (Gal et al. 2022).

They come in files of their own or bundled with a LoRA. Files of one concept seldom say its word: by
custom the file's own name is the word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from extraction.extraction import LoadError
from extraction.original import Original, Shape
from extraction.weights import Weights, check_finite, shorten

TABLE = "embeddings.token_embedding.weight"
"""The parameter of a CLIP that the vectors extend."""

ENCODERS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
BUNDLED = re.compile(r"^bundle_emb\.(?P<word>.+)\.(?P<key>string_to_param\.\*|emb_params|clip_l|clip_g)$")
ALONE = re.compile(r"^(string_to_param\.\*|emb_params|clip_l|clip_g)$")
WORD = re.compile(r"^(?P<word><[^<>]+>|[^.]+)$")
"""diffusers' own file: {word: vector}."""

MOST_VECTORS = 75
"""Of a word: a prompt has places for 75 tokens between its two ends."""
MOST_WORDS = 64


@dataclass(frozen=True, slots=True)
class Word:
    """A word that a fine-tune taught its text encoders."""

    text: str
    vectors: Mapping[str, Tensor]
    """Component -> (n, D) fp32 on the CPU: the word takes n places of a prompt."""


def is_textual_inversion(weights: Weights, original: Original) -> bool:
    """Whether a file holds vectors for words and nothing else."""
    if all(ALONE.match(name) or BUNDLED.match(name) for name in weights):
        return True
    widths = _widths(original).values()
    return len(weights) <= MOST_WORDS and all(
        WORD.match(name) and len(shape := weights.shape(name)) in (1, 2) and shape[-1] in widths
        for name in weights
    )


def bundled(names: Iterable[str]) -> list[str]:
    """The tensors of a LoRA file that are words' vectors."""
    return [name for name in names if BUNDLED.match(name)]


def read_words(
    weights: Weights, names: Collection[str], original: Original, called: str | None = None
) -> tuple[Word, ...]:
    """Read the vectors of a file's words.

    Args:
        names: of those tensors that are vectors.
        called: the word of a file that does not say it; None is the file's own name.

    Raises:
        LoadError: "does_not_fit" for vectors of another width or too many; "unsupported_kind" for whole
            numbers; "not_finite".
    """
    widths = _widths(original)
    words: dict[str, dict[str, Tensor]] = {}
    for name in names:
        text, key = _spelled(name, called or weights.path.stem)
        component = _component(name, key, weights.shape(name), widths)
        vectors = words.setdefault(text, {})
        if component in vectors:
            raise LoadError(
                "does_not_fit",
                f"the word '{shorten(text)}' has two tensors for one text encoder; leave the file out",
            )
        vectors[component] = _read(weights, name)
    if len(words) > MOST_WORDS:
        raise LoadError(
            "does_not_fit", f"it has {len(words)} words, more than the {MOST_WORDS} that are read"
        )
    for text, vectors in words.items():
        if len({value.shape[0] for value in vectors.values()}) > 1:
            raise LoadError(
                "does_not_fit",
                f"the word '{shorten(text)}' has other numbers of vectors for one text encoder and the other",
            )
    return tuple(Word(text, vectors) for text, vectors in words.items())


def _spelled(name: str, called: str) -> tuple[str, str]:
    """(word, key) of a tensor's name."""
    if match := BUNDLED.match(name):
        return match["word"], match["key"]
    return (called, name) if ALONE.match(name) else (name, "emb_params")


def _widths(original: Original) -> dict[str, int]:
    """Width of each CLIP of the base."""
    return {
        component: original.shapes[f"{component}.{TABLE}"][1]
        for component in original.components
        if f"{component}.{TABLE}" in original.shapes
    }


def _component(name: str, key: str, shape: Shape, widths: Mapping[str, int]) -> str:
    width = shape[-1] if 0 < len(shape) <= 2 else 0
    fitting = [component for component in widths if widths[component] == width]
    if key in ENCODERS:
        fitting = [component for component in fitting if component == ENCODERS[key]]
    if not fitting or (len(shape) == 2 and shape[0] > MOST_VECTORS):
        have = ", ".join(f"{width} of {component}" for component, width in widths.items()) or "none"
        raise LoadError(
            "does_not_fit",
            f"tensor '{shorten(name)}' of shape {shape} is no vector for a text encoder of the base "
            f"(widths: {have}), or more than {MOST_VECTORS}",
        )
    return fitting[0]


def _read(weights: Weights, name: str) -> Tensor:
    if not weights.is_floating(name):
        raise LoadError("unsupported_kind", f"tensor '{shorten(name)}' holds whole numbers")
    tensor = weights[name].to(dtype=torch.float32, copy=True)
    check_finite(name, tensor)
    return tensor.reshape(-1, tensor.shape[-1])
