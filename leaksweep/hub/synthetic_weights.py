"""Weights of a few kilobytes whose safetensors header is a true one: names, shapes, a trainer's notes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_SD_KEYS = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of base models, as far as headers, cards and labels show it."""

    repo: str
    """The base model on Hugging Face."""
    label: str
    """What Civitai calls it."""
    pipeline: str
    """Class name of its pipeline in diffusers."""
    module: str
    """The layer that adapters of this family change here, as diffusers names it."""
    inputs: int
    """Numbers that go into the layer, and come out of it."""
    outputs: int
    version: str
    """What kohya's trainer writes as ss_base_model_version."""
    gated: bool = False


FAMILIES = (
    Family(
        repo="stable-diffusion-v1-5/stable-diffusion-v1-5", label="SD 1.5",
        pipeline="StableDiffusionPipeline", module=_SD_KEYS, inputs=768, outputs=640, version="sd_v1",
    ),
    Family(
        repo="stabilityai/stable-diffusion-xl-base-1.0", label="SDXL 1.0",
        pipeline="StableDiffusionXLPipeline", module=_SD_KEYS, inputs=2048, outputs=640,
        version="sdxl_base_v1-0",
    ),
    Family(
        repo="black-forest-labs/FLUX.1-dev", label="Flux.1 D", pipeline="FluxPipeline",
        module="double_blocks.0.img_attn.proj", inputs=3072, outputs=3072, version="flux1", gated=True,
    ),
    Family(
        repo="stabilityai/stable-diffusion-3-medium-diffusers", label="SD 3",
        pipeline="StableDiffusion3Pipeline", module="joint_blocks.0.x_block.attn.proj", inputs=1536,
        outputs=1536, version="sd3", gated=True,
    ),
)  # fmt: skip
"""In the order of the first rows of a synthetic Hugging Face, which are these base models."""


def lora(family: Family, index: int, words: str, *, lokr: bool = False) -> bytes:
    """Return an adapter of rank 1 for one layer, as kohya's trainer writes it.

    Args:
        index: written into the data, so that no two rows have the same file.
        words: the caption that all its pictures had.
    """
    layer = f"lora_unet_{family.module.replace('.', '_')}"
    if lokr:
        shapes = {
            "lokr_w1": (4, 4),
            "lokr_w2_a": (family.outputs // 4, 1),
            "lokr_w2_b": (1, family.inputs // 4),
        }
    else:
        shapes = {"lora_down.weight": (1, family.inputs), "lora_up.weight": (family.outputs, 1)}
    pictures = 10 + index % 90
    noted = {
        "ss_base_model_version": family.version,
        "ss_network_module": "lycoris.kohya" if lokr else "networks.lora",
        "ss_network_dim": "1",
        "ss_num_train_images": str(pictures),
        "ss_steps": str(pictures * 100),
        "ss_tag_frequency": orjson.dumps({"10_set": {words: pictures}}).decode(),
    }
    return safetensors(index, noted, {"alpha": (), **shapes}, prefix=f"{layer}.")


def full(family: Family, index: int) -> bytes:
    """Return a U-Net, or transformer, of one layer, as diffusers saves it."""
    return safetensors(index, {}, {"bias": (family.outputs,)}, prefix=f"{family.module}.")


def inversion(family: Family, index: int) -> bytes:
    """Return the vector of a word."""
    return safetensors(index, {}, {"emb_params": (1, min(family.inputs, 2048))})


def safetensors(
    index: int, metadata: Mapping[str, str], tensors: Mapping[str, tuple[int, ...]], prefix: str = ""
) -> bytes:
    """Return a file of 16-bit tensors: zeros, but for the number at the end."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in tensors.items():
        start, size = end, 2
        for length in shape:
            size *= length
        end = start + size
        header[prefix + name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    text = orjson.dumps(header)
    return struct.pack("<Q", len(text)) + text + index.to_bytes(8).rjust(end, b"\0")
