"""T5 text encoders and their tokenizers: the third of SD3, the second of FLUX.

T5-XXL is as large as all the rest together and hardly anybody trains it. So it stands beside a pair
once, as the VAE does, and is none of the components that a fine-tune may change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from extraction.families.build import build, read_config
from extraction.families.tokenizer import load as load_tokenizer

DEFAULTS: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu",
}
"""The settings that decide the hidden states, with transformers' defaults."""


@dataclass(frozen=True, slots=True)
class T5:
    """An encoder with its tokenizer."""

    encoder: T5EncoderModel
    tokenizer: T5Tokenizer

    @property
    def width(self) -> int:
        """Of the hidden states."""
        return int(self.encoder.config.d_model)

    def encode(self, prompts: Sequence[str], tokens: int, dtype: torch.dtype) -> Tensor:
        """Hidden states (B, tokens, D), of prompts cut or filled up to `tokens`.

        The filling is not masked: the pictures' models were trained to see its states too.
        """
        ids = self.tokenizer(
            list(prompts), padding="max_length", max_length=tokens, truncation=True, return_tensors="pt"
        ).input_ids
        states: Tensor = self.encoder(ids.to(self.encoder.device))[0]
        return states.to(dtype)


def load(encoder: Path, tokenizer: Path, *, device: torch.device, dtype: torch.dtype) -> T5:
    """Load an encoder and its tokenizer from their folders.

    Where the pictures' models compute in fp16, T5 does in bf16, in which it was trained: its feed-forward
    layers overflow fp16.

    Raises:
        LoadError: see `extraction.families.build.build` and `extraction.families.tokenizer.load`.
    """
    config = read_config(encoder)
    settings = DEFAULTS | {name: config[name] for name in DEFAULTS if name in config}
    module = build(
        lambda: make(settings),
        encoder,
        rename=_rename,
        device=device,
        dtype=torch.bfloat16 if dtype == torch.float16 else dtype,
    )
    # One tensor again: it was given memory under each of its names.
    module.encoder.embed_tokens.weight = module.shared.weight
    # Without tokenizer.json the library would look for the sentencepiece model, and for what reads it.
    words = load_tokenizer(T5Tokenizer, tokenizer, settings["vocab_size"], files=("tokenizer.json",))
    return T5(module, words)


def make(settings: Mapping[str, Any]) -> T5EncoderModel:
    """Build an encoder from its settings.

    Raises:
        TypeError: a setting is not of its type.
    """
    for name, default in DEFAULTS.items():
        if type(settings[name]) is not type(default):
            raise TypeError(f"{name} is not of type {type(default).__name__}")
    return T5EncoderModel(T5Config(**settings))


def _rename(name: str) -> str:
    """The embedding has two names; files hold it under one or both."""
    return "shared.weight" if name == "encoder.embed_tokens.weight" else name
