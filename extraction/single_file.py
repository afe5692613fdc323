"""Names in a full single file, in the spellings that tools give them, matched to the family's layout."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from extraction.extraction import LoadError
from extraction.original import Original, check_prediction_type
from extraction.weights import Weights, shorten

PREFIXES = ("", "model.", "model.diffusion_model.")
"""What a name may lack of its full spelling: files of a denoiser alone begin with one of its blocks."""

AVERAGES = "model_ema."
"""Before the training's moving averages; behind it "model." and every dot of the name are left out."""

MARKERS = {"v_pred": "v_prediction", "ztsnr": None, "scaled_fp8": None}
"""Tensors that say something by being there, with the prediction type that they declare. "ztsnr", a noise
schedule that ends in pure noise, is the base's scheduler's to say."""

SCALES = re.compile(r"^(?P<stem>.+)\.(scale_weight|weight_scale)$")
"""One number that a layer's 8-bit weight is multiplied by."""

NO_SAY = re.compile(r"\.(scale_input|input_scale)$")
"""The range of activations, for arithmetic in 8 bits."""

QUANTISED = re.compile(
    r"\.(comfy_quant|absmax|quant_map|quant_state\.\w+|qweight|qzeros|scales|SCB|weight_scale_2|weight_scale_inv)$"
)
"""Weights packed or scaled in other ways."""


INPUT = "conv_in.weight"
"""The layer that takes the latents, in a UNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A file's tensors under the layout's full names."""

    tensors: Mapping[str, str]
    """Name in the layout -> name in the file."""
    scales: Mapping[str, str]
    """Tensor in the file -> the tensor with its scale."""
    notes: tuple[str, ...]
    """What has no say."""


def read_names(weights: Weights, original: Original) -> Names:
    """Match every tensor of a single file to the layout, by name alone.

    Raises:
        LoadError: "does_not_fit" for a tensor that the layout does not know or another prediction type;
            "unsupported_kind" for another input or an unknown quantisation.
    """
    for marker, prediction_type in MARKERS.items():
        if marker in weights:
            check_prediction_type(prediction_type, original)
    known = set(original.file_names.values())
    tensors: dict[str, str] = {}
    scales: dict[str, str] = {}
    others: list[str] = []
    for name in weights:
        full = next((prefix + name for prefix in PREFIXES if prefix + name in known), None)
        if full in tensors:
            raise LoadError(
                "does_not_fit",
                f"'{shorten(tensors[full])}' and '{shorten(name)}' are one tensor in two spellings",
            )
        if full is not None:
            tensors[full] = name
        elif (scale := SCALES.match(name)) and f"{scale['stem']}.weight" in weights:
            scales[f"{scale['stem']}.weight"] = _one_number(weights, name)
        else:
            others.append(name)
    place = original.file_names.get(f"{original.components[0]}.{INPUT}")
    if place in tensors:
        check_input(weights.shape(tensors[place]), original)
    averages = _averages(others, tensors, known)
    ignored = [name for name in others if name not in averages.values()]
    for name in ignored:
        _check_ignored(name, original)
    notes = []
    if averages:
        notes.append("its training's moving averages were taken: it holds no other weights of the denoiser")
    if ignored:
        notes.append(f"{len(ignored)} tensors without a say were left out, such as '{shorten(ignored[0])}'")
    return Names(tensors=tensors | averages, scales=scales, notes=tuple(notes))


def check_input(shape: tuple[int, ...], original: Original) -> None:
    """Raise for a UNet that takes more than latents, told by the shape of its first layer's weight.

    Raises:
        LoadError: "unsupported_kind".
    """
    needed = original.shapes.get(f"{original.components[0]}.{INPUT}")
    if needed is None or len(shape) != 4:
        return
    latents = needed[1]
    kinds = {
        2 * latents + 1: "an inpainting model, whose UNet also takes a mask and the masked picture",
        2 * latents: "a model that edits pictures (pix2pix), whose UNet also takes the picture",
        latents + 1: "a depth-guided model, whose UNet also takes a depth map",
    }
    if shape[1] in kinds:
        raise LoadError(
            "unsupported_kind",
            f"it is {kinds[shape[1]]}: {shape[1]} channels, not the {latents} of its base",
        )


def _one_number(weights: Weights, name: str) -> str:
    if math.prod(weights.shape(name)) != 1 or not weights.is_floating(name):
        raise LoadError(
            "unsupported_kind",
            f"tensor '{shorten(name)}' is not the one scale of a layer; quantised weights are not read",
        )
    return name


def _averages(others: Collection[str], tensors: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The moving averages of a denoiser whose own weights were pruned away, by their full names."""
    spelled = {AVERAGES + name.removeprefix("model.").replace(".", ""): name for name in known}
    averages = {spelled[name]: name for name in others if name in spelled}
    return {} if averages.keys() & tensors.keys() else averages


def _check_ignored(name: str, original: Original) -> None:
    if QUANTISED.search(name):
        raise LoadError(
            "unsupported_kind",
            f"tensor '{shorten(name)}' belongs to a quantisation that is not read; look for an unpacked file",
        )
    if name not in MARKERS and not NO_SAY.search(name) and not original.ignored.search(name):
        raise LoadError(
            "does_not_fit",
            f"tensor '{shorten(name)}' belongs to nothing that the base has; "
            "it is a fine-tune of another base or has parts that are not read",
        )
