"""CLIP text encoders and their tokenizers, which most families bring one or two of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from extraction.families import tokenizer
from extraction.families.build import build
from extraction.vocabulary import Vocabulary

DEFAULTS = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""The settings of a CLIP text model that decide its hidden states, with transformers' defaults."""

PROJECTION = {"projection_dim": 512}
"""What an encoder whose pooled output is used has beside them."""

END = 49407
"""The token at which the pooled output is read, where a config does not say (transformers' default)."""


def read_settings(config: Mapping[str, Any], *, projected: bool = False) -> dict[str, Any]:
    """What in an encoder's config decides what it computes, defaults filled in.

    The end token is not among them: configs of one and the same model call it 2 or 49407.
    """
    defaults: dict[str, Any] = DEFAULTS | (PROJECTION if projected else {})
    return defaults | {name: config[name] for name in defaults if name in config}


def make(settings: Mapping[str, Any], end: object = END) -> CLIPTextModel | CLIPTextModelWithProjection:
    """Build an encoder from its settings, with a projection if they have one.

    Raises:
        TypeError: a setting is not of its type.
    """
    for name, default in {**DEFAULTS, **PROJECTION}.items():
        if name in settings and type(settings[name]) is not type(default):
            raise TypeError(f"{name} is not of type {type(default).__name__}")
    if type(end) is not int:
        raise TypeError("eos_token_id is not of type int")
    config = CLIPTextConfig(**settings, bos_token_id=0, eos_token_id=end, pad_token_id=1)
    return (CLIPTextModelWithProjection if "projection_dim" in settings else CLIPTextModel)(config)


def end_of(config: Mapping[str, Any]) -> object:
    """The token at which a config says that the pooled output is read."""
    return config.get("eos_token_id", END)


def load_encoder(
    folder: Path, settings: Mapping[str, Any], end: object, *, device: torch.device, dtype: torch.dtype
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """Build an encoder and fill it from its folder; raises what `build` does."""
    return build(lambda: make(settings, end), folder, rename=_rename, device=device, dtype=dtype)


def load_tokenizer(folder: Path, encoder: CLIPTextModel | CLIPTextModelWithProjection) -> CLIPTokenizer:
    """Read the tokenizer of an encoder; raises what `extraction.families.tokenizer.load` does."""
    return tokenizer.load(CLIPTokenizer, folder, encoder.config.vocab_size)


def tokenize(
    words: CLIPTokenizer,
    prompts: Sequence[str],
    encoder: CLIPTextModel | CLIPTextModelWithProjection,
) -> Tensor:
    """Token ids (B, T), padded and cut to the length that encoder and tokenizer agree on."""
    length = min(words.model_max_length, encoder.config.max_position_embeddings)
    if isinstance(vocabulary := encoder.get_input_embeddings(), Vocabulary):
        return vocabulary.tokenize(words, prompts, length).to(encoder.device)
    # Half a surrogate pair, as JSON may hold one, is no text to a tokenizer.
    texts = [prompt.encode("utf-8", "replace").decode() for prompt in prompts]
    ids: Tensor = words(
        texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids.to(encoder.device)


def _rename(name: str) -> str | None:
    name = name.removeprefix("text_model.")
    return None if name == "embeddings.position_ids" else name
