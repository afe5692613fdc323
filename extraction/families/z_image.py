"""Z-Image and its fine-tunes: one stream of picture and text, read by a Qwen3, and FLUX's VAE."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import Tensor, nn
from transformers import Qwen2Tokenizer, Qwen3Model

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import transformer as shared
from extraction.families.language_model import load_qwen3, load_tokenizer, tokenize
from extraction.folder import read_json
from extraction.original import Original
from extraction.pair import Components, Pair, parameters_of
from extraction.weights import shorten

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""What Qwen3's chat template makes of one message. Written out, for a template in a folder is a program."""

TOKENS = 512
"""Most tokens of a prompt with its template, as in diffusers' ZImagePipeline."""

SIZE = 1024
"""Side of a picture in pixels where nothing else is asked for; no config says it."""

IGNORED = re.compile(r"^(vae|text_encoders)\.|(^|\.)norm_final\.weight$")
"""Of a single file: other models bundled with it, and a norm that the published code never used."""

ORIGINAL_NAMES = (
    (re.compile(r"\.all_(x_embedder|final_layer)\.2-1\b"), r".\1"),
    (re.compile(r"\.attention\.to_[qkv]\b"), ".attention.qkv"),
    (re.compile(r"\.attention\.to_out\.0\b"), ".attention.out"),
    (re.compile(r"\.attention\.norm_([qk])\b"), r".attention.\1_norm"),
)
"""diffusers' names and the original ones; queries, keys and values lie under each other in one matrix."""


@dataclass(frozen=True, slots=True)
class ZImage:
    """Speaks to the components of Z-Image."""

    tokenizer: Qwen2Tokenizer
    encoder: Qwen3Model
    vae: AutoencoderKL
    pixels_at_once: int = 2**22
    """What the VAE decodes in one forward: 4 pictures of 1024 x 1024."""

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": (B, T, D) from the last layer but one; "lengths": (B,)."""
        texts = [TEMPLATE.format(prompt) for prompt in prompts]
        tokens = tokenize(self.tokenizer, texts, TOKENS, self.vae.device)
        told = self.encoder(tokens.ids, tokens.mask, output_hidden_states=True, use_cache=False)
        return shared.condition(told.hidden_states[-2], tokens)

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        """The flow, noise minus picture, at `timestep`: 1000 is pure noise.

        The model itself counts time from noise, 0, to picture, 1, and predicts picture minus noise.
        """
        shared.check_even(latents)
        texts = [
            states[:length]
            for states, length in zip(condition["states"], condition["lengths"].tolist(), strict=True)
        ]
        time = ((1000 - timestep.float()) / 1000).expand(len(texts))
        transformer = components["transformer"]
        rows = transformer(list(latents.unsqueeze(2)), time, texts, return_dict=False)[0]
        return -torch.stack(rows).squeeze(2)

    def decode(self, latents: Tensor) -> Tensor:
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        pixels = latents.shape[2] * latents.shape[3] * factor**2
        parts = torch.split(latents, max(1, self.pixels_at_once // pixels))
        return torch.cat([self._decode(part) for part in parts])

    def _decode(self, latents: Tensor) -> Tensor:
        scaled = latents / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0.0)
        return shared.to_bytes(self.vae.decode(scaled, return_dict=False)[0])


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a ZImagePipeline folder as a pair; see `extraction.families.load_pair`."""
    shared.check_parts(base)
    transformer = shared.load_module(
        ZImageTransformer2DModel, base / "transformer", device=device, dtype=dtype
    )
    settings = read_settings("transformer", dict(transformer.config))
    shared.refuse_unless(
        settings, {"all_patch_size": (2,), "all_f_patch_size": (1,), "siglip_feat_dim": None}
    )
    encoder = load_qwen3(base / "text_encoder", device=device, dtype=dtype)
    vae = shared.load_module(AutoencoderKL, base / "vae", device=device, dtype=dtype)
    channels = transformer.config.in_channels
    if channels != vae.config.latent_channels or settings["cap_feat_dim"] != encoder.config.hidden_size:
        raise LoadError(
            "does_not_fit",
            f"{shorten(base.name)}: its transformer, VAE and text encoder do not belong together",
        )
    components: dict[str, nn.Module] = {"transformer": transformer}
    side = SIZE // 2 ** (len(vae.config.block_out_channels) - 1)
    return Pair(
        speaker=ZImage(load_tokenizer(base / "tokenizer", encoder.config.vocab_size), encoder, vae),
        base=components,
        tuned=copy.deepcopy(components),
        original=_original(components, settings),
        latent_shape=(channels, side, side),
        size=SIZE,
        scheduler_config=read_json(base / "scheduler" / "scheduler_config.json"),
    )


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """See `extraction.families.transformer.read_settings`."""
    return shared.read_settings(ZImageTransformer2DModel, config)


def _original(components: Components, settings: Mapping[str, Any]) -> Original:
    shapes = {name: tuple(value.shape) for name, value in parameters_of(components).items()}
    layers = shared.layers_of(components["transformer"])
    return Original(
        family="z_image",
        shapes=shapes,
        layers=layers,
        fused=shared.group(layers, original_name),
        file_names={name: f"model.diffusion_model.{original_name(name)[12:]}" for name in shapes},
        ignored=IGNORED,
        settings={"transformer": settings},
        read_settings=read_settings,
        prediction_type="flow",
    )


def original_name(name: str) -> str:
    """A layer or parameter as the published code, ComfyUI and trainers built on these call it."""
    for ours, theirs in ORIGINAL_NAMES:
        name = ours.sub(theirs, name)
    return name
