"""What Stable Diffusion and SDXL share: a UNet with cross-attention to text, and how fine-tunes match it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from extraction.extraction import LoadError
from extraction.families import clip, ldm
from extraction.families.build import build, settings_of, without_notes
from extraction.families.vae import Decoder
from extraction.original import PREDICTION_TYPES, Original, Turn
from extraction.pair import Components, Pair, Speaker, layers_of, parameters_of
from extraction.weights import shorten

NO_SAY = {"sample_size", "dropout", "upcast_attention"}
"""Settings of a UNet that do not change what it computes from given latents, rounding aside."""

CONDITIONS = (
    "class_embed_type",
    "num_class_embeds",
    "addition_embed_type",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
)
"""Settings of a UNet that ask for more than latents, time and text."""


def read_settings(component: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What in a component's config decides what it computes, defaults filled in."""
    if component.startswith("text_encoder"):
        return clip.read_settings(config, projected=component == "text_encoder_2")
    settings = settings_of(UNet2DConditionModel, config)
    return {name: value for name, value in settings.items() if name not in NO_SAY}


def make(config: Mapping[str, Any]) -> UNet2DConditionModel:
    """Build a UNet from its config, without the notes that diffusers writes into it."""
    return UNet2DConditionModel(**without_notes(config))


def load(
    folder: Path, config: Mapping[str, Any], *, device: torch.device, dtype: torch.dtype
) -> UNet2DConditionModel:
    """Build a UNet and fill it from its folder; raises what `build` does."""
    return build(lambda: make(config), folder, rename=str, device=device, dtype=dtype)


def check_conditions(settings: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """Raise for a UNet that is told other things than the family tells it.

    Raises:
        LoadError: "unsupported_family".
    """
    for name in CONDITIONS:
        if settings[name] != allowed.get(name):
            raise LoadError(
                "unsupported_family",
                f"its UNet has {name} {shorten(settings[name])}, which is not of its pipeline's family",
            )


def pair_of(
    family: str,
    speaker: Speaker,
    components: Components,
    decoder: Decoder,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    scheduler: Mapping[str, Any],
    names: Mapping[str, str],
    turned: Mapping[str, Turn],
    ignored: str,
) -> Pair:
    """Put loaded parts together as a pair.

    Args:
        names: text encoder parameter -> tensor of the single file.
        ignored: expression for tensors of the single file without a say, beside `ldm.IGNORED`.

    Raises:
        LoadError: "unsupported_family" for a UNet of other inputs or another prediction type.
    """
    unet: Any = components["unet"]
    channels, side = unet.config.in_channels, unet.config.sample_size
    if channels != decoder.vae.config.latent_channels or not isinstance(side, int):
        raise LoadError(
            "unsupported_family", f"its UNet takes {channels} channels, not the VAE's latents alone"
        )
    said = scheduler.get("prediction_type", "epsilon")
    if said not in PREDICTION_TYPES:
        raise LoadError(
            "unsupported_family",
            f"its scheduler's prediction_type is '{shorten(said, 40)}', not epsilon or v_prediction",
        )
    own = [name for name, _ in unet.named_parameters()]
    unet_names = {f"unet.{name}": place for name, place in ldm.unet_names(own, settings["unet"]).items()}
    original = Original(
        family=family,
        shapes={name: tuple(value.shape) for name, value in parameters_of(components).items()},
        layers=layers_of(components),
        file_names=unet_names | dict(names),
        turned=turned,
        ignored=ldm.ignored(ignored),
        settings=settings,
        read_settings=read_settings,
        prediction_type=PREDICTION_TYPES[said],
    )
    return Pair(
        speaker=speaker,
        base=components,
        tuned={name: copy.deepcopy(module) for name, module in components.items()},
        original=original,
        latent_shape=(channels, side, side),
        size=side * decoder.factor,
        scheduler_config=scheduler,
    )
