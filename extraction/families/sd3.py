"""Stable Diffusion 3 and 3.5: a joint transformer of picture and text, told by two CLIPs and a T5.

The T5 may be missing, as it is on machines that cannot hold it: its states are zeros then, as the
model was trained to take them for no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import SD3Transformer2DModel
from torch import Tensor
from transformers import CLIPTokenizer

from extraction.condition import Condition
from extraction.extraction import ExtractionError, LoadError
from extraction.families import clip, mmdit, t5, transformer, vae
from extraction.families.build import build, check_parts, read_config, settings_of, without_notes
from extraction.families.sd3_names import IGNORED, TABLE
from extraction.folder import open_component, read_json
from extraction.pair import Components, Pair, parameters_of
from extraction.weights import check_finite, shorten

ENCODERS = ("text_encoder", "text_encoder_2")
TOKENS = 256
"""Of a prompt, for T5; as in diffusers' pipeline."""

POSITIONS = "pos_embed.pos_embed"
"""Sines that are computed, not trained, and yet stand in every file."""


@dataclass(frozen=True, slots=True)
class StableDiffusion3:
    """Speaks to the components of SD3."""

    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    third: t5.T5 | None
    decoder: vae.Decoder
    width: int
    """Of the states that the transformer takes."""
    most: int
    """Patches of 2 x 2 latents that a side may have."""
    tokens: int = TOKENS
    """Of a prompt, for T5."""

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": those before the last layer of both CLIPs side by side, filled up with zeros to T5's
        width, and T5's behind them (B, 77 + 256, D); "pooled": both projections (B, P1 + P2)."""
        states, pooled = [], []
        for name, tokenizer in zip(ENCODERS, self.tokenizers, strict=True):
            encoder: Any = components[name]
            encoded = encoder(clip.tokenize(tokenizer, prompts, encoder), output_hidden_states=True)
            states.append(encoded.hidden_states[-2])
            pooled.append(encoded.text_embeds)
        short = torch.cat(states, dim=-1)
        short = F.pad(short, (0, self.width - short.shape[-1]))
        if self.third is None:
            long = short.new_zeros(len(prompts), self.tokens, self.width)
        else:
            long = self.third.encode(prompts, self.tokens, short.dtype)
        return Condition({"states": torch.cat([short, long], dim=1), "pooled": torch.cat(pooled, dim=-1)})

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        """The flow, noise minus picture, at `timestep`: 1000 is pure noise."""
        transformer.check_even(latents)
        if max(latents.shape[2:]) > 2 * self.most:
            raise ExtractionError(
                f"its transformer has positions for at most {2 * self.most * self.decoder.factor} pixels "
                "a side; lower the recipe's size"
            )
        prediction: Tensor = components["transformer"](
            latents,
            condition["states"],
            condition["pooled"],
            timestep.expand(latents.shape[0]),
            return_dict=False,
        )[0]
        return prediction

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder.decode(latents)


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a StableDiffusion3Pipeline folder as a pair; see `extraction.families.load_pair`."""
    third = any(read_json(base / "model_index.json").get("text_encoder_3") or ())
    parts = ("transformer", *ENCODERS, "vae", *(["text_encoder_3"] if third else []))
    tokenizers = ("tokenizer", "tokenizer_2", *(["tokenizer_3"] if third else []))
    check_parts(base, parts, tokenizers)
    configs = {name: read_config(base / name) for name in ("transformer", *ENCODERS, "vae")}
    settings = {name: read_settings(name, configs[name]) for name in ("transformer", *ENCODERS)}
    encoders = {
        name: clip.load_encoder(
            base / name,
            settings[name],
            clip.end_of(configs[name]),
            device=device,
            dtype=dtype,
        )
        for name in ENCODERS
    }
    model = _load_transformer(base / "transformer", configs["transformer"], device=device, dtype=dtype)
    precise = vae.safe_dtype(configs["vae"], dtype)
    return assemble(
        {"transformer": model, **encoders},
        (
            clip.load_tokenizer(base / "tokenizer", encoders["text_encoder"]),
            clip.load_tokenizer(base / "tokenizer_2", encoders["text_encoder_2"]),
        ),
        t5.load(base / "text_encoder_3", base / "tokenizer_3", device=device, dtype=dtype) if third else None,
        vae.Decoder(vae.load(base / "vae", configs["vae"], device=device, dtype=precise)),
        settings=settings,
        scheduler=read_json(base / "scheduler" / "scheduler_config.json"),
    )


def assemble(
    components: Components,
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer],
    third: t5.T5 | None,
    decoder: vae.Decoder,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    scheduler: Mapping[str, Any],
) -> Pair:
    """A pair of parts that are loaded.

    Raises:
        LoadError: "does_not_fit" when they do not belong together.
    """
    model: Any = components["transformer"]
    _check_widths(settings, third, decoder)
    names: dict[str, str] = {}
    for name, short in zip(ENCODERS, ("clip_l", "clip_g"), strict=True):
        prefix = f"text_encoders.{short}.transformer."
        own = parameters_of({name: components[name]})
        for parameter in own:
            rest = parameter.partition(".")[2]
            names[parameter] = prefix + ("" if rest.startswith("text_projection") else "text_model.") + rest
    last = settings["transformer"]["num_layers"] - 1
    return mmdit.pair_of(
        "sd3",
        StableDiffusion3(
            tokenizers, third, decoder, model.config.joint_attention_dim, model.config.pos_embed_max_size
        ),
        components,
        decoder,
        settings=settings,
        read_settings=read_settings,
        scheduler=scheduler,
        table=TABLE,
        encoder_names=names,
        swapped=("norm_out.linear", f"transformer_blocks.{last}.norm1_context.linear"),
        ignored=IGNORED,
        # The published files leave it out: it is the identity.
        spared=("text_encoder.text_projection.weight",),
        side=model.config.sample_size,
    )


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What in a component's config decides what it computes, defaults filled in."""
    if component != "transformer":
        return clip.read_settings(config, projected=True)
    settings = settings_of(SD3Transformer2DModel, config)
    del settings["sample_size"]
    return settings


def _load_transformer(
    folder: Path, config: Mapping[str, Any], *, device: torch.device, dtype: torch.dtype
) -> SD3Transformer2DModel:
    files = open_component(folder)
    if POSITIONS not in files:
        raise LoadError(
            "does_not_fit", f"{shorten(folder.name)}: no '{POSITIONS}' in it; download the base again"
        )
    positions = files[POSITIONS][POSITIONS].float()
    check_finite(POSITIONS, positions)
    return build(
        lambda: SD3Transformer2DModel(**without_notes(config)),
        folder,
        rename=lambda name: None if name == POSITIONS else name,
        device=device,
        dtype=dtype,
        buffers={POSITIONS: positions},
    )


def _check_widths(
    settings: Mapping[str, Mapping[str, Any]], third: t5.T5 | None, decoder: vae.Decoder
) -> None:
    model = settings["transformer"]
    states = sum(settings[name]["hidden_size"] for name in ENCODERS)
    pooled = sum(settings[name]["projection_dim"] for name in ENCODERS)
    wide = model["joint_attention_dim"]
    channels = decoder.vae.config.latent_channels
    if (
        states > wide
        or (third is not None and third.width != wide)
        or pooled != model["pooled_projection_dim"]
        or (model["in_channels"], model["out_channels"], model["patch_size"]) != (channels, channels, 2)
    ):
        raise LoadError(
            "does_not_fit",
            "its transformer, VAE and text encoders do not belong together; download the base again",
        )
