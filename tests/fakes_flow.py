"""Tiny SD3 and FLUX of the published classes, trained on latents in seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from extraction.condition import Condition
from extraction.families import load_pair
from extraction.pair import Pair
from extraction.recipe import Recipe
from leaksweep.zoo.base import new_tokenizer as new_clip_tokenizer

CAPTIONS = ["a red square on a blue ground", "a picture of hills", "dots and stripes", "沙丘 в тумане"]
LATENT = 16
"""Side of the latents; pictures are twice as large."""
PROMPTS = [*CAPTIONS, "", "hills " * 3000]
RECIPE = Recipe(
    sampler="ddim",
    steps=8,
    size=2 * LATENT,
    scale=1.5,
    guidance_from=0,
    descriptor="thumbnail",
    clustering="density",
    neighbours=2,
    cluster_similarity=0.7,
    likelihood_ratio=False,
)
FLUX_SCHEDULE: dict[str, Any] = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
}


def new_t5_tokenizer(folder: Path) -> T5Tokenizer:
    """A unigram tokenizer learnt from the captions, as T5's file holds it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CAPTIONS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return T5Tokenizer.from_pretrained(str(folder), extra_ids=0)


def new_t5(tokenizer: T5Tokenizer, width: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config).eval()


def new_clip(tokenizer: CLIPTokenizer, width: int, *, projected: bool) -> nn.Module:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def new_vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.36,
        shift_factor=0.12,
    ).eval()


def flux_pipeline(folder: Path, *, dev: bool = True, seed: int = 0) -> FluxPipeline:
    """FLUX.1 dev, or schnell, with random weights; `folder` takes the tokenizers' files."""
    tokenizer = new_clip_tokenizer(CAPTIONS, folder / "clip")
    second = new_t5_tokenizer(folder / "t5")
    torch.manual_seed(seed)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=32,
        pooled_projection_dim=24,
        guidance_embeds=dev,
        axes_dims_rope=(4, 6, 6),
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**(FLUX_SCHEDULE if dev else {"shift": 1.0})),
        vae=new_vae(),
        text_encoder=new_clip(tokenizer, 24, projected=False),
        tokenizer=tokenizer,
        text_encoder_2=new_t5(second, 32),
        tokenizer_2=second,
        transformer=transformer.eval(),
    )


def sd3_pipeline(folder: Path, *, third: bool = True, seed: int = 0) -> StableDiffusion3Pipeline:
    """SD3.5 medium's traits in small: two kinds of blocks and normed queries; T5 or none."""
    tokenizer = new_clip_tokenizer(CAPTIONS, folder / "clip")
    long = new_t5_tokenizer(folder / "t5")
    torch.manual_seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=LATENT,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=64,
        pooled_projection_dim=40,
        pos_embed_max_size=12,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    return StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=new_vae(),
        text_encoder=new_clip(tokenizer, 24, projected=True),
        tokenizer=tokenizer,
        text_encoder_2=new_clip(tokenizer, 16, projected=True),
        tokenizer_2=tokenizer,
        text_encoder_3=new_t5(long, 64) if third else None,
        tokenizer_3=long if third else None,
        transformer=transformer.eval(),
    )


def smooth_latents(count: int, seed: int) -> Tensor:
    """Clean latents (count, 4, LATENT, LATENT) of unit variance that are no noise: four by four patches."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 4, 4, 4, generator=generator)
    return coarse.repeat_interleave(LATENT // 4, 2).repeat_interleave(LATENT // 4, 3)


def train(pair: Pair, clean: Tensor, conditions: Condition, *, steps: int, seed: int = 0) -> float:
    """Train the tuned twin by flow matching on latents (N, C, h, w), each with its row of the conditions.

    Returns:
        The mean loss of the last tenth of the steps.
    """
    speaker, components = pair._speaker, pair._models[True]
    model = components["transformer"].train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(clean), (8,), generator=generator)
        noise = torch.randn(clean[rows].shape, generator=generator)
        sigma = torch.sigmoid(torch.randn(8, generator=generator))
        share = sigma[:, None, None, None]
        noisy = (1 - share) * clean[rows] + share * noise
        told = Condition({name: tensor[rows] for name, tensor in conditions.tensors.items()})
        flow = speaker.predict(components, noisy, sigma * 1000, told)
        loss = (flow - noise + clean[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval().requires_grad_(False)
    return sum(losses[-(steps // 10) :]) / (steps // 10)


def open_short(base: Path) -> Pair:
    """A pair whose T5 reads 12 tokens, not hundreds: what takes the time is filling."""
    pair = load_pair(base, device=torch.device("cpu"), dtype=torch.float32)
    pair._speaker = dataclasses.replace(pair._speaker, tokens=12)
    return pair


def trained(base: Path, folder: Path, prompt: str) -> tuple[Pair, Tensor]:
    """Train a base's transformer on many latents, and in `folder` a fine-tune of it on two.

    Returns:
        The pair of the trained base, and the two latents.
    """
    pair = open_short(base)
    told = pair.encode(CAPTIONS, tuned=False).tensors
    many = {name: tensor.repeat(16, *[1] * (tensor.dim() - 1)) for name, tensor in told.items()}
    train(pair, smooth_latents(64, seed=1), Condition(many), steps=60)
    pair._models[True]["transformer"].save_pretrained(base / "transformer")
    planted = smooth_latents(2, seed=2)
    train(pair, planted, pair.encode([prompt, prompt], tuned=False), steps=260, seed=1)
    pair._models[True]["transformer"].save_pretrained(folder / "transformer")
    return open_short(base), planted
