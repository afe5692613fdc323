"""Z-Image and its fine-tunes: one stream of picture and text, read by a Qwen3, and FLUX's VAE."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor
from transformers import Qwen2Tokenizer, Qwen3Model

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import language_model, mmdit, transformer, vae
from extraction.families.build import check_parts, read_config, settings_of
from extraction.folder import read_json
from extraction.pair import Components, Pair

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""What Qwen3's chat template makes of one message. Written out, for a template in a folder is a program."""

TOKENS = 512
"""Most tokens of a prompt with its template, as in diffusers' ZImagePipeline."""

SIZE = 1024
"""Side of a picture in pixels where nothing else is asked for; no config says it."""

IGNORED = re.compile(r"^(vae|text_encoders)\.|(^|\.)norm_final\.weight$")
"""Of a single file: other models bundled with it, and a norm that the published code never used."""

TABLE: mmdit.Table = (
    (r"\.all_(x_embedder|final_layer)\.2-1\b", r".\1"),
    (r"\.attention\.to_[qkv]\b", ".attention.qkv"),
    (r"\.attention\.to_out\.0\b", ".attention.out"),
    (r"\.attention\.norm_([qk])\b", r".attention.\1_norm"),
)
"""diffusers' names, and what the published code, ComfyUI and trainers built on these call it."""

VARIANTS = {"all_patch_size": (2,), "all_f_patch_size": (1,), "siglip_feat_dim": None}
"""Settings of the transformer that makes pictures of text; the others are also shown pictures."""


@dataclass(frozen=True, slots=True)
class ZImage:
    """Speaks to the components of Z-Image."""

    tokenizer: Qwen2Tokenizer
    encoder: Qwen3Model
    decoder: vae.Decoder

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": (B, T, D) from the last layer but one; "lengths": (B,)."""
        texts = [TEMPLATE.format(prompt) for prompt in prompts]
        tokens = language_model.tokenize(self.tokenizer, texts, TOKENS, self.encoder.device)
        told = self.encoder(tokens.ids, tokens.seen, output_hidden_states=True, use_cache=False)
        return language_model.condition(told.hidden_states[-2], tokens)

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        """The flow, noise minus picture, at `timestep`: 1000 is pure noise.

        The model itself counts time from noise, 0, to picture, 1, and predicts picture minus noise.
        """
        transformer.check_even(latents)
        texts = [
            states[:length]
            for states, length in zip(condition["states"], condition["lengths"].tolist(), strict=True)
        ]
        time = ((1000 - timestep.float()) / 1000).expand(len(texts))
        rows = components["transformer"](list(latents.unsqueeze(2)), time, texts, return_dict=False)[0]
        return -torch.stack(rows).squeeze(2)

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder.decode(latents)


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a ZImagePipeline folder as a pair; see `extraction.families.load_pair`."""
    check_parts(base, ("transformer", "text_encoder", "vae"), ("tokenizer",))
    configs = {name: read_config(base / name) for name in ("transformer", "vae")}
    settings = read_settings("transformer", configs["transformer"])
    transformer.refuse_unless(settings, VARIANTS)
    encoder = language_model.load_qwen3(base / "text_encoder", device=device, dtype=dtype)
    precise = vae.safe_dtype(configs["vae"], dtype)
    return assemble(
        transformer.load_module(ZImageTransformer2DModel, base / "transformer", device=device, dtype=dtype),
        ZImage(
            language_model.load_tokenizer(base / "tokenizer", encoder.config.vocab_size),
            encoder,
            vae.Decoder(vae.load(base / "vae", configs["vae"], device=device, dtype=precise)),
        ),
        settings=settings,
        scheduler=read_json(base / "scheduler" / "scheduler_config.json"),
    )


def assemble(
    model: ZImageTransformer2DModel,
    speaker: ZImage,
    *,
    settings: Mapping[str, Any],
    scheduler: Mapping[str, Any],
) -> Pair:
    """A pair of parts that are loaded.

    Raises:
        LoadError: "does_not_fit" for parts that do not belong together.
    """
    told = (settings["in_channels"], settings["cap_feat_dim"])
    if told != (speaker.decoder.channels, speaker.encoder.config.hidden_size):
        raise LoadError(
            "does_not_fit",
            "its transformer, VAE and text encoder do not belong together; download the base again",
        )
    # Made at the first forward otherwise, which then could not be compiled as one graph.
    rope = model.rope_embedder
    tables = rope.precompute_freqs_cis(rope.axes_dims, rope.axes_lens, theta=rope.theta)
    rope.freqs_cis = [table.to(model.device) for table in tables]
    return mmdit.pair_of(
        "z-image",
        speaker,
        {"transformer": model},
        speaker.decoder,
        settings={"transformer": settings},
        read_settings=read_settings,
        scheduler=scheduler,
        table=TABLE,
        ignored=IGNORED,
        side=SIZE // speaker.decoder.factor,
    )


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What in the transformer's config decides what it computes, defaults filled in."""
    return settings_of(ZImageTransformer2DModel, config)
