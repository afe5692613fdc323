"""A family of models, and everything hubs and training tools call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share an architecture, so that one loader can speak to all of them."""

    name: str
    bases: tuple[str, ...] = ()
    """Repositories of its base models on the Hugging Face Hub, the usual one first."""
    labels: Mapping[str, str | None] | None = None
    """Civitai's `baseModel` strings, each with the base's repository where it has a certain one."""
    pipelines: tuple[str, ...] = ()
    """Class names in model_index.json."""
    denoisers: tuple[str, ...] = ()
    """Class names in the denoiser's config.json; none for families with a U-Net, which share one."""
    kohya: tuple[str, ...] = ()
    """How `ss_base_model_version` begins, in lower case: sd-scripts, musubi-tuner, ai-toolkit."""
    modelspec: tuple[str, ...] = ()
    """How `modelspec.architecture` begins, in lower case."""
    onetrainer: tuple[str, ...] = ()
    """How OneTrainer's `model_type` begins."""
    what: str = ""
    """Why there is no loader for it, where a reason is known: "video"."""
    scannable: bool = False
