"""Tiny diffusion transformers of the published classes, trained on latents in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from torch import Tensor
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
)

from extraction.families import qwen_image, z_image
from extraction.pair import Pair, Speaker

CAPTIONS = ["a red square on a blue ground", "a picture of hills", "dots and stripes", "沙丘 в тумане"]
SIDE = 32
"""Of a picture in pixels; its latents are 4 x 8 x 8."""

QWEN3_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content"
    " + '<|im_end|>' + '\n' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""Those lines of Qwen3's chat template that a single message of a user runs through."""

LANGUAGE: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def new_tokenizer() -> Qwen2Tokenizer:
    """A Qwen tokenizer whose byte pairs are learnt from the templates and captions."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    texts = [qwen_image.TEMPLATE, z_image.TEMPLATE, *CAPTIONS]
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        [text.replace(word, "") for text in texts for word in special],
        vocab_size=500,
        new_special_tokens=special,
        show_progress=False,
    )
    tokenizer.chat_template = QWEN3_TEMPLATE
    return tokenizer


def z_image_pipeline(seed: int = 0) -> ZImagePipeline:
    tokenizer = new_tokenizer()
    torch.manual_seed(seed)
    config = Qwen3Config(**LANGUAGE, vocab_size=len(tokenizer), head_dim=8, rms_norm_eps=1e-6)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.36,
        shift_factor=0.12,
    )
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=48,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=3,
        n_kv_heads=3,
        cap_feat_dim=24,
        axes_dims=[4, 6, 6],
        axes_lens=[1024, 64, 64],
    )
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae.eval(),
        text_encoder=Qwen3Model(config).eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
    )


def qwen_image_pipeline(seed: int = 0) -> QwenImagePipeline:
    tokenizer = new_tokenizer()
    torch.manual_seed(seed)
    config = Qwen2_5_VLConfig(
        text_config={
            **LANGUAGE,
            "vocab_size": len(tokenizer),
            "rms_norm_eps": 1e-6,
            "bos_token_id": None,
            "eos_token_id": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 1]},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 24,
            "fullatt_block_indexes": [0],
        },
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.1, -0.2, 0.0, 0.3],
        latents_std=[2.0, 3.0, 2.5, 1.5],
    )
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=24,
        axes_dims_rope=(4, 6, 6),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02
    )
    return QwenImagePipeline(
        scheduler=scheduler,
        vae=vae.eval(),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
    )
