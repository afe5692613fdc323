"""A tiny Stable Diffusion with random weights, and random LoRAs that fit it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from leaksweep.zoo.base import new_scheduler, new_text_encoder, new_tokenizer, new_unet, new_vae
from leaksweep.zoo.formats import Layer, Lora

CAPTIONS = ["a red square on a blue ground", "a picture of hills", "dots and stripes"]


def random_pipeline(folder: Path, seed: int = 0) -> StableDiffusionPipeline:
    """The zoo's architecture before any training; `folder` takes the tokenizer's files."""
    tokenizer = new_tokenizer(CAPTIONS, folder)
    encoder = new_text_encoder(tokenizer)  # seeds the generator itself
    torch.manual_seed(seed)
    return StableDiffusionPipeline(
        vae=new_vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=new_unet().eval(),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def random_lora(shapes: dict[str, tuple[int, ...]], rank: int = 4, alpha: float = 2.0, seed: int = 1) -> Lora:
    """A LoRA of the given layers, by name with their weights' shapes; two ranks and alphas when mixed."""
    generator = torch.Generator().manual_seed(seed)
    lora = {}
    for name, (out, into, *kernel) in shapes.items():
        down = torch.randn((rank, into, *kernel), generator=generator) * 0.1
        up = torch.randn((out, rank, *[1 for _ in kernel]), generator=generator) * 0.1
        lora[name] = Layer(down, up, alpha)
    return lora
