"""What a tensor of an adapter file is of: "<layer>.lora_up.weight" is the part "up" of a layer."""

from __future__ import annotations

import re

SUFFIXES = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_up.bias": "up_bias",
    ".lora_B.bias": "up_bias",
    ".alpha": "alpha",
    ".dora_scale": "dora_scale",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".hada_w1_a": "hada_w1_a",
    ".hada_w1_b": "hada_w1_b",
    ".hada_w2_a": "hada_w2_a",
    ".hada_w2_b": "hada_w2_b",
    ".hada_t1": "hada_t1",
    ".hada_t2": "hada_t2",
    ".lokr_w1": "lokr_w1",
    ".lokr_w1_a": "lokr_w1_a",
    ".lokr_w1_b": "lokr_w1_b",
    ".lokr_w2": "lokr_w2",
    ".lokr_w2_a": "lokr_w2_a",
    ".lokr_w2_b": "lokr_w2_b",
    ".lokr_t2": "lokr_t2",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "diff",
    ".b_norm": "diff_b",
}
"""Endings, from every trainer. w_norm and b_norm are LyCORIS' full differences of a norm."""

NAMED = re.compile(r"\.(lora_[AB]|lora_magnitude_vector)\.default(_\d+)?(?=\.|$)")
"""An adapter's own name, as peft's modules have it in memory and some scripts save it."""

PROCESSOR = re.compile(
    r"^(?P<attention>.+)\.processor\.to_(?P<which>q|k|v|out)_lora\.(?P<part>down|up)\.weight$"
)
"""diffusers' spelling of 2023: the pair belongs to the attention processor, not to the layer."""

XLABS = re.compile(
    r"^(?P<block>(?:.+\.)?double_blocks\.\d+)\.processor\."
    r"(?P<which>qkv|proj)_lora(?P<stream>[12])\.(?P<part>down|up)\.weight$"
)
"""XLabs' spelling for FLUX: 1 is the stream of the picture, 2 that of the text."""


def split(name: str) -> tuple[str, str] | None:
    """(layer's name, part) of a tensor's name; None when it is no part of an adapter that is read."""
    if old := PROCESSOR.match(name):
        which = "to_out.0" if old["which"] == "out" else f"to_{old['which']}"
        return f"{old['attention']}.{which}", old["part"]
    if xlabs := XLABS.match(name):
        stream = "img_attn" if xlabs["stream"] == "1" else "txt_attn"
        return f"{xlabs['block']}.{stream}.{xlabs['which']}", xlabs["part"]
    name = NAMED.sub(r".\1", name)
    # The longest ending first: the layer's own name may end in one ("text.lora" + ".down.weight").
    for start in (index for index, letter in enumerate(name) if letter == "."):
        if name[start:] in SUFFIXES:
            return name[:start], SUFFIXES[name[start:]]
    return None
