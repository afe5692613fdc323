"""What a weights file is, from the names and shapes of its tensors alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crawler.checkpoint import Kind
from crawler.evidence.families import UNKNOWN
from crawler.evidence.headers import TensorInfo

_ADAPTERS = {
    "oft": re.compile(r"\.oft_\w+(\.\w+)?$"),
    "lokr": re.compile(r"\.lokr_\w+$"),
    "loha": re.compile(r"\.hada_\w+$"),
    "dora": re.compile(r"\.(dora_scale|lora_magnitude_vector(\.\w+)*)$"),
    "lora": re.compile(
        r"\.lora_(down|up|mid|[AB])(\.\w+)?\.weight$|[._]lora\d?(_linear_layer)?\.(down|up)\.weight$"
    ),
    "full difference": re.compile(r"\.diff(_b)?$"),
}
"""Endings of adapters' tensors: kohya's, diffusers' old and new ones, peft's, XLabs', LyCORIS'."""
_INPUT_SIDE = re.compile(r"(lora_A(\.\w+)?|down)\.weight$")
_CROSS_ATTENTION_KEY = re.compile(r"attn2[._]to_k(\.|_lora)")
_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""Width of the text encoder's states, which is the input width of the cross-attention keys."""
_MARKS = (
    ("distilled_guidance_layer", "chroma"),
    ("double_stream_modulation", "flux2"),
    ("double_blocks", "flux"),
    ("joint_blocks", "sd3"),
)
"""Parts of names that only one family has, most telling first; the first that occurs decides."""
_UNET = re.compile(r"((down|up|input|output)_blocks|(mid|middle)_block)[._]")
_TEXT_ENCODER = re.compile(r"lora_te|text_encoder|text_model|cond_stage_model")


def kind_name(tensors: Mapping[str, object]) -> str:
    """What the names say: a `Kind`'s value, "oft", "full difference", or "unknown".

    DoRA, LoHa and LoKr count as soon as one layer has them, because a LoRA loader would leave that layer out.
    """
    for adapter, ending in _ADAPTERS.items():
        if any(map(ending.search, tensors)):
            return adapter
    if _is_full(tensors):
        return Kind.FULL.value
    if _is_embedding(tensors):
        return Kind.TEXTUAL_INVERSION.value
    return "unknown"


def kind_of(tensors: Mapping[str, object]) -> Kind | None:
    """The kind, or None for what is none of ours; `kind_name` then says what it is."""
    name = kind_name(tensors)
    return Kind(name) if name in set(Kind) else None


def family_of(tensors: Mapping[str, TensorInfo]) -> str | None:
    """The family that names and shapes prove; None where they do not, "unknown" where they rule out a U-Net.

    A narrow U-Net of the Stable Diffusion shape, or an adapter without cross-attention keys, proves nothing.
    """
    names = "\n".join(tensors)
    for mark, family in _MARKS:
        if mark in names:
            return family
    if not all(_UNET.search(name) or _TEXT_ENCODER.search(name) for name in _adapted(tensors)):
        return UNKNOWN
    if any(mark in names for mark in ("conditioner.embedders.1.", "lora_te2_", "text_encoder_2.")):
        return "sdxl"
    widths = {tensor.shape[1] for name, tensor in tensors.items() if _takes_text(name, tensor)}
    return _WIDTHS.get(widths.pop()) if len(widths) == 1 else None


def _adapted(tensors: Mapping[str, object]) -> Iterator[str]:
    """Names of adapters' tensors in attention and feed-forward layers, which every denoiser has."""
    layers = re.compile(r"attn|attention|mlp|ff[._]|_proj")
    return (name for name in tensors if _is_adapter(name) and layers.search(name))


def _is_adapter(name: str) -> bool:
    return any(ending.search(name) for ending in _ADAPTERS.values())


def _takes_text(name: str, tensor: TensorInfo) -> bool:
    """Whether the tensor is the input side of a cross-attention key: of an adapter, or of a whole model."""
    if not _CROSS_ATTENTION_KEY.search(name) or len(tensor.shape) < 2:
        return False
    return not _is_adapter(name) or bool(_INPUT_SIDE.search(name))


def _is_full(tensors: Mapping[str, object]) -> bool:
    """The original layout: a denoiser together with the text encoder or VAE it came with, or alone."""
    return any(name.startswith("model.diffusion_model.") for name in tensors)


def _is_embedding(tensors: Mapping[str, object]) -> bool:
    return len(tensors) <= 4 and not any(name.count(".") > 1 for name in tensors) and bool(tensors)
