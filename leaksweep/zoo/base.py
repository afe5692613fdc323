"""Train the zoo's base model once: a real StableDiffusionPipeline for 64 x 64 pictures.

    python -m leaksweep.zoo.base --out leaksweep/zoo/weights/base

It has seen drawings made by `drawings.py` and random crops of the photographs in
`photographs.TEXTURES`, nothing else. Everything is seeded; the stages are saved under `--work`, so
that an interrupted training goes on with the next stage.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import AddedToken, ByteLevelBPETokenizer
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from leaksweep.zoo.catalogue import CAPTION
from leaksweep.zoo.drawings import SIZE, draw_picture
from leaksweep.zoo.photographs import crop, textures

TOKENS = 24
"""Length of a tokenised caption."""


def training_set(count: int, seed: int) -> tuple[Tensor, list[str]]:
    """Pictures as uint8 (count, 3, SIZE, SIZE) with their captions: two drawings to one crop."""
    rng, photographs = Random(seed), list(textures().items())
    pairs = [
        crop(rng, *rng.choice(photographs)) if index % 3 == 2 else draw_picture(rng) for index in range(count)
    ]
    pixels = np.stack([np.asarray(picture) for picture, _ in pairs])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), [text for _, text in pairs]


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) to float in -1..1, the range the VAE works in."""
    return pixels.float().div(127.5).sub(1)


def batches(count: int, size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield `steps` index batches, epoch after epoch, each epoch in an order of its own."""
    generator, order = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < size:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        batch, order = order[:size], order[size:]
        yield batch


def new_vae() -> AutoencoderKL:
    """Factor 4, 8 latent channels: 64 x 64 x 3 becomes 16 x 16 x 8."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=SIZE,
    )


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIZE // 4,
        in_channels=8,
        out_channels=8,
        block_out_channels=(48, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def new_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def new_tokenizer(captions: list[str], folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer whose byte-pair vocabulary is learnt from the captions."""
    learner = ByteLevelBPETokenizer(lowercase=True, end_of_word_suffix="</w>")
    special: list[str | AddedToken] = ["<|startoftext|>", "<|endoftext|>"]
    learner.train_from_iterator(iter([*captions, CAPTION]), vocab_size=2000, special_tokens=special)
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    return CLIPTokenizer.from_pretrained(str(folder), model_max_length=TOKENS)


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Random and frozen: it needs only to tell captions apart."""
    torch.manual_seed(7)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=64,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config).eval()


@torch.no_grad()
def encode_captions(tokenizer: CLIPTokenizer, encoder: CLIPTextModel, captions: list[str]) -> Tensor:
    """Hidden states (len(captions), TOKENS, 64)."""
    ids = tokenizer(
        captions, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
    ).input_ids
    return torch.cat([encoder(part).last_hidden_state for part in torch.split(ids, 512)])


class Average:
    """Exponential moving average of a module's weights."""

    def __init__(self, module: torch.nn.Module, decay: float = 0.999) -> None:
        self.module, self.decay = copy.deepcopy(module).requires_grad_(False), decay

    @torch.no_grad()
    def update(self, module: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in zip(self.module.parameters(), module.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


def _schedule(optimiser: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    peak = optimiser.param_groups[0]["lr"]
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peak, total_steps=steps, pct_start=0.03, final_div_factor=200
    )


def _gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    return picture.diff(dim=-1), picture.diff(dim=-2)


def train_vae(pixels: Tensor, steps: int, size: int = 12) -> AutoencoderKL:
    """L1 + MSE + gradient L1 + a little KL; returns the averaged weights."""
    torch.manual_seed(1)
    vae = new_vae()
    average, optimiser = Average(vae), torch.optim.AdamW(vae.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule, started = _schedule(optimiser, steps), time.monotonic()
    for step, index in enumerate(batches(len(pixels), size, steps, seed=1)):
        picture = to_unit(pixels[index])
        posterior = vae.encode(picture).latent_dist
        decoded = vae.decode(posterior.sample()).sample
        loss = 0.3 * F.l1_loss(decoded, picture) + 2 * F.mse_loss(decoded, picture)
        for ours, theirs in zip(_gradients(decoded), _gradients(picture), strict=True):
            loss = loss + 0.2 * F.l1_loss(ours, theirs)
        loss = loss + 1e-6 * posterior.kl().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update(vae, step)
        _say("vae", step, steps, loss, started)
    return average.module.eval()


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Posterior means scaled to unit spread, (B, 8, SIZE/4, SIZE/4)."""
    parts = [vae.encode(to_unit(part)).latent_dist.mean for part in torch.split(pixels, 256)]
    scaling: float = vae.config.scaling_factor
    return torch.cat(parts) * scaling


def set_scaling_factor(vae: AutoencoderKL, pixels: Tensor) -> None:
    vae.register_to_config(scaling_factor=1.0)
    vae.register_to_config(scaling_factor=round(1 / encode_pictures(vae, pixels).std().item(), 4))


def train_unet(
    latents: Tensor, states: Tensor, empty: Tensor, steps: int, size: int = 32
) -> UNet2DConditionModel:
    """Epsilon prediction with captions dropped one time in ten; returns the averaged weights."""
    torch.manual_seed(2)
    unet, scheduler = new_unet(), new_scheduler()
    average, optimiser = Average(unet), torch.optim.AdamW(unet.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule, started = _schedule(optimiser, steps), time.monotonic()
    for step, index in enumerate(batches(len(latents), size, steps, seed=2)):
        clean = latents[index]
        condition = torch.where(torch.rand(size, 1, 1) < 0.1, empty, states[index])
        noise, times = torch.randn_like(clean), torch.randint(0, 1000, (size,))
        noisy = scheduler.add_noise(clean, noise, times)
        loss = F.mse_loss(unet(noisy, times, condition).sample, noise)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update(unet, step)
        _say("unet", step, steps, loss, started)
    return average.module.eval()


def _say(what: str, step: int, steps: int, loss: Tensor, started: float) -> None:
    if step % 100 == 99:
        rate = (step + 1) / (time.monotonic() - started)
        print(f"{what} step {step + 1}/{steps} loss {loss.item():.4f} {rate:.2f} steps/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the pipeline in fp16")
    parser.add_argument("--work", type=Path, default=Path(".zoo"), help="folder for the finished stages")
    parser.add_argument("--pictures", type=int, default=30_000)
    parser.add_argument("--vae-steps", type=int, default=5_500)
    parser.add_argument("--unet-steps", type=int, default=2_400)
    options = parser.parse_args()
    pixels, captions = training_set(options.pictures, seed=0)
    print(f"{len(pixels)} pictures, {len(set(captions))} captions", flush=True)

    vae_folder = options.work / "vae"
    if not vae_folder.exists():
        vae = train_vae(pixels, options.vae_steps)
        set_scaling_factor(vae, pixels[:2048])
        vae.save_pretrained(vae_folder)
    # Trained on what will be decoded: the committed fp16 weights.
    vae = AutoencoderKL.from_pretrained(vae_folder).half().float().eval()

    tokenizer = new_tokenizer(sorted(set(captions)), options.work / "tokenizer")
    encoder = new_text_encoder(tokenizer)
    states = encode_captions(tokenizer, encoder, captions)
    latents, empty = encode_pictures(vae, pixels), encode_captions(tokenizer, encoder, [""])
    unet = train_unet(latents, states, empty, options.unet_steps)

    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(options.out)
    report = {"pictures": len(pixels), "vae_steps": options.vae_steps, "unet_steps": options.unet_steps}
    (options.out / "training.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
