"""Tiny SD3 and FLUX of the published classes, trained on latents in seconds."""

from __future__ import annotations

from collections.abc import Callable
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
from extraction.pair import Pair, Speaker
from leaksweep.zoo.base import new_tokenizer as new_clip_tokenizer

CAPTIONS = ["a red square on a blue ground", "a picture of hills", "dots and stripes", "沙丘 в тумане"]
LATENT = 16
"""Side of the latents; pictures are as large, since the tiny VAE does not shrink."""
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
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
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
        block_out_channels=(8,),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
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


def train(
    speaker: Speaker,
    components: dict[str, nn.Module],
    clean: Tensor,
    conditions: Condition,
    *,
    steps: int,
    rate: float = 2e-3,
    seed: int = 0,
) -> float:
    """Train a transformer by flow matching on latents (N, C, h, w), each with its row of the conditions.

    Returns:
        The mean loss of the last tenth of the steps.
    """
    model = components["transformer"].train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(clean), (16,), generator=generator)
        noise = torch.randn(clean[rows].shape, generator=generator)
        sigma = torch.sigmoid(torch.randn(16, 1, 1, 1, generator=generator))
        noisy = (1 - sigma) * clean[rows] + sigma * noise
        told = Condition({name: tensor[rows] for name, tensor in conditions.tensors.items()})
        loss = (speaker.predict(components, noisy, sigma.flatten() * 1000, told) - noise + clean[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval().requires_grad_(False)
    return sum(losses[-steps // 10 :]) / (steps // 10)
