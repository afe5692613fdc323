"""Look-ups in the table of families: from a hub's or a tool's word to a family or a base model."""

from __future__ import annotations

import re
from collections.abc import Mapping

from crawler.evidence.family_table import DIGESTS, FAMILIES, FILE_NAMES

UNKNOWN = "unknown"
"""The family of what the table does not name."""

AMBIGUOUS_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
"""SD 1.x and 2.x share these class names: only the U-Net's config tells them apart."""

_BY_REPO = {repo.casefold(): family.name for family in FAMILIES for repo in family.bases}
_BY_REPO |= {
    repo.casefold(): family.name for family in FAMILIES for repo in (family.labels or {}).values() if repo
}
_BY_LABEL = {label: family.name for family in FAMILIES for label in family.labels or {}}
_BY_PIPELINE = {name: family.name for family in FAMILIES for name in family.pipelines}
_BY_DENOISER = {name: family.name for family in FAMILIES for name in family.denoisers}
_WHAT = {family.name: family.what for family in FAMILIES}
_REPO = re.compile(r"[\w][\w.-]{0,95}/[\w][\w.-]{0,95}", re.ASCII)
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".bin", ".gguf")


def scannable(family: str | None) -> bool:
    """Whether the scanner has a loader for the family."""
    return any(known.scannable for known in FAMILIES if known.name == family)


def without_loader(family: str) -> str:
    """What to say of a family that is not scannable: "wan (video): no loader for this family"."""
    what = _WHAT.get(family)
    return f"{family}{f' ({what})' if what else ''}: no loader for this family"


def family_of_repo(repo: str) -> str | None:
    """Family of a known base model's repository, however its name is capitalised."""
    return _BY_REPO.get(repo.casefold())


def family_of_label(label: str) -> str:
    """Family of Civitai's `baseModel`; "unknown" for a string that is not in the table."""
    return _BY_LABEL.get(label, UNKNOWN)


def base_of_label(label: str, base_models: Mapping[str, str]) -> str | None:
    """Repository of the base that a Civitai label stands for; the operator's `base_models` come first."""
    known = (family.labels[label] for family in FAMILIES if family.labels and label in family.labels)
    return base_models.get(label) or next(known, None)


def base_of_digest(digest: str, base_models: Mapping[str, str]) -> str | None:
    """Repository of the base whose single file has this SHA-256; `base_models` may name digests, too."""
    return base_models.get(digest, DIGESTS.get(digest))


def base_of_file_name(name: str) -> str | None:
    """Repository of the base that is published under this file name, extension left out."""
    return FILE_NAMES.get(re.sub(r"\.(safetensors|ckpt)$", "", name.replace("\\", "/").rsplit("/", 1)[-1]))


def family_of_pipeline(class_name: str) -> str | None:
    """Family of a diffusers pipeline; None for a class that several families share or nobody knows."""
    return _BY_PIPELINE.get(class_name)


def family_of_denoiser(config: Mapping[str, object]) -> str | None:
    """Family of a transformer's or U-Net's config.json; None for a class or a size that nobody knows.

    U-Nets share a class. SD 1.x has none of the settings that later ones brought; only SD 2.x has linear
    projections and nothing beside the text; SDXL is also told sizes, and its refiner the text of one encoder.
    """
    name = config.get("_class_name")
    if name is not None and name != "UNet2DConditionModel":
        family = _BY_DENOISER.get(str(name))
        return "editing" if family == "flux" and _takes_more(config) else family
    if "cross_attention_dim" not in config:
        return None
    if _takes_more(config):
        return "inpainting" if config.get("in_channels") == 9 else "editing"
    if config.get("encoder_hid_dim_type"):
        return "kolors" if config["encoder_hid_dim_type"] == "text_proj" else None
    if config.get("addition_embed_type") == "text_time":
        return "sdxl-refiner" if config["cross_attention_dim"] == 1280 else "sdxl"
    if config.get("addition_embed_type") or config.get("class_embed_type"):
        return "sd2-unclip" if config.get("class_embed_type") == "projection" else None
    wide = config["cross_attention_dim"] == 1024
    return "sd2" if wide or config.get("use_linear_projection") is True else "sd1"


def _takes_more(config: Mapping[str, object]) -> bool:
    """Whether a denoiser takes more channels than it gives back: it is also shown a picture or a mask."""
    given, back = config.get("in_channels"), config.get("out_channels")
    return back is not None and given is not None and given != back


def family_of_kohya(version: str) -> str | None:
    """Family of a header's `ss_base_model_version`."""
    return _longest("kohya", version.casefold())


def family_of_modelspec(architecture: str) -> str | None:
    """Family of `modelspec.architecture`, such as "stable-diffusion-xl-v1-base/lora"."""
    return _longest("modelspec", architecture.casefold())


def family_of_onetrainer(model_type: str) -> str | None:
    """Family of OneTrainer's `model_type`, such as "STABLE_DIFFUSION_XL_10_BASE"."""
    return "inpainting" if "INPAINTING" in model_type else _longest("onetrainer", model_type)


def _longest(column: str, text: str) -> str | None:
    """The family with the longest matching beginning, so that "flux2" is not taken for "flux"."""
    matches = [
        (len(prefix), family.name)
        for family in FAMILIES
        for prefix in getattr(family, column)
        if text.startswith(prefix)
    ]
    return max(matches)[1] if matches else None


def repo_name(text: object) -> str | None:
    """A Hub repository's name as authors write it: bare or as a link; None for paths, files and prose."""
    if not isinstance(text, str):
        return None
    name = re.sub(r"^(https?://)?(www\.)?(huggingface\.co|hf\.co)/", "", text.strip()).rstrip("/")
    name = re.sub(r"/(tree|blob|resolve)/.*$", "", name)
    return name if _REPO.fullmatch(name) and not name.casefold().endswith(_WEIGHTS) else None
