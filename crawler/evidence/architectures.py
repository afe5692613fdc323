"""Which family the layers of a file belong to: a table of names that one family has, and of widths.

Names are compared in one spelling, "double_blocks_0_img_attn_qkv", whatever trainer wrote them. Where
several families share names, the width of the layers' input or the number of blocks decides; where these
do not either, all that are possible are given. Nothing falls through to a default.

Sources: the modules of diffusers and what its converters call the same layers in single files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

Layers = Mapping[str, int | None]
"""Name of each layer, with the width of its input where the file tells."""

UNKNOWN = "unknown"

NAMES: Sequence[tuple[str, str]] = (
    ("animatediff", r"motion_modules_"),
    ("svd", r"temporal_transformer_blocks_|_time_stack_"),
    ("chroma", r"^distilled_guidance_layer_"),
    ("flux3", r"^((early|single)_stream_modulations|(txt_)?mode_blocks)_"),
    ("flux2", r"^(double_stream_modulation_(img|txt)|single_stream_modulation)_"),
    ("flux2", r"^single_transformer_blocks_\d+_attn_to_qkv_mlp_proj"),
    ("flux2", r"^transformer_blocks_\d+_ff(_context)?_linear_(in|out)"),
    ("hidream", r"^(double|single)_stream_blocks_"),
    ("krea2", r"^(txtfusion|text_fusion)_"),
    ("qwen-image-2", r"^txt_in_text_norm|^transformer_blocks_\d+_img_mlp_(proj|out|gate_layer)$"),
    ("qwen-image", r"^transformer_blocks_\d+_(img|txt)_(mlp_net|mod)_\d"),
    ("sd3", r"^joint_blocks_\d"),
    ("auraflow", r"^(joint_transformer_blocks|double_layers|single_layers)_\d|^cond_seq_linear"),
    ("anima", r"^llm_adapter_"),
    ("cosmos", r"^blocks_\d+_(self|cross)_attn_(q|k|v|output)_proj$"),
    ("wan", r"^blocks_\d+_((self|cross)_attn_(q|k|v|o|k_img|v_img)$|ffn_)|^vace_blocks_\d"),
    ("mochi", r"^blocks_\d+_attn_(qkv|proj)_[xy]$|^transformer_blocks_\d+_attn1_add_[qkv]_proj$"),
    ("cogvideox", r"^patch_embed_text_proj"),
    ("ltx", r"^patchify_proj|^(transformer_blocks_\d+_)?(av_ca|audio)_"),
    ("sana", r"^blocks_\d+_mlp_(inverted|depth|point)_conv|^transformer_blocks_\d+_ff_conv_"),
    ("ernie", r"^layers_\d+_self_attention_to_"),
    ("ideogram", r"^llm_cond_(proj|norm)"),
    ("hunyuan-dit", r"^blocks_\d+_skip_linear|^text_embedding_padding|^mlp_t5_"),
    ("cascade", r"^clip_txt_mapper|^down_blocks_\d+_\d+_channelwise"),
    ("kolors", r"^encoder_hid_proj$"),
    ("z-image", r"^(x|cap)_pad_token"),
    ("sdxl-refiner", r"^conditioner_embedders_0_model_"),
)  # fmt: skip
"""What only one family has. The first that occurs decides."""

UNET = re.compile(r"^((down|up|input|output)_blocks_\d|mid(dle)?_block_)")
TEXT_ENCODER = re.compile(r"^(lora_te\d?|text_encoders?|text_model|cond_stage_model|conditioner)_")
SMALL = 512
"""Narrower than any published denoiser: a toy, whose width tells nothing."""

_RULES = tuple((family, re.compile(pattern)) for family, pattern in NAMES)
_HUNYUAN = re.compile(r"token_refiner_|^double_blocks_\d+_(img|txt)_mlp_fc[12]$")
_TEXT_KEYS = re.compile(r"_attn2_(processor_)?to_k$")
_TEXT_WIDTHS = {768: "sd1", 1024: "sd2", 1280: "sdxl-refiner", 2048: "sdxl"}
"""Width of the text encoder's states, which is the input width of a U-Net's cross-attention keys."""
_TOLD = re.compile(r"^(add_embedding_linear_1|label_emb_0_0)$")
_TOLD_WIDTHS = {2816: "sdxl", 2560: "sdxl-refiner", 5632: "kolors"}
"""Width of what a U-Net is told beside the text."""
_DEEP = re.compile(r"_transformer_blocks_[1-9]")
_BLOCK = re.compile(
    r"^(?P<row>double_blocks|single_blocks|transformer_blocks|single_transformer_blocks)_(?P<place>\d+)_"
)
_OWN_NORM = re.compile(
    r"^double_blocks_\d+_(img|txt)_mod_lin$|^single_blocks_\d+_modulation_lin$|"
    r"^transformer_blocks_\d+_norm1(_context)?_linear$|^single_transformer_blocks_\d+_norm_linear$"
)
"""Layers of FLUX.1's blocks that Chroma's have not."""
_ATTENTION = re.compile(r"_attn_(qkv|to_[qkv]|add_[qkv]_proj)$|_processor_qkv$|^single_blocks_\d+_linear1$")
_NEXT_DIT = re.compile(r"^(layers|noise_refiner|context_refiner)_\d+_(attention|attn)_")
_CROSS = re.compile(r"^(transformer_)?blocks_\d+_(attn[12]|cross_attn)_")


def families_of(layers: Layers) -> tuple[str, ...]:
    """The families that a denoiser's layers may be of, the likeliest first.

    Returns:
        One where names and widths prove it; several where they are shared; none where nothing can be told,
        as of a toy or of text encoders alone; "unknown" for layers of an architecture that is not known.
    """
    for family, pattern in _RULES:
        if any(map(pattern.search, layers)):
            return (family,)
    own = {name: width for name, width in layers.items() if not TEXT_ENCODER.search(name)}
    if any(map(UNET.search, own)):
        return _of_unet(own, layers)
    if any(map(_HUNYUAN.search, own)):
        return ("hunyuan-image",) if 3584 in own.values() else ("hunyuan-video",)
    if any(map(_NEXT_DIT.search, own)):
        return _by_width(own, _NEXT_DIT, {3840: "z-image", 2304: "lumina2", 4608: "ideogram"})
    if any(map(_CROSS.search, own)):
        return _of_cross_attention(own)
    if any(map(_BLOCK.search, own)):
        return _of_streams(own, clip=any("text_model" in name for name in layers))
    if own and any(re.search(r"attn|attention|mlp|ff_|_proj", name) for name in own):
        return (UNKNOWN,)
    return ("sdxl", "sd3") if any("te2_text_model" in name for name in layers) else ()


def is_denoiser(names: Iterable[str]) -> bool:
    """Whether there are blocks of a denoiser among the layers."""
    blocks = (UNET, _BLOCK, _NEXT_DIT, _CROSS, *(pattern for _, pattern in _RULES[:-1]))
    return any(pattern.search(name) for name in names for pattern in blocks)


def _of_unet(own: Layers, layers: Layers) -> tuple[str, ...]:
    told = _by_width(own, _TOLD, _TOLD_WIDTHS)
    if told and told != (UNKNOWN,):
        return told
    if any(re.search(r"^(lora_te2|text_encoder_2|conditioner_embedders_1)_", name) for name in layers):
        return ("sdxl",)
    return _by_width(own, _TEXT_KEYS, _TEXT_WIDTHS) or (("sdxl",) if any(map(_DEEP.search, own)) else ())


def _of_cross_attention(own: Layers) -> tuple[str, ...]:
    """Transformers that read the text by cross-attention, one stream each."""
    if any(re.search(r"^blocks_\d+_cross_attn_(q|kv)_linear$", name) for name in own):
        return ("pixart",) if 1152 in own.values() else ("sana",)
    if any(name.startswith("blocks_") for name in own):
        widths = {1408: "hunyuan-dit", 1536: "wan", 3072: "wan", 5120: "wan"}
        return _by_width(own, re.compile(r"_attn[12]_to_q$"), widths)
    if any("_attn_" in name for name in own):
        return _of_streams(own, clip=False)  # SD 3.5 medium's blocks have a second attention, too.
    if 1024 in _widths(own, re.compile(r"_attn2_to_k$")):
        return ("cosmos",)
    if any("_attn2_" in name for name in own):
        widths = {1152: "pixart", 2240: "sana", 2048: "ltx", 4096: "ltx"}
        return _by_width(own, re.compile(r"_attn1_to_q$"), widths)
    return _by_width(own, re.compile(r"_attn1_to_[qkv]$"), {1920: "cogvideox", 3072: "cogvideox"})


def _of_streams(own: Layers, *, clip: bool) -> tuple[str, ...]:
    """FLUX.1 and all that has its names: transformers of two streams, with or without blocks of one.

    Args:
        clip: whether the file changes a CLIP, too, which FLUX.1 has and Chroma has not.
    """
    last: dict[str, int] = {}
    for match in filter(None, map(_BLOCK.search, own)):
        last[match["row"]] = max(int(match["place"]), last.get(match["row"], 0))
    double = max(last.get("double_blocks", -1), last.get("transformer_blocks", -1))
    single = max(last.get("single_blocks", -1), last.get("single_transformer_blocks", -1))
    original = "double_blocks" in last or "single_blocks" in last
    widths = _widths(own, _ATTENTION)
    if widths & {1536, 2432} and single < 0 and not original:
        return ("sd3",)
    if widths & {4096, 6144}:
        return ("flux2",) if original or single >= 0 else (UNKNOWN,)
    if 3584 in widths:
        return ("hunyuan-image",)
    if widths and 3072 not in widths:
        return (UNKNOWN,) if min(widths) >= SMALL else ()
    if not original and single < 0:
        return ("qwen-image",) if double > 18 else ("flux", "chroma", "qwen-image")
    if double > 18 or single > 37:
        return ("hunyuan-video",)
    if clip or any(map(_OWN_NORM.search, own)):
        return ("flux",)
    small = original and double < 5 and single < 20
    return ("flux", "chroma", "flux2") if small else ("flux", "chroma")


def _widths(layers: Layers, pattern: re.Pattern[str]) -> set[int]:
    return {width for name, width in layers.items() if width and pattern.search(name)}


def _by_width(layers: Layers, pattern: re.Pattern[str], table: Mapping[int, str]) -> tuple[str, ...]:
    """The one family of all widths; "unknown" for another width, nothing for a toy's or for several."""
    widths = _widths(layers, pattern)
    found = {table.get(width, UNKNOWN if width >= SMALL else None) for width in widths}
    family = found.pop() if len(found) == 1 else None
    return (family,) if family else ()
