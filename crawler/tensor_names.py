"""What a weights file is, from the names and shapes of its tensors alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crawler.checkpoint import Kind
from crawler.families import UNKNOWN
from crawler.headers import TensorInfo

_ADAPTERS = {
    "lora_down.weight": "lora",
    "lora_up.weight": "lora",
    "lora_a.weight": "lora",
    "lora_b.weight": "lora",
    "lora.down.weight": "lora",
    "lora.up.weight": "lora",
    "lora_linear_layer.down.weight": "lora",
    "hada_w1_a": "loha",
    "lokr_w1": "lokr",
    "lokr_w1_a": "lokr",
    "lokr_w2": "lokr",
    "oft_diag": "oft",
    "oft_blocks": "oft",
    "oft_r.weight": "oft",
    "diff": "full difference",
    "dora_scale": "dora",
    "lora_magnitude_vector": "dora",
    "lora_magnitude_vector.weight": "dora",
}
_XLABS = re.compile(r"\.processor\.\w+_lora\d\.(down|up)\.weight$")
_CROSS_ATTENTION_KEY = re.compile(r"attn2[._]to_k\b|attn2_to_k\.")
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
    found = {_suffix_kind(name) for name in tensors} - {None}
    for special in ("oft", "lokr", "loha", "dora", "lora"):
        if special in found:
            return special
    if "full difference" in found:
        return "full difference"
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
    return (name for name in tensors if _suffix_kind(name) and layers.search(name))


def _suffix_kind(name: str) -> str | None:
    if _XLABS.search(name):
        return "lora"
    parts = name.lower().split(".")
    return next((kind for n in (3, 2, 1) if (kind := _ADAPTERS.get(".".join(parts[-n:])))), None)


def _takes_text(name: str, tensor: TensorInfo) -> bool:
    """Whether the tensor is the input side of a cross-attention key: of an adapter, or of a whole model."""
    if not _CROSS_ATTENTION_KEY.search(name) or len(tensor.shape) < 2:
        return False
    return _suffix_kind(name) is None or bool(re.search(r"down\.weight$|lora_A\.\w*\.?weight$", name))


def _is_full(tensors: Mapping[str, object]) -> bool:
    """The original layout: a denoiser together with the text encoder or VAE it came with, or alone."""
    return any(name.startswith("model.diffusion_model.") for name in tensors)


def _is_embedding(tensors: Mapping[str, object]) -> bool:
    return len(tensors) <= 4 and not any(name.count(".") > 1 for name in tensors) and bool(tensors)
