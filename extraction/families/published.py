"""The published sizes of the UNet families, for files that come without a config.

Read from the config.json files of stable-diffusion-v1-5/stable-diffusion-v1-5,
stabilityai/stable-diffusion-2-1-base and -2-1, and stabilityai/stable-diffusion-xl-base-1.0 on the
Hugging Face Hub. What is not named here is the libraries' default.
"""

from __future__ import annotations

from typing import Any

from extraction.families.parts import Configs

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
}
VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}
CLIP_L: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "eos_token_id": 2,
}
OPEN_CLIP_H = CLIP_L | {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
}
OPEN_CLIP_BIG_G = CLIP_L | {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
UNET_1: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
UNET_2 = UNET_1 | {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
UNET_XL: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}

SD1, XL = {"_class_name": "StableDiffusionPipeline"}, {"_class_name": "StableDiffusionXLPipeline"}

PUBLISHED: dict[str, Configs] = {
    "stable-diffusion-v1-5": {
        "model_index": SD1,
        "unet": UNET_1,
        "text_encoder": CLIP_L,
        "vae": VAE,
        "scheduler": SCHEDULE,
    },
    "stable-diffusion-2-1-base": {
        "model_index": SD1,
        "unet": UNET_2,
        "text_encoder": OPEN_CLIP_H,
        "vae": VAE,
        "scheduler": SCHEDULE,
    },
    "stable-diffusion-2-1": {
        "model_index": SD1,
        "unet": UNET_2 | {"sample_size": 96},
        "text_encoder": OPEN_CLIP_H,
        "vae": VAE,
        "scheduler": SCHEDULE | {"prediction_type": "v_prediction"},
    },
    "stable-diffusion-xl-base-1.0": {
        "model_index": XL | {"force_zeros_for_empty_prompt": True},
        "unet": UNET_XL,
        "text_encoder": CLIP_L,
        "text_encoder_2": OPEN_CLIP_BIG_G,
        "vae": VAE | {"scaling_factor": 0.13025, "force_upcast": True},
        "scheduler": SCHEDULE,
    },
}
