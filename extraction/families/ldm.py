"""Names of the original single-file layout (CompVis' latent diffusion), made from a model's config.

The layout numbers blocks from input to output in one row each, where diffusers nests them by
resolution. A name is translated by its block's place in the row and, within a ResNet, by a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from extraction.extraction import LoadError

UNET, TEXT, VAE = "model.diffusion_model.", "cond_stage_model.transformer.text_model.", "first_stage_model."

IGNORED = (
    r"first_stage_model\.|model_ema\.|cond_stage_model\.transformer\.text_model\.embeddings\.position_ids$|"
    r"cond_stage_model\.(logit_scale|text_projection|transformer\.text_projection\.weight)$|"
    r"(alphas_cumprod|alphas_cumprod_prev|betas|logvar|log_one_minus_alphas_cumprod|posterior_(variance|"
    r"log_variance_clipped|mean_coef1|mean_coef2)|sqrt_(alphas_cumprod|one_minus_alphas_cumprod|recip_alphas_cumprod|"
    r"recipm1_alphas_cumprod))$"
)
"""The VAE, the training's averages and noise schedule, and CLIP's parts that make no hidden state."""

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}

OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
"""Layers that stand in no block."""


def unet_blocks(config: Mapping[str, Any]) -> dict[str, str]:
    """Every block of a UNet2DConditionModel: "down_blocks.0.resnets.0" -> "input_blocks.1.0"."""
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        raise LoadError(
            "unsupported_family", "a UNet with different layers_per_block has no single-file layout"
        )
    blocks = {
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    place = 1  # 0 is conv_in.
    down, up = config["down_block_types"], config["up_block_types"]
    for level, kind in enumerate(down):
        for layer in range(layers):
            blocks[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{place}.0"
            if kind.startswith("CrossAttn"):
                blocks[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{place}.1"
            place += 1
        if level < len(down) - 1:
            blocks[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{place}.0.op"
            place += 1
    place = 0
    for level, kind in enumerate(up):
        for layer in range(layers + 1):
            blocks[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{place}.0"
            if kind.startswith("CrossAttn"):
                blocks[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{place}.1"
            if layer == layers and level < len(up) - 1:
                after = 2 if kind.startswith("CrossAttn") else 1
                blocks[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{place}.{after}.conv"
            place += 1
    return blocks


def unet_names(names: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """Name of each UNet parameter in the single file.

    Raises:
        LoadError: "unsupported_family" for a parameter that the layout has no name for.
    """
    blocks = OUTSIDE | unet_blocks(config)
    return {name: UNET + _translate(name, blocks, RESNET) for name in names}


def text_names(names: Iterable[str], prefix: str = TEXT) -> dict[str, str]:
    """Name of each CLIP text model parameter in the single file, by default of Stable Diffusion 1."""
    return {name: prefix + name.removeprefix("text_model.") for name in names}


def ignored(more: str) -> re.Pattern[str]:
    """Tensors of a single file without a say: those of all UNet families, and a family's own."""
    return re.compile(f"^({IGNORED}|{more})")


def vae_names(names: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """Name of each AutoencoderKL parameter in the single file."""
    last = len(config["up_block_types"]) - 1

    def translate(name: str) -> str:
        name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
        # Here alone the layout counts from the output.
        name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda match: f"up.{last - int(match[1])}.block", name)
        name = re.sub(
            r"up_blocks\.(\d+)\.upsamplers\.0", lambda match: f"up.{last - int(match[1])}.upsample", name
        )
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        name = re.sub(r"attn_1\.to_out\.0", "attn_1.proj_out", name)
        name = re.sub(r"attn_1\.to_([qkv])", r"attn_1.\1", name)
        return VAE + name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")

    return {name: translate(name) for name in names}


def to_ldm(
    unet: UNet2DConditionModel, text_encoder: CLIPTextModel | None = None, vae: AutoencoderKL | None = None
) -> dict[str, Tensor]:
    """A model's tensors under the names of the single file, as `safetensors.torch.save_file` takes them."""
    tensors = _renamed(unet, lambda names: unet_names(names, unet.config))
    if text_encoder is not None:
        tensors |= _renamed(text_encoder, text_names)
    if vae is not None:
        for name, tensor in _renamed(vae, lambda names: vae_names(names, vae.config)).items():
            # The original's VAE attention is made of 1 x 1 convolutions.
            tensors[name] = tensor[:, :, None, None] if ".attn_1." in name and tensor.dim() == 2 else tensor
    return tensors


def _renamed(module: nn.Module, name_of: Callable[[list[str]], dict[str, str]]) -> dict[str, Tensor]:
    own = {name: value.detach() for name, value in module.named_parameters()}
    return {theirs: own[name].contiguous() for name, theirs in name_of(list(own)).items()}


def _translate(name: str, blocks: Mapping[str, str], resnet: Mapping[str, str]) -> str:
    """Put the block's and, within a ResNet, the layer's other name in place."""
    path = name.split(".")
    for depth in range(len(path) - 1, 0, -1):
        block = ".".join(path[:depth])
        if block in blocks:
            rest = path[depth:]
            if "resnets" in block:
                rest[0] = resnet.get(rest[0], rest[0])
            return ".".join([blocks[block], *rest])
    raise LoadError(
        "unsupported_family", f"the single-file layout has no name for '{name}'; use a diffusers folder"
    )
