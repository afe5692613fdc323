"""FLUX.1: a transformer told by a T5 and by the pooled output of a CLIP. dev and schnell differ in one layer.

dev was distilled from a guided model and is told the guidance it is to imitate; schnell is not.
docs/flux.md says what that means for the difference of two models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTokenizer

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import clip, mmdit, t5, transformer, vae
from extraction.families.build import check_parts, read_config, settings_of
from extraction.families.flux_names import IGNORED, TABLE
from extraction.folder import read_json
from extraction.pair import Components, Pair, parameters_of
from extraction.weights import shorten

SIZE = 1024
"""Side of a picture in pixels where nothing else is asked for; no config says it."""

TOKENS, TOKENS_SCHNELL = 512, 256
"""Of a prompt, for T5; as in Black Forest Labs' own code (`flux.util.load_t5`)."""

CLIP = "text_encoders.clip_l.transformer.text_model."
"""Where single files that bundle the encoders keep CLIP."""


@dataclass(frozen=True, slots=True)
class Flux:
    """Speaks to the components of FLUX.1."""

    tokenizer: CLIPTokenizer
    second: t5.T5
    decoder: vae.Decoder
    distilled: bool
    """Whether it is told a guidance: dev is, schnell is not."""
    tokens: int
    """Of a prompt, for T5."""

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": T5's (B, T, D); "pooled": CLIP's (B, P); for dev "guidance": 1, no guidance (B,)."""
        encoder: Any = components["text_encoder"]
        pooled = encoder(clip.tokenize(self.tokenizer, prompts, encoder)).pooler_output
        states = self.second.encode(prompts, self.tokens, pooled.dtype)
        told = {"states": states, "pooled": pooled}
        if self.distilled:
            told["guidance"] = torch.ones(len(prompts), device=pooled.device)
        return Condition(told)

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        """The flow, noise minus picture, at `timestep`: 1000 is pure noise."""
        transformer.check_even(latents)
        states = condition["states"]
        packed: Tensor = components["transformer"](
            transformer.pack(latents),
            states,
            condition["pooled"],
            timestep.expand(latents.shape[0]) / 1000,
            img_ids=positions(latents),
            txt_ids=states.new_zeros(states.shape[1], 3),
            guidance=condition["guidance"] if self.distilled else None,
            return_dict=False,
        )[0]
        return transformer.unpack(packed, latents.shape[2] // 2)

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder.decode(latents)


def positions(latents: Tensor) -> Tensor:
    """(0, row, column) of each patch, (h/2 * w/2, 3)."""
    height, width = latents.shape[2] // 2, latents.shape[3] // 2
    row, column = torch.meshgrid(
        torch.arange(height, device=latents.device), torch.arange(width, device=latents.device), indexing="ij"
    )
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).reshape(-1, 3)


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a FluxPipeline folder as a pair; see `extraction.families.load_pair`."""
    check_parts(base, ("transformer", "text_encoder", "text_encoder_2", "vae"), ("tokenizer", "tokenizer_2"))
    configs = {name: read_config(base / name) for name in ("transformer", "text_encoder", "vae")}
    settings = {name: read_settings(name, configs[name]) for name in ("transformer", "text_encoder")}
    encoder = clip.load_encoder(
        base / "text_encoder",
        settings["text_encoder"],
        clip.end_of(configs["text_encoder"]),
        device=device,
        dtype=dtype,
    )
    model = transformer.load_module(FluxTransformer2DModel, base / "transformer", device=device, dtype=dtype)
    precise = vae.safe_dtype(configs["vae"], dtype)
    return assemble(
        {"transformer": model, "text_encoder": encoder},
        clip.load_tokenizer(base / "tokenizer", encoder),
        t5.load(base / "text_encoder_2", base / "tokenizer_2", device=device, dtype=dtype),
        vae.Decoder(vae.load(base / "vae", configs["vae"], device=device, dtype=precise)),
        settings=settings,
        scheduler=read_json(base / "scheduler" / "scheduler_config.json"),
    )


def assemble(
    components: Components,
    tokenizer: CLIPTokenizer,
    second: t5.T5,
    decoder: vae.Decoder,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    scheduler: Mapping[str, Any],
) -> Pair:
    """A pair of parts that are loaded.

    Raises:
        LoadError: "unsupported_family" for a transformer that takes more than latents, "does_not_fit"
            for parts that do not belong together.
    """
    model = settings["transformer"]
    channels = decoder.vae.config.latent_channels
    if (model["in_channels"], model["out_channels"] or model["in_channels"]) != (4 * channels, 4 * channels):
        raise LoadError(
            "unsupported_family",
            f"its transformer takes {shorten(model['in_channels'])} numbers a patch, not {4 * channels} of "
            "latents alone: it is a variant (fill, depth, canny) that is also shown a picture",
        )
    pooled = settings["text_encoder"]["hidden_size"]
    if (second.width, pooled) != (model["joint_attention_dim"], model["pooled_projection_dim"]):
        raise LoadError(
            "does_not_fit",
            "its transformer and text encoders do not belong together; download the base again",
        )
    distilled = model["guidance_embeds"]
    speaker = Flux(tokenizer, second, decoder, distilled, TOKENS if distilled else TOKENS_SCHNELL)
    own = parameters_of({"text_encoder": components["text_encoder"]})
    return mmdit.pair_of(
        "flux",
        speaker,
        components,
        decoder,
        settings=settings,
        read_settings=read_settings,
        scheduler=scheduler,
        table=TABLE,
        encoder_names={name: CLIP + name.partition(".")[2] for name in own},
        swapped=("norm_out.linear",),
        ignored=IGNORED,
        side=SIZE // decoder.factor,
    )


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What in a component's config decides what it computes, defaults filled in."""
    if component != "transformer":
        return clip.read_settings(config)
    return settings_of(FluxTransformer2DModel, config)
