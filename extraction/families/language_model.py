"""Language models that read prompts for diffusion transformers: tokenizer, config and weights.

Nobody who fine-tunes these families trains their language model, which is as large as the rest. So it
stands beside a pair once, as the VAE does, and is none of the components that a fine-tune may change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRotaryEmbedding, Qwen2_5_VLTextModel
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import tokenizer
from extraction.families.build import build, raw_config
from extraction.weights import shorten

SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
"""What a config has to say."""

MOST_LAYERS = 128
DEFAULT_THETA = 1_000_000.0
"""Base of the rotary frequencies in every published Qwen text encoder."""

NO_WORDS = MappingProxyType({"bos_token_id": None, "eos_token_id": None, "pad_token_id": None})
"""Words that only a model that writes has a use for."""


class Tokens(NamedTuple):
    """Prompts as a language model reads them."""

    ids: Tensor
    """(B, T), filled up at the end."""
    mask: Tensor
    """(B, T), true where a token is."""
    seen: Tensor
    """(1, 1, T, T), true where a token (of dimension 2) sees another: itself and those before it. So no state
    depends on what a prompt is filled up with, and the library need not ask the device for a mask."""
    lengths: list[int]
    """How many tokens each prompt has; known here, so that no device need be asked."""


def tokenize(words: Qwen2Tokenizer, texts: Sequence[str], most: int, device: torch.device) -> Tokens:
    """Cut each text to `most` tokens and fill all up to the longest of them."""
    rows = words(list(texts), truncation=True, max_length=most).input_ids
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    ids = torch.tensor([row + [words.pad_token_id] * (longest - len(row)) for row in rows])
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    seen = torch.ones(1, 1, longest, longest, dtype=torch.bool, device=device).tril()
    return Tokens(ids.to(device), mask.to(device), seen, lengths)


def condition(states: Tensor, tokens: Tokens, *, skipped: int = 0) -> Condition:
    """ "states" (B, T, D), zero behind each prompt's end, and "lengths" (B,) on the CPU.

    Lengths stay on the CPU because they decide shapes: a device would have to be waited for at every step.

    Args:
        states: of all tokens, (B, skipped + T, D).
        skipped: leading tokens, of a template, whose states are not used.
    """
    states = (states * tokens.mask[..., None])[:, skipped:]
    return Condition({"states": states, "lengths": torch.tensor(tokens.lengths) - skipped})


def load_tokenizer(folder: Path, vocabulary: int) -> Qwen2Tokenizer:
    """Read a Qwen's tokenizer; raises what `extraction.families.tokenizer.load` does."""
    return tokenizer.load(Qwen2Tokenizer, folder, vocabulary, trust_remote_code=False, padding_side="right")


def load_qwen3(folder: Path, *, device: torch.device, dtype: torch.dtype) -> Qwen3Model:
    """Load a Qwen3 text model without the head that predicts words.

    Raises:
        LoadError: see `extraction.families.build.build`.
    """
    given = _read_config(folder, "qwen3")
    config = Qwen3Config(
        **_sizes(folder, given),
        head_dim=_whole(folder, given, "head_dim", 128),
        rms_norm_eps=_number(folder, given, "rms_norm_eps", 1e-6),
        attention_bias=bool(given.get("attention_bias", False)),
        rope_parameters={"rope_type": "default", "rope_theta": _theta(folder, given)},
        **NO_WORDS,
    )
    frequencies = Qwen3RotaryEmbedding(config)
    return build(
        lambda: Qwen3Model(config),
        folder,
        rename=_text_name,
        device=device,
        dtype=dtype,
        buffers=_buffers("rotary_emb", frequencies),
    )


def load_qwen2_vl(folder: Path, *, device: torch.device, dtype: torch.dtype) -> Qwen2_5_VLTextModel:
    """Load the text half of a Qwen2.5-VL: the other half looks at pictures, and none are shown to it.

    Raises:
        LoadError: see `extraction.families.build.build`.
    """
    given = _read_config(folder, "qwen2_5_vl")
    sizes = _sizes(folder, given)
    # Frequencies are shared out among time, height and width; in a text all three are its position.
    half = sizes["hidden_size"] // max(1, sizes["num_attention_heads"]) // 2
    config = Qwen2_5_VLTextConfig(
        **sizes,
        rms_norm_eps=_number(folder, given, "rms_norm_eps", 1e-6),
        rope_parameters={
            "rope_type": "default",
            "rope_theta": _theta(folder, given),
            "mrope_section": [half, 0, 0],
        },
        **NO_WORDS,
    )
    frequencies = Qwen2_5_VLRotaryEmbedding(config)
    return build(
        lambda: Qwen2_5_VLTextModel(config),
        folder,
        rename=_text_name,
        device=device,
        dtype=dtype,
        buffers=_buffers("rotary_emb", frequencies),
    )


def _buffers(prefix: str, module: torch.nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": buffer for name, buffer in module.named_buffers()}


def _text_name(name: str) -> str | None:
    """Names of old and new transformers, with and without the word head and the half that sees."""
    for prefix in ("lm_head.", "visual.", "model.visual."):
        if name.startswith(prefix):
            return None
    return name.removeprefix("model.").removeprefix("language_model.")


def _read_config(folder: Path, kind: str) -> Mapping[str, Any]:
    """The text model's fields of a config, which lie flat or, with newer libraries, one level down.

    Raises:
        LoadError: "missing_base" or "unsupported_family".
    """
    given = raw_config(folder)
    if given.get("model_type") != kind:
        raise LoadError(
            "unsupported_family",
            f"its text encoder is a {shorten(given.get('model_type'), 40)}; only {kind} is read",
        )
    inner = given.get("text_config", given)
    if not isinstance(inner, Mapping):
        raise _senseless(folder, "text_config")
    if inner.get("use_sliding_window") or inner.get("hidden_act", "silu") != "silu":
        raise LoadError(
            "unsupported_family",
            "its text encoder has a sliding window or another activation than silu; such are not read",
        )
    return inner


def _sizes(folder: Path, given: Mapping[str, Any]) -> dict[str, int]:
    sizes = {name: _whole(folder, given, name, None) for name in SIZES}
    if sizes["num_hidden_layers"] > MOST_LAYERS:
        raise _senseless(folder, "num_hidden_layers")
    return sizes


def _theta(folder: Path, given: Mapping[str, Any]) -> float:
    """Base of the rotary frequencies, plain or, with newer libraries, among others of its kind."""
    inner = given.get("rope_parameters") or given.get("rope_scaling") or {}
    if not isinstance(inner, Mapping):
        raise _senseless(folder, "rope_parameters")
    if inner.get("rope_type", inner.get("type", "default")) not in ("default", "mrope"):
        raise LoadError(
            "unsupported_family",
            f"its text encoder stretches its positions by {shorten(inner.get('rope_type'), 40)}; not read",
        )
    return _number(folder, {**given, **inner}, "rope_theta", DEFAULT_THETA)


def _whole(folder: Path, given: Mapping[str, Any], name: str, default: int | None) -> int:
    value = given.get(name, default)
    if type(value) is not int or not 0 < value <= 2**20:
        raise _senseless(folder, name)
    return value


def _number(folder: Path, given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    if type(value) not in (int, float) or not 0 < value < 1e9:
        raise _senseless(folder, name)
    return float(value)


def _senseless(folder: Path, name: str) -> LoadError:
    return LoadError(
        "unsafe_file",
        f"{shorten(folder.name)}/config.json: {shorten(name)} is missing or outside the limits; leave it out",
    )
