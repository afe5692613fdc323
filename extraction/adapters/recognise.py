"""Refusals by tensors' names alone: kinds of adapters that are not read, and files of another family."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from extraction.adapters.parts import split
from extraction.extraction import LoadError
from extraction.original import Original
from extraction.weights import Weights, shorten

UNSUPPORTED = (
    (re.compile(r"\.(oft_|boft_)"), "an OFT adapter"),
    (re.compile(r"\.(bias_values|bias_indices|bias_size)$"), "an adapter with sparse biases"),
    (re.compile(r"\.lokr_t1$"), "a LoKr with two cores"),
    (re.compile(r"\.lora_embedding_[AB]"), "a LoRA of a token embedding"),
    (re.compile(r"\.lora_E$"), "an AdaLoRA"),
    (re.compile(r"\.(ia3_l|poly_|vera_lambda|on_input$)"), "an adapter other than LoRA"),
)

FAMILIES = (
    (re.compile(r"double_blocks[._]|single_transformer_blocks[._]|single_blocks[._]"), "FLUX"),
    (re.compile(r"joint_blocks[._]|^transformer\.transformer_blocks\."), "SD3"),
    (
        re.compile(
            r"^(lora_te2_|text_encoder_2\.)text_model[._]|^lora_te1_|^lora_unet_(input|output|middle)_block|"
            r"^conditioner\.embedders\."
        ),
        "SDXL",
    ),
    (
        # A UNet's blocks may have the third of these prefixes, too.
        re.compile(
            r"^(lora_transformer_|transformer\.|double_layers\.|"
            r"diffusion_model\.(?!(input|middle|output)_block|time_embed|label_emb|out\.))"
        ),
        "a diffusion transformer",
    ),
    (re.compile(r"^(lora_unet_|unet\.)?(down|mid|up)_blocks?[._]|^lora_te_|^unet\."), "a Stable Diffusion"),
)
"""Names that tell a family. Where a base has such names itself they tell nothing against it."""


def is_adapter(names: Iterable[str]) -> bool:
    """Whether a file holds parts of an adapter."""
    return any(split(name) is not None for name in names)


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


def refuse_foreign(weights: Weights, names: Collection[str], original: Original) -> None:
    """Raise when one of a file's tensors has a name by which another family is known.

    Args:
        names: the tensors that have no place in the base.

    Raises:
        LoadError: "does_not_fit".
    """
    own = (*original.shapes, *original.file_names.values())
    foreign = [row for row in FAMILIES if not any(row[0].search(name) for name in own)]
    if found := _first(foreign, names):
        family, name = found
        raise LoadError(
            "does_not_fit",
            f"{shorten(weights.path.name)} is for {family} (tensor '{shorten(name)}') and the base is not; "
            "give it a base of its own family",
        )


def _first(table: Iterable[tuple[re.Pattern[str], str]], names: Iterable[str]) -> tuple[str, str] | None:
    for pattern, what in table:
        for name in names:
            if pattern.search(name):
                return what, name
    return None
