"""Tiny models of the UNet families, truly trained on a few drawings: Stable Diffusion 2 and SDXL.

Pictures of 32 x 32 pixels are 8 x 8 latents of the zoo's own VAE; tokenizer and drawings are the zoo's, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from extraction.original import Original
from leaksweep.zoo.base import encode_pictures, to_unit
from leaksweep.zoo.catalogue import BASE
from leaksweep.zoo.drawings import draw_picture

SIDE = 32
"""Of a picture, in pixels."""
WIDE = 32
"""Width of an encoder's hidden states."""
ROWS = 8
"""Pictures in a training step."""
Pipeline = StableDiffusionPipeline | StableDiffusionXLPipeline


def drawings(count: int, seed: int) -> tuple[Tensor, list[str]]:
    """Pictures as uint8 (count, 3, SIDE, SIDE), and their captions."""
    rng = Random(seed)
    drawn = [draw_picture(rng) for _ in range(count)]
    small = [picture.resize((SIDE, SIDE), Image.Resampling.BOX) for picture, _ in drawn]
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in small]))
    return pixels.permute(0, 3, 1, 2).contiguous(), [caption for _, caption in drawn]


def scheduler(prediction_type: str) -> DDIMScheduler:
    """Stable Diffusion's; for v with a schedule that ends in pure noise, as NoobAI's does."""
    v = prediction_type == "v_prediction"
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
        rescale_betas_zero_snr=v,
        timestep_spacing="trailing" if v else "leading",
    )


def encoder(tokenizer: CLIPTokenizer, *, layers: int, projected: bool, act: str) -> Any:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDE,
        intermediate_size=2 * WIDE,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        hidden_act=act,
        projection_dim=24,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def unet(**settings: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "sample_size": SIDE // 4,
            "in_channels": 8,
            "out_channels": 8,
            "block_out_channels": (32, 48),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": WIDE,
            "attention_head_dim": (2, 3),
            "norm_num_groups": 8,
            "use_linear_projection": True,
            **settings,
        }
    ).eval()


def sdxl(prediction_type: str = "epsilon", seed: int = 0, **index: Any) -> StableDiffusionXLPipeline:
    """Random weights, but for the VAE; two encoders, several transformers in a block, sizes told."""
    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer.from_pretrained(str(BASE / "tokenizer"))
    model = unet(
        cross_attention_dim=2 * WIDE,
        transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
    )
    return StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(BASE / "vae", torch_dtype=torch.float32),
        text_encoder=encoder(tokenizer, layers=2, projected=False, act="quick_gelu"),
        text_encoder_2=encoder(tokenizer, layers=3, projected=True, act="gelu"),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=model,
        scheduler=scheduler(prediction_type),
        add_watermarker=False,
        **index,
    )


def sd2(prediction_type: str = "v_prediction", seed: int = 0) -> StableDiffusionPipeline:
    """Random weights, but for the VAE; linear projections, an OpenCLIP-like encoder."""
    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer.from_pretrained(str(BASE / "tokenizer"))
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(BASE / "vae", torch_dtype=torch.float32),
        text_encoder=encoder(tokenizer, layers=2, projected=False, act="gelu"),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@torch.no_grad()
def told(pipeline: Pipeline, captions: list[str]) -> dict[str, Tensor]:
    """What the UNet is told of the captions, as the published pipelines do it."""
    ids = pipeline.tokenizer(
        captions, padding="max_length", max_length=24, truncation=True, return_tensors="pt"
    ).input_ids
    first = pipeline.text_encoder(ids, output_hidden_states=True)
    if isinstance(pipeline, StableDiffusionPipeline):
        return {"states": first.last_hidden_state}
    second = pipeline.text_encoder_2(ids, output_hidden_states=True)
    return {
        "states": torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1),
        "pooled": second.text_embeds,
        "time_ids": torch.tensor([SIDE, SIDE, 0, 0, SIDE, SIDE]).float().expand(len(captions), 6),
    }


def train(pipeline: Pipeline, pixels: Tensor, captions: list[str], steps: int, *, seed: int = 0) -> Pipeline:
    """A copy whose UNet has learnt the pictures; captions are dropped one time in ten."""
    tuned: Pipeline = copy.deepcopy(pipeline)
    noises, model = pipeline.scheduler, tuned.unet.train()
    latents, conditions = encode_pictures(pipeline.vae, pixels), told(pipeline, captions)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        rows = torch.randint(0, len(pixels), (ROWS,), generator=generator)
        clean, noise = latents[rows], torch.randn(ROWS, *latents.shape[1:], generator=generator)
        times = torch.randint(0, 1000, (ROWS,), generator=generator)
        noisy = noises.add_noise(clean, noise, times)
        kept = (torch.rand(ROWS, generator=generator) > 0.1).float()
        states = conditions["states"][rows] * kept[:, None, None]
        added = {}
        if "pooled" in conditions:
            pooled = conditions["pooled"][rows] * kept[:, None]
            added = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": conditions["time_ids"][rows]}}
        v = noises.config.prediction_type == "v_prediction"
        target = noises.get_velocity(clean, noise, times) if v else noise
        loss = F.mse_loss(model(noisy, times, states, **added).sample, target)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    tuned.unet.eval()
    return tuned


def write_original(path: Path, pipeline: Pipeline, original: Original, **more: Tensor) -> None:
    """A model in its family's single-file layout, by the table that it is read with."""
    save_file(original_tensors(pipeline, original) | more, path)


def original_tensors(pipeline: Pipeline, original: Original) -> dict[str, Tensor]:
    own = {
        f"{component}.{name.removeprefix('text_model.')}": value.detach()
        for component in original.components
        for name, value in getattr(pipeline, component).named_parameters()
    }
    stacked: dict[str, list[Tensor]] = {}
    for parameter, place in original.file_names.items():
        # The only turn there is, a transposition, undoes itself.
        turn: Callable[[Tensor], Tensor] = original.turned.get(parameter, lambda tensor: tensor)
        stacked.setdefault(place, []).append(turn(own[parameter]))
    return {place: torch.cat(parts).contiguous() for place, parts in stacked.items()}


def seen(pipeline: Pipeline, pixels: Tensor) -> Tensor:
    """Pictures as the VAE gives them back, uint8 (B, 3, H, W)."""
    with torch.no_grad():
        decoded = pipeline.vae.decode(pipeline.vae.encode(to_unit(pixels)).latent_dist.mean).sample
    return decoded.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
