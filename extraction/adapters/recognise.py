"""What a weights file is, told by its tensors' names alone, and refusals of what is not read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from extraction.extraction import LoadError
from extraction.weights import Weights, shorten

UNSUPPORTED = (
    # Must come first: these files also hold plain LoRA pairs, which mean something else in them.
    (re.compile(r"\.dora_scale$|\.lora_magnitude_vector(\.|$)"), "a DoRA"),
    (re.compile(r"\.hada_"), "a LoHa"),
    (re.compile(r"\.lokr_"), "a LoKr"),
    (re.compile(r"\.(oft_|boft_)"), "an OFT adapter"),
    (
        re.compile(r"\.(diff|diff_b|w_norm|b_norm|bias_values|bias_indices|bias_size)$"),
        "an adapter with full differences",
    ),
    (re.compile(r"\.lora_B\.bias$|\.lora_up\.bias$"), "a LoRA with biases"),
    (re.compile(r"\.lora_embedding_[AB]"), "a LoRA of a token embedding"),
    (re.compile(r"^bundle_emb\."), "a LoRA with a bundled textual inversion"),
    (re.compile(r"^(emb_params|clip_l|clip_g|<.*>)$|^string_to_param"), "a textual inversion"),
    (re.compile(r"\.(ia3_l|poly_|vera_lambda)"), "an adapter other than LoRA"),
)

FAMILIES = (
    (re.compile(r"double_blocks[._]|single_transformer_blocks[._]|single_blocks[._]"), "FLUX"),
    (re.compile(r"joint_blocks[._]|^transformer\.transformer_blocks\."), "SD3"),
    (
        re.compile(
            r"^lora_te[12]_|^text_encoder_2\.|^lora_unet_(input|output|middle)_block|^conditioner\.embedders\."
        ),
        "SDXL",
    ),
    (
        re.compile(r"^(lora_transformer_|transformer\.|diffusion_model\.|double_layers\.)"),
        "a diffusion transformer",
    ),
)

UNETS = ("sd1", "sd2", "sdxl")

LOW_RANK = re.compile(
    r"\.lora_(down|up|mid)\.weight$|\.lora_[AB]\.(default\.)?weight$|"
    r"[._]lora\.(down|up)\.weight$|_lora\.(down|up)\.weight$|\.lora_linear_layer\.(down|up)\.weight$|_lora[12]\.(down|up)\.weight$"
)


def is_low_rank(names: Iterable[str]) -> bool:
    """Whether a file holds halves of low-rank pairs."""
    return any(LOW_RANK.search(name) for name in names)


def refuse_unsupported(weights: Weights) -> None:
    """Raise for a kind that is known but not read.

    Raises:
        LoadError: "unsupported_kind".
    """
    if found := _first(UNSUPPORTED, weights):
        kind, name = found
        raise LoadError(
            "unsupported_kind",
            f"{shorten(weights.path.name)} is {kind} (tensor '{shorten(name)}'), which is not read",
        )


def refuse_foreign(weights: Weights, family: str) -> None:
    """Raise when the base is of a UNet family and a tensor's name belongs to another family.

    Raises:
        LoadError: "does_not_fit".
    """
    foreign = [row for row in FAMILIES if row[1].lower() != family] if family in UNETS else []
    if found := _first(foreign, weights):
        its_family, name = found
        raise LoadError(
            "does_not_fit",
            f"{shorten(weights.path.name)} is for {its_family} (tensor '{shorten(name)}') and the base is not; "
            "give it a base of its own family",
        )


def _first(table: Iterable[tuple[re.Pattern[str], str]], weights: Weights) -> tuple[str, str] | None:
    for pattern, what in table:
        for name in weights:
            if pattern.search(name):
                return what, name
    return None
