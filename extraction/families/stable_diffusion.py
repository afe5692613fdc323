"""Stable Diffusion 1 and 2: a UNet, one CLIP text encoder, one VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from extraction.condition import Condition
from extraction.families import clip, ldm, unet, vae
from extraction.families.build import read_config
from extraction.families.open_clip import open_clip_names
from extraction.folder import read_json
from extraction.pair import Components, Pair, parameters_of

COMPONENTS = ("unet", "text_encoder", "vae")

OPEN_CLIP = "cond_stage_model.model."
"""Where single files of Stable Diffusion 2 keep their text encoder."""

NO_END = 2
"""The end token serves only an encoder's pooled output, which this family does not use."""


@dataclass(frozen=True, slots=True)
class StableDiffusion:
    """Speaks to the components of Stable Diffusion 1 and 2."""

    tokenizer: CLIPTokenizer
    decoder: vae.Decoder

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": last hidden states (B, T, D)."""
        encoder: Any = components["text_encoder"]
        ids = clip.tokenize(self.tokenizer, prompts, encoder)
        states: Tensor = encoder(ids).last_hidden_state
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
    unet.check_parts(base, COMPONENTS, ("tokenizer",))
    configs = {name: read_config(base / name) for name in COMPONENTS}
    settings = {name: unet.read_settings(name, configs[name]) for name in ("unet", "text_encoder")}
    unet.check_conditions(settings["unet"], {})
    encoder = clip.load_encoder(
        base / "text_encoder", settings["text_encoder"], NO_END, device=device, dtype=dtype
    )
    components: Components = {
        "unet": unet.load(base / "unet", configs["unet"], device=device, dtype=dtype),
        "text_encoder": encoder,
    }
    decoder = vae.Decoder(vae.load(base / "vae", configs["vae"], device=device, dtype=dtype))
    return assemble(
        components,
        StableDiffusion(clip.load_tokenizer(base / "tokenizer", encoder), decoder),
        settings,
        read_json(base / "scheduler" / "scheduler_config.json"),
    )


def assemble(
    components: Components,
    speaker: StableDiffusion,
    settings: Mapping[str, Mapping[str, Any]],
    scheduler: Mapping[str, Any],
) -> Pair:
    """A pair of parts that are loaded; raises what `unet.pair_of` does."""
    second = settings["unet"]["use_linear_projection"]
    own = [name.partition(".")[2] for name in parameters_of({"text_encoder": components["text_encoder"]})]
    names = open_clip_names(own, OPEN_CLIP) if second else ldm.text_names(own, ldm.TEXT)
    # Its encoder ends with the layer before the last, which files hold all the same.
    unused = settings["text_encoder"]["num_hidden_layers"]
    return unet.pair_of(
        "sd2" if second else "sd1",
        speaker,
        components,
        speaker.decoder,
        settings=settings,
        scheduler=scheduler,
        names={f"text_encoder.{name}": place for name, place in names.items()},
        turned={},
        ignored=rf"cond_stage_model\.model\.(transformer\.resblocks\.{unused}\.|attn_mask$|logit_scale$|text_projection$)",
    )
