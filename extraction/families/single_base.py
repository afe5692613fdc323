"""A base that is one file in the original layout, such as Pony's: sizes from the table of published ones.

Its tokenizers are not in the file; they must lie beside it, in folders "tokenizer" and "tokenizer_2".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from extraction.extraction import LoadError
from extraction.families import clip, ldm, parts, sdxl, stable_diffusion, vae
from extraction.families.parts import Configs
from extraction.full import read_file
from extraction.original import PREDICTION_TYPES
from extraction.pair import Pair
from extraction.source import Source, check
from extraction.weights import Weights, check_finite, open_weights, shorten

CROSS_ATTENTION = ".attn2.to_k.weight"


def load(base: Path, published: Mapping[str, Configs], *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a single file as a pair; see `extraction.families.load_pair`.

    Raises:
        LoadError: beside those of `load_pair`, "unsupported_family" for a file of no published size, or of
            several that only its metadata could tell apart.
    """
    weights = open_weights(base)
    configs = recognise(weights, published)
    encoders = [name for name in configs if name.startswith("text_encoder")]
    upcast = len(encoders) == 2
    own = parts.make(
        configs,
        (),
        device=device,
        dtype=dtype,
        vae_dtype=vae.safe_dtype(configs["vae"], dtype) if upcast else dtype,
    )
    tokenizers = tuple(
        clip.load_tokenizer(base.parent / name.replace("text_encoder", "tokenizer"), own.components[name])
        for name in encoders
    )
    own = replace(own, tokenizers=tokenizers)
    _fill_vae(own.decoder.vae, weights)
    pair = sdxl.assemble(own) if upcast else stable_diffusion.assemble(own)
    full = read_file(weights, pair.original)
    for parameter in pair.base_parameters.keys() - full.sources.keys():
        raise LoadError("missing_base", f"{shorten(base.name)}: lacks '{parameter}'; a base must be whole")
    for parameter, value in full.values(pair.base_parameters):
        pair.base_parameters[parameter].copy_(value)
        check_finite(parameter, pair.base_parameters[parameter])
    pair.reset()
    return pair


def recognise(weights: Weights, published: Mapping[str, Configs]) -> Configs:
    """The published configs that a file's tensors fit, with the prediction type that the file declares.

    Raises:
        LoadError: "unsupported_family".
    """
    said = PREDICTION_TYPES.get(weights.metadata.get("modelspec.prediction_type", ""))
    if "v_pred" in weights:
        said = "v_prediction"
    fitting = {name: configs for name, configs in published.items() if _fits(weights, configs)}
    if len(fitting) > 1:
        fitting = {
            name: configs
            for name, configs in fitting.items()
            if configs["scheduler"]["prediction_type"] == said
        }
    if len(fitting) != 1:
        raise LoadError(
            "unsupported_family",
            f"{shorten(weights.path.name)}: not certain to be one of {', '.join(published)}; "
            "give the base as a diffusers folder",
        )
    configs = next(iter(fitting.values()))
    scheduler = {
        **configs["scheduler"],
        "prediction_type": said or configs["scheduler"]["prediction_type"],
        "rescale_betas_zero_snr": "ztsnr" in weights,
    }
    return {**configs, "scheduler": scheduler}


def _fits(weights: Weights, configs: Configs) -> bool:
    """Whether a file has the width of a UNet's text and of its blocks."""
    unet = configs["unet"]
    widths = {weights.shape(name)[1] for name in weights if name.endswith(CROSS_ATTENTION)}
    first = f"{ldm.UNET}input_blocks.0.0.weight"
    inputs = (unet["block_out_channels"][0], configs["vae"]["latent_channels"], 3, 3)
    return widths == {unet["cross_attention_dim"]} and first in weights and weights.shape(first) == inputs


def _fill_vae(module: AutoencoderKL, weights: Weights) -> None:
    own = dict(module.named_parameters())
    for name, place in ldm.vae_names(own, module.config).items():
        if place not in weights:
            raise LoadError(
                "missing_base",
                f"{shorten(weights.path.name)}: lacks '{place}' of its VAE; a base must be whole",
            )
        source = check(Source(weights, place, tuple(own[name].shape)), f"vae.{name}")
        own[name].copy_(source.read(own[name].device))
