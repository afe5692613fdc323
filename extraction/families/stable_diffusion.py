"""Stable Diffusion 1 and 2: a UNet, one CLIP text encoder, one VAE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from extraction.condition import Condition
from extraction.families import clip, ldm, parts, unet, vae
from extraction.families.open_clip import open_clip_names
from extraction.pair import Components, Pair, parameters_of

ENCODERS = ("text_encoder",)
OPEN_CLIP = "cond_stage_model.model."
"""Where single files of Stable Diffusion 2 keep their text encoder."""


@dataclass(frozen=True, slots=True)
class StableDiffusion:
    """Speaks to the components of Stable Diffusion 1 and 2."""

    tokenizer: CLIPTokenizer
    decoder: vae.Decoder

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": last hidden states (B, T, D)."""
        encoder: Any = components["text_encoder"]
        states: Tensor = encoder(clip.tokenize(self.tokenizer, prompts, encoder)).last_hidden_state
        return Condition({"states": states})

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        prediction: Tensor = components["unet"](latents, timestep, condition["states"], return_dict=False)[0]
        return prediction

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder.decode(latents)


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a StableDiffusionPipeline folder as a pair; see `extraction.families.load_pair`."""
    return assemble(parts.load(base, ENCODERS, {}, device=device, dtype=dtype, vae_dtype=dtype))


def assemble(own: parts.Parts) -> Pair:
    """A pair of parts; raises what `unet.pair_of` does."""
    second = own.settings["unet"]["use_linear_projection"]
    encoder = parameters_of({"text_encoder": own.components["text_encoder"]})
    names = [name.partition(".")[2] for name in encoder]
    places = open_clip_names(names, OPEN_CLIP) if second else ldm.text_names(names, ldm.TEXT)
    # Stable Diffusion 2 reads the layer before OpenCLIP's last, which its files hold all the same.
    unread = own.settings["text_encoder"]["num_hidden_layers"]
    return unet.pair_of(
        "sd2" if second else "sd1",
        StableDiffusion(own.tokenizers[0], own.decoder),
        own.components,
        own.decoder,
        settings=own.settings,
        scheduler=own.scheduler,
        names={f"text_encoder.{name}": place for name, place in places.items()},
        turned={},
        ignored=r"cond_stage_model\.model\.(attn_mask$|logit_scale$|text_projection$|"
        rf"transformer\.resblocks\.{unread}\.)",
    )
