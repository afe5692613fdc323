"""What a weights file is, from the names and shapes of its tensors alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from crawler.checkpoint import Kind
from crawler.evidence import architectures
from crawler.evidence.headers import TensorInfo

_ADAPTERS = {
    "oft": re.compile(r"\.b?oft_\w+(\.\w+)?$"),
    "adalora": re.compile(r"\.lora_E$"),
    "lora of word vectors": re.compile(r"\.lora_embedding_[AB]"),
    "ia3 or vera": re.compile(r"\.(ia3_l|vera_lambda)"),
    "lokr of two cores": re.compile(r"\.lokr_t1$"),
    "lokr": re.compile(r"\.lokr_\w+$"),
    "loha": re.compile(r"\.hada_\w+$"),
    "dora": re.compile(r"\.(dora_scale|lora_magnitude_vector(\.\w+)*)$"),
    "lora": re.compile(
        r"\.lora_(down|up|mid|[AB])(\.\w+)?\.weight$|[._]lora\d?(_linear_layer)?\.(down|up)\.weight$"
    ),
    "difference": re.compile(r"\.(diff(_b)?|[wb]_norm)$"),
}
"""Endings of adapters' tensors: kohya's, diffusers' old and new ones, peft's, XLabs', LyCORIS'."""
_ELSE = {
    "controlnet": re.compile(r"^(control_model|controlnet|control_layers|control_all_x_embedder|zero_convs)"),
    "ip-adapter": re.compile(r"^(ip_adapter|image_proj)\."),
    "quantised": re.compile(r"\.(absmax|quant_map|quant_state\.\w+|qweight|qzeros|SCB|comfy_quant)$"),
}
"""What no fine-tune that is read has, wherever it occurs."""
_PARTS = {
    "vae": re.compile(
        r"^(first_stage_model|vae|encoder|decoder|(post_)?quant_conv|latents_mean|latents_std)\b"
    ),
    "text encoder": re.compile(
        r"^(text_model|encoder\.block|shared|text_projection|lm_head|model\.layers)\b"
    ),
}
"""Parts of a pipeline that were published alone: all their names begin so."""
_ENDING = re.compile(
    r"(\.(lora_\w+|lora|lora_linear_layer|hada_\w+|lokr_\w+|b?oft_\w+|alpha|dora_scale|diff|diff_b|[wb]_norm|"
    r"weight|bias)(\..*)?|_lora\d?\..*)$"
)
_PREFIX = re.compile(
    r"^(base_model\.model\.)?((model\.)?diffusion_model\.|transformer\.|unet\.|net\.)?(base_model\.model\.)?"
)
_FLAT_PREFIX = re.compile(r"^(lora_unet_|lora_transformer_|lycoris_)")
_INPUT_SIDE = re.compile(r"(lora_A(\.\w+)?|down)\.weight$|\.hada_w1_b$|\.diff$")
_WORDS = re.compile(r"^(bundle_emb\..+\.)?(string_to_param\.\*|emb_params|clip_l|clip_g)$")
_WORD = re.compile(r"^(<[^<>]+>|[^.]+)$")
_WORD_WIDTHS = {768: ("sd1",), 1024: ("sd2",), 1280: ("sdxl", "sd3")}
MOST_WORDS = 64
"""Of one file; what the scanner reads."""
_LATENTS = {"img_in": 64}
"""Width of a transformer's first layer where it is shown nothing but latents: FLUX.1's and its like."""


def kind_name(tensors: Mapping[str, object]) -> str:
    """What the names say: a `Kind`'s value, or in words what else it is, such as "oft", "inpainting", "vae".

    DoRA, LoHa and LoKr count as soon as one layer has them, because a LoRA loader would leave that layer out.
    """
    for other, pattern in _ELSE.items():
        if any(map(pattern.search, tensors)):
            return other
    layers = _layers(tensors)
    shown = _also_shown(tensors)
    for adapter, ending in _ADAPTERS.items():
        if any(map(ending.search, tensors)):
            return shown or adapter
    if architectures.is_denoiser(layers):
        return shown or Kind.FULL.value
    if _is_embedding(tensors):
        return Kind.TEXTUAL_INVERSION.value
    parts = (part for part, begins in _PARTS.items() if tensors and all(map(begins.search, tensors)))
    return next(parts, "unknown")


def kind_of(tensors: Mapping[str, object]) -> Kind | None:
    """The kind, or None for what is none of ours; `kind_name` then says what it is."""
    name = kind_name(tensors)
    return Kind(name) if name in set(Kind) else None


def family_of(tensors: Mapping[str, TensorInfo]) -> str | None:
    """The family that names and shapes prove; None where they do not, "unknown" where they rule out all."""
    possible = families_of(tensors)
    return possible[0] if len(possible) == 1 else None


def families_of(tensors: Mapping[str, TensorInfo]) -> tuple[str, ...]:
    """Every family that names and shapes allow, the likeliest first; none where they tell nothing.

    FLUX.1 and Chroma share most layers, and an adapter of those alone may be of either.
    """
    if _is_embedding(tensors):
        if any(name.endswith("clip_g") for name in tensors):
            return "sdxl", "sd3"
        widths = {tensor.shape[-1] for tensor in tensors.values() if tensor.shape}
        named = any(name.endswith("clip_l") for name in tensors)
        return _WORD_WIDTHS.get(widths.pop(), ()) if len(widths) == 1 and not named else ()
    return architectures.families_of(_layers(tensors))


def _layers(tensors: Mapping[str, object]) -> dict[str, int | None]:
    """Every layer in one spelling, with the width of its input where a tensor tells."""
    layers: dict[str, int | None] = {}
    for name, tensor in tensors.items():
        layer = layer_of(name)
        width = _input_width(name, tensor)
        layers[layer] = width if width is not None else layers.get(layer)
    return layers


def layer_of(name: str) -> str:
    """A tensor's layer, however a trainer spelt it: "unet.conv_in.lora_A.weight" is "conv_in"."""
    stem = _ENDING.sub("", name)
    flat = _FLAT_PREFIX.sub("", stem)
    return (flat if flat != stem else _PREFIX.sub("", stem)).replace(".", "_")


def _input_width(name: str, tensor: object) -> int | None:
    if not isinstance(tensor, TensorInfo) or len(tensor.shape) < 2:
        return None
    whole = name.endswith(".weight") and not _is_adapter(name)
    return tensor.shape[1] if whole or _INPUT_SIDE.search(name) else None


def _is_adapter(name: str) -> bool:
    return any(ending.search(name) for ending in _ADAPTERS.values())


def _also_shown(tensors: Mapping[str, object]) -> str | None:
    """What a model is that takes more than latents, by the width of its first layer."""
    for name, tensor in tensors.items():
        layer, width = layer_of(name), _input_width(name, tensor)
        if layer in ("conv_in", "input_blocks_0_0") and width in (9, 5):
            return "inpainting" if width == 9 else "editing"
        if layer in _LATENTS and width in (128, 384):
            return "inpainting" if width == 384 else "editing"
    return None


def _is_embedding(tensors: Mapping[str, object]) -> bool:
    if tensors and all(map(_WORDS.search, tensors)):
        return True
    return 0 < len(tensors) <= MOST_WORDS and all(
        _WORD.search(name) and _is_vectors(tensor) for name, tensor in tensors.items()
    )


def _is_vectors(tensor: object) -> bool:
    if not isinstance(tensor, TensorInfo):
        return False
    return 1 <= len(tensor.shape) <= 2 and tensor.shape[-1] in _WORD_WIDTHS
