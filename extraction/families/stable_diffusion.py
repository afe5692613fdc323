"""Stable Diffusion 1 and 2: a UNet, one CLIP text encoder, one VAE."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import ldm
from extraction.families.build import build, read_config
from extraction.folder import read_json
from extraction.original import PREDICTION_TYPES, Original
from extraction.pair import Components, Pair, parameters_of
from extraction.weights import shorten

TEXT_DEFAULTS = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""The settings of a CLIP text model that decide its hidden states, with transformers' defaults."""

NO_SAY = {"sample_size", "dropout", "upcast_attention"}
"""Settings of a UNet that do not change what it computes from given latents, rounding aside."""


@dataclass(frozen=True, slots=True)
class StableDiffusion:
    """Speaks to the components of Stable Diffusion 1 and 2."""

    tokenizer: CLIPTokenizer
    vae: AutoencoderKL
    tokens: int
    """Length that prompts are padded and cut to."""
    pixels_at_once: int = 2**22
    """What the VAE decodes in one forward: 16 pictures of 512 x 512."""

    def encode(self, components: Components, prompts: Sequence[str]) -> Condition:
        """ "states": last hidden states (B, tokens, D)."""
        ids = self.tokenizer(
            list(prompts), padding="max_length", max_length=self.tokens, truncation=True, return_tensors="pt"
        ).input_ids
        encoder = components["text_encoder"]
        states: Tensor = encoder(ids.to(self.vae.device)).last_hidden_state
        return Condition({"states": states})

    def predict(
        self, components: Components, latents: Tensor, timestep: Tensor, condition: Condition
    ) -> Tensor:
        unet = components["unet"]
        prediction: Tensor = unet(latents, timestep, condition["states"], return_dict=False)[0]
        return prediction

    def decode(self, latents: Tensor) -> Tensor:
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        pixels = latents.shape[2] * latents.shape[3] * factor**2
        parts = torch.split(latents, max(1, self.pixels_at_once // pixels))
        return torch.cat([self._decode(part) for part in parts])

    def _decode(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]
        return decoded.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def load(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a StableDiffusionPipeline folder as a pair; see `extraction.families.load_pair`."""
    for part in (
        "unet/config.json",
        "text_encoder/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer",
    ):
        if not (base / part).exists():
            raise LoadError("missing_base", f"{shorten(base)}: no {part} there; download the base again")
    configs = {name: read_config(base / name) for name in ("unet", "text_encoder", "vae")}
    settings = {name: read_settings(name, configs[name]) for name in ("unet", "text_encoder")}
    _check_unconditional(settings["unet"])

    unet = build(lambda: _unet(configs["unet"]), base / "unet", rename=str, device=device, dtype=dtype)
    encoder = build(
        lambda: _text_encoder(settings["text_encoder"]),
        base / "text_encoder",
        rename=_text_name,
        device=device,
        dtype=dtype,
    )
    vae = build(lambda: _vae(configs["vae"]), base / "vae", rename=_vae_name, device=device, dtype=dtype)
    components: dict[str, nn.Module] = {"unet": unet, "text_encoder": encoder}
    channels, side = unet.config.in_channels, unet.config.sample_size
    if channels != vae.config.latent_channels or not isinstance(side, int):
        raise LoadError(
            "unsupported_family",
            f"{shorten(base.name)}: its UNet takes {channels} channels, not the VAE's latents alone",
        )

    tokenizer = _tokenizer(base / "tokenizer")
    if len(tokenizer) > encoder.config.vocab_size:
        raise LoadError(
            "does_not_fit", f"{shorten(base.name)}: its tokenizer has more words than its text encoder"
        )
    tokens = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    scheduler = read_json(base / "scheduler" / "scheduler_config.json")
    return Pair(
        speaker=StableDiffusion(tokenizer, vae, tokens),
        base=components,
        tuned={name: copy.deepcopy(module) for name, module in components.items()},
        original=_original(components, settings, scheduler),
        latent_shape=(channels, side, side),
        size=side * 2 ** (len(vae.config.block_out_channels) - 1),
        scheduler_config=scheduler,
    )


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What in a component's config decides what it computes, defaults filled in."""
    if component == "text_encoder":
        return TEXT_DEFAULTS | {name: config[name] for name in TEXT_DEFAULTS if name in config}
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(UNet2DConditionModel.__init__).parameters.items()
        if name != "self" and name not in NO_SAY
    }
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    return defaults | {name: value for name, value in given.items() if name in defaults}


def _check_unconditional(settings: Mapping[str, Any]) -> None:
    """Only UNets that take latents, time and text: no class, no size, no guidance embedding."""
    for name in (
        "class_embed_type",
        "num_class_embeds",
        "addition_embed_type",
        "encoder_hid_dim_type",
        "time_cond_proj_dim",
    ):
        if settings[name] is not None:
            raise LoadError(
                "unsupported_family",
                f"its UNet has {name} {shorten(settings[name])}; only latents, time and text are given",
            )


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the notes that diffusers writes into it."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _unet(config: Mapping[str, Any]) -> UNet2DConditionModel:
    return UNet2DConditionModel(**_given(config))


def _vae(config: Mapping[str, Any]) -> AutoencoderKL:
    return AutoencoderKL(**_given(config))


def _text_encoder(settings: Mapping[str, Any]) -> CLIPTextModel:
    for name, default in TEXT_DEFAULTS.items():
        if type(settings[name]) is not type(default):
            raise TypeError(f"{name} is not of type {type(default).__name__}")
    # The token ids serve only the pooled output, which is not used.
    return CLIPTextModel(CLIPTextConfig(**settings, bos_token_id=0, eos_token_id=2, pad_token_id=1))


def _text_name(name: str) -> str | None:
    name = name.removeprefix("text_model.")
    return None if name == "embeddings.position_ids" else name


def _vae_name(name: str) -> str:
    """Bases of 2022 spell the VAE's attention as the diffusers of their day did."""
    if ".attentions." in name:
        for old, new in (
            (".query.", ".to_q."),
            (".key.", ".to_k."),
            (".value.", ".to_v."),
            (".proj_attn.", ".to_out.0."),
        ):
            name = name.replace(old, new)
    return name


def _tokenizer(folder: Path) -> CLIPTokenizer:
    # Without its files the library makes a tokenizer that knows no word.
    if not (folder / "tokenizer.json").is_file() and not (folder / "merges.txt").is_file():
        raise LoadError(
            "missing_base", "tokenizer: neither tokenizer.json nor merges.txt; download the base again"
        )
    try:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise LoadError(
            "missing_base", f"tokenizer: cannot be read ({shorten(error)}); download the base again"
        ) from error


def _original(
    components: Components, settings: Mapping[str, Mapping[str, Any]], scheduler: Mapping[str, Any]
) -> Original:
    said = scheduler.get("prediction_type", "epsilon")
    if said not in PREDICTION_TYPES:
        raise LoadError(
            "unsupported_family",
            f"its scheduler's prediction_type is '{shorten(said, 40)}', not epsilon or v_prediction",
        )
    shapes = {name: tuple(value.shape) for name, value in parameters_of(components).items()}
    layers = {
        f"{component}.{path.removeprefix('text_model.')}": tuple(layer.weight.shape)
        for component, module in components.items()
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }
    second = settings["unet"]["use_linear_projection"]
    own = {c: [name.partition(".")[2] for name in shapes if name.startswith(f"{c}.")] for c in components}
    file_names = {
        f"unet.{name}": theirs for name, theirs in ldm.unet_names(own["unet"], settings["unet"]).items()
    }
    # Stable Diffusion 2 has other names and fused matrices for its text encoder; they are not read.
    if not second:
        file_names |= {
            f"text_encoder.{name}": theirs for name, theirs in ldm.text_names(own["text_encoder"]).items()
        }
    return Original(
        family="sd2" if second else "sd1",
        shapes=shapes,
        layers=layers,
        file_names=file_names,
        ignored=ldm.IGNORED,
        settings=settings,
        read_settings=read_settings,
        prediction_type=PREDICTION_TYPES[said],
    )
