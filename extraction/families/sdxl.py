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
from extraction.families import clip, ldm, parts, unet, vae
from extraction.families.build import check_parts, read_config
from extraction.families.open_clip import open_clip_names, transpose
from extraction.pair import Components, Pair, parameters_of
from extraction.weights import shorten

ENCODERS = ("text_encoder", "text_encoder_2")
CONDITIONS = {"addition_embed_type": "text_time"}
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
    check_parts(base, ("vae",), ())
    vae_dtype = vae.safe_dtype(read_config(base / "vae"), dtype)
    return assemble(parts.load(base, ENCODERS, CONDITIONS, device=device, dtype=dtype, vae_dtype=vae_dtype))


def assemble(own: parts.Parts) -> Pair:
    """A pair of parts; raises what `unet.pair_of` does.

    Raises:
        LoadError: "does_not_fit" when the UNet wants to be told other things than the encoders give.
    """
    _check_widths(own.settings)
    places: dict[str, str] = {}
    for encoder, spell, prefix in zip(
        ENCODERS, (ldm.text_names, open_clip_names), (CLIP, OPEN_CLIP), strict=True
    ):
        names = [name.partition(".")[2] for name in parameters_of({encoder: own.components[encoder]})]
        places |= {f"{encoder}.{name}": place for name, place in spell(names, prefix).items()}
    model: Any = own.components["unet"]
    side = model.config.sample_size
    first, second = own.tokenizers
    speaker = StableDiffusionXL(
        (first, second),
        own.decoder,
        side * own.decoder.factor if isinstance(side, int) else 0,
        own.index.get("force_zeros_for_empty_prompt", True) is True,
    )
    return unet.pair_of(
        "sdxl",
        speaker,
        own.components,
        own.decoder,
        settings=own.settings,
        scheduler=own.scheduler,
        names=places,
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
