"""Families of models: how a base is loaded and spoken to. Each family is a module of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from extraction.extraction import LoadError
from extraction.families import flux, qwen_image, sd3, sdxl, single_base, stable_diffusion, z_image
from extraction.families.published import PUBLISHED
from extraction.folder import read_json
from extraction.pair import Pair
from extraction.weights import shorten

LOADERS = {
    "StableDiffusionPipeline": stable_diffusion.load,
    "StableDiffusionImg2ImgPipeline": stable_diffusion.load,
    "StableDiffusionXLPipeline": sdxl.load,
    "StableDiffusionXLImg2ImgPipeline": sdxl.load,
    "StableDiffusion3Pipeline": sd3.load,
    "StableDiffusion3Img2ImgPipeline": sd3.load,
    "FluxPipeline": flux.load,
    "FluxImg2ImgPipeline": flux.load,
    "FluxKontextPipeline": flux.load,
    "QwenImagePipeline": qwen_image.load,
    "QwenImageImg2ImgPipeline": qwen_image.load,
    "ZImagePipeline": z_image.load,
    "ZImageImg2ImgPipeline": z_image.load,
}
"""By `_class_name` in model_index.json. Image to image has the same parts: it begins with less noise."""


def load_pair(base: Path, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """Load a base model twice: the base, and the twin that fine-tunes are put into.

    A base is a diffusers folder, or for Stable Diffusion and SDXL a single file with its tokenizers beside
    it. Only safetensors and configs are read; nothing is fetched.

    Raises:
        LoadError: "missing_base" when the folder or a file of it is not there, "unsupported_family",
            "unsafe_file", "not_finite", "does_not_fit" when its files do not belong together.
    """
    if base.is_file():
        return single_base.load(base, PUBLISHED, device=device, dtype=dtype)
    index = base / "model_index.json"
    if not index.is_file():
        raise LoadError(
            "missing_base",
            f"{shorten(base)}: no model_index.json there; give the folder of a diffusers pipeline",
        )
    name = read_json(index).get("_class_name")
    if not isinstance(name, str) or name not in LOADERS:
        raise LoadError(
            "unsupported_family",
            f"{shorten(base.name)} is a {shorten(name, 40)}; known are {', '.join(LOADERS)}",
        )
    return LOADERS[name](base, device=device, dtype=dtype)
