"""Tiny Z-Image and Qwen-Image of the published classes, trained on latents in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from fakes_flow import CAPTIONS, new_vae, smooth_latents, train
from torch import Tensor
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
)

from extraction.condition import Condition
from extraction.extraction import LoadError
from extraction.families import load_pair, qwen_image, z_image
from extraction.pair import Pair

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
        vae=new_vae(),
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
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[True],
        latents_mean=[0.1, -0.2, 0.0, 0.3],
        latents_std=[2.0, 3.0, 2.5, 1.5],
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(8)  # Its random pictures are nearly grey.
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
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


def trained(base: Path, folder: Path, prompt: str, *, steps: int) -> tuple[Pair, Tensor]:
    """Train a base's transformer on many latents, and in `folder` a fine-tune of it on two for `steps`.

    Returns:
        The pair of the trained base, and the two latents.
    """
    pair = load_pair(base, device=torch.device("cpu"), dtype=torch.float32)
    told = pair.encode(CAPTIONS, tuned=False).tensors
    many = {name: tensor.repeat(16, *[1] * (tensor.dim() - 1)) for name, tensor in told.items()}
    train(pair, smooth_latents(64, seed=1), Condition(many), steps=80)
    pair._models[True]["transformer"].save_pretrained(base / "transformer")
    planted = smooth_latents(2, seed=2)
    train(pair, planted, pair.encode([prompt, prompt], tuned=False), steps=steps, seed=1)
    pair._models[True]["transformer"].save_pretrained(folder / "transformer")
    return load_pair(base, device=torch.device("cpu"), dtype=torch.float32), planted


def refusal(base: Path) -> LoadError:
    """Why a base is not loaded."""
    with pytest.raises(LoadError) as caught:
        load_pair(base, device=torch.device("cpu"), dtype=torch.float32)
    return caught.value


def edited(path: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def lora(shapes: dict[str, tuple[int, int]], prefix: str, down: str, up: str) -> dict[str, Tensor]:
    """An adapter of rank 2 of layers (out, in), by the names that a trainer gives its tensors."""
    generator = torch.Generator().manual_seed(3)
    file = {}
    for layer, (out, into) in shapes.items():
        file[f"{prefix}{layer}.{down}.weight"] = torch.randn(2, into, generator=generator)
        file[f"{prefix}{layer}.{up}.weight"] = torch.randn(out, 2, generator=generator)
    return file
