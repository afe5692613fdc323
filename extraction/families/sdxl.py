"""SDXL and what is made of it (Pony, Illustrious, NoobAI): a UNet that is also told sizes, two encoders.

What the UNet is told beside the prompt is always the same: a picture of the model's own size, not
cropped. Fine-tuning tools train at that size and say so.

The empty prompt means "no condition". Base models whose model_index.json has
`force_zeros_for_empty_prompt` were trained to take zeros for that, not the encoded empty text, so that
zeros are the e0(x, t, "") of the published guidance. Tools that fine-tune on empty captions encode
them; to ask for what such a training saw, give a space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import clip, ldm, unet, vae
from extraction.families.build import read_config
from extraction.families.open_clip import open_clip_names, transpose
from extraction.folder import read_json
from extraction.pair import Components, Pair, parameters_of
from extraction.weights import shorten

ENCODERS = ("text_encoder", "text_encoder_2")
COMPONENTS = ("unet", *ENCODERS, "vae")
CLIP, OPEN_CLIP = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
"""Where single files keep the two encoders."""

IGNORED = (
    r"conditioner\.embedders\.0\.(logit_scale$|text_projection$|transformer\.text_projection\.weight$|"
    r"transformer\.text_model\.embeddings\.position_ids$)|conditioner\.embedders\.1\.model\.(attn_mask|logit_scale)$|"
    r"denoiser\.sigmas$"
)


@dataclass(frozen=True, slots=True)
class StableDiffusionXL:
    """Speaks to the components of SDXL."""

    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    decoder: vae.Decoder
    size: int
    """Side of a picture in pixels, as the UNet is told it."""
    zeros_for_empty: bool

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": hidden states before the last layer, of both encoders side by side (B, T, D1 + D2);
        "pooled": the second one's projection (B, P); "time_ids": original size, crop, target size (B, 6)."""
        states = []
        for name, tokenizer in zip(ENCODERS, self.tokenizers, strict=True):
            encoder: Any = components[name]
            ids = clip.tokenize(tokenizer, prompts, encoder)
            encoded = encoder(ids, output_hidden_states=True)
            states.append(encoded.hidden_states[-2])
        joined, pooled = torch.cat(states, dim=-1), encoded.text_embeds
        if self.zeros_for_empty:
            kept = torch.tensor([prompt != "" for prompt in prompts], device=joined.device).to(joined.dtype)
            joined, pooled = joined * kept[:, None, None], pooled * kept[:, None]
        sizes = torch.tensor([self.size, self.size, 0, 0, self.size, self.size], dtype=torch.float32)
        time_ids = sizes.to(joined.device).expand(len(prompts), 6)
        return Condition({"states": joined, "pooled": pooled, "time_ids": time_ids})

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        added = {"text_embeds": condition["pooled"], "time_ids": condition["time_ids"]}
        prediction: Tensor = components["unet"](
            latents, timestep, condition["states"], added_cond_kwargs=added, return_dict=False
        )[0]
        return prediction

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder.decode(latents)


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a StableDiffusionXLPipeline folder as a pair; see `extraction.families.load_pair`."""
    unet.check_parts(base, COMPONENTS, ("tokenizer", "tokenizer_2"))
    configs = {name: read_config(base / name) for name in COMPONENTS}
    settings = {name: unet.read_settings(name, configs[name]) for name in ("unet", *ENCODERS)}
    encoders = {
        name: clip.load_encoder(
            base / name,
            settings[name],
            configs[name].get("eos_token_id", clip.END),
            device=device,
            dtype=dtype,
        )
        for name in ENCODERS
    }
    model = unet.load(base / "unet", configs["unet"], device=device, dtype=dtype)
    precise = vae.safe_dtype(configs["vae"], dtype)
    decoder = vae.Decoder(vae.load(base / "vae", configs["vae"], device=device, dtype=precise))
    tokenizers = (
        clip.load_tokenizer(base / "tokenizer", encoders["text_encoder"]),
        clip.load_tokenizer(base / "tokenizer_2", encoders["text_encoder_2"]),
    )
    return assemble(
        {"unet": model, **encoders},
        tokenizers,
        decoder,
        settings=settings,
        scheduler=read_json(base / "scheduler" / "scheduler_config.json"),
        zeros_for_empty=read_json(base / "model_index.json").get("force_zeros_for_empty_prompt", True)
        is True,
    )


def assemble(
    components: Components,
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer],
    decoder: vae.Decoder,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    scheduler: Mapping[str, Any],
    zeros_for_empty: bool,
) -> Pair:
    """A pair of parts that are loaded; raises what `unet.pair_of` does.

    Raises:
        LoadError: "does_not_fit" when the UNet wants to be told more than the encoders give.
    """
    unet.check_conditions(settings["unet"], {"addition_embed_type": "text_time"})
    _check_widths(settings)
    names: dict[str, str] = {}
    for encoder, spell, prefix in (
        ("text_encoder", ldm.text_names, CLIP),
        ("text_encoder_2", open_clip_names, OPEN_CLIP),
    ):
        own = [name.partition(".")[2] for name in parameters_of({encoder: components[encoder]})]
        names |= {f"{encoder}.{name}": place for name, place in spell(own, prefix).items()}
    model: Any = components["unet"]
    side = model.config.sample_size
    size = side * decoder.factor if isinstance(side, int) else 0
    return unet.pair_of(
        "sdxl",
        StableDiffusionXL(tokenizers, decoder, size, zeros_for_empty),
        components,
        decoder,
        settings=settings,
        scheduler=scheduler,
        names=names,
        turned={"text_encoder_2.text_projection.weight": transpose},
        ignored=IGNORED,
    )


def _check_widths(settings: Mapping[str, Mapping[str, Any]]) -> None:
    model, second = settings["unet"], settings["text_encoder_2"]
    states = settings["text_encoder"]["hidden_size"] + second["hidden_size"]
    told = 6 * (model["addition_time_embed_dim"] or 0) + second["projection_dim"]
    if (states, told) != (model["cross_attention_dim"], model["projection_class_embeddings_input_dim"]):
        raise LoadError(
            "does_not_fit",
            f"its UNet takes states of {shorten(model['cross_attention_dim'])} and "
            f"{shorten(model['projection_class_embeddings_input_dim'])} numbers beside them, "
            f"its encoders give {states} and {told}; the base's parts are of different models",
        )
