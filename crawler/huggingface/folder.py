"""Which files of a diffusers pipeline folder the scanner opens, and which family the folder is of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crawler.checkpoint import RemoteFile, SkipReason
from crawler.evidence import families

INDEX = "model_index.json"
DENOISERS = ("unet", "transformer")
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
PICKLES = (".ckpt", ".bin", ".pt", ".pth", ".pkl")
COMPARED: Mapping[str, Sequence[str]] = {
    "sd1": ENCODERS[:1],
    "sd2": ENCODERS[:1],
    "sdxl": ENCODERS[:2],
    "sd3": ENCODERS[:2],
    "flux": ENCODERS[:1],
    "qwen-image": (),
    "z-image": (),
}
"""Text encoders that a fine-tune may change. The others are T5s and language models, as large as all the
rest, that nobody trains: the base's are used."""

_STEMS = ("diffusion_pytorch_model", "model")
_EXACT_FIRST = ("", ".fp16", ".bf16")
_HALF_FIRST = (".fp16", ".bf16", "")
_TEXTS = (".json", ".txt", ".model")
_SCHEDULER = "scheduler/scheduler_config.json"

Files = Mapping[str, RemoteFile]
"""By path."""


def folder_files(files: Files) -> tuple[RemoteFile, ...] | SkipReason:
    """What a base model is loaded from: each component's weights in one precision, configs, tokenizers.

    The safety checker is left out: nothing is shown. Of the T5 that is neither trained nor compared, half
    precision is preferred; of all else the most exact, for a base that was rounded differs from its
    fine-tunes everywhere.

    Returns:
        The needed files, or why the folder cannot be loaded: PICKLE_ONLY or NO_WEIGHTS.
    """
    needed = [_denoiser(files), "vae", ENCODERS[0], *_present(files, ENCODERS[1:])]
    chosen = _components(files, needed)
    if isinstance(chosen, SkipReason):
        return chosen
    return (*chosen, *_texts(files, ("scheduler", *TOKENIZERS)))


def fine_tune_files(files: Files, family: str | None = None) -> tuple[RemoteFile, ...] | SkipReason:
    """What a fine-tune is compared by: its denoiser, those text encoders that it may have changed, configs.

    Args:
        family: None while it is not known: all text encoders.

    Returns:
        See `folder_files`.
    """
    compared = COMPARED.get(family, ENCODERS) if family else ENCODERS
    chosen = _components(files, [_denoiser(files), *_present(files, compared)])
    if isinstance(chosen, SkipReason):
        return chosen
    return (*chosen, *(files[path] for path in (_SCHEDULER,) if path in files))


def folder_family(pipeline: str | None, config: Mapping[str, Any]) -> str | None:
    """The family of a pipeline's class and its denoiser's config; None where neither is known.

    Where both tell, the config decides what the class leaves open: SD 1 or 2, SDXL or its refiner.
    """
    named = families.family_of_pipeline(pipeline or "")
    shared = pipeline is None or pipeline in families.AMBIGUOUS_PIPELINES
    told = families.family_of_denoiser(config)
    if named in ("sdxl", "flux") and told is not None:
        return told
    return told if shared else named


def denoiser_config(files: Files) -> RemoteFile | None:
    """The config by which `folder_family` tells families apart."""
    return files.get(f"{_denoiser(files)}/config.json")


def weights_bytes(files: Iterable[RemoteFile]) -> int:
    """Size of the folder's denoiser: a single file of at least half of it holds the same model again."""
    inside = tuple(f"{name}/" for name in DENOISERS)
    return sum(file.size or 0 for file in files if file.path.startswith(inside) and _is_weights(file.path))


def _denoiser(files: Files) -> str:
    return next(iter(_present(files, DENOISERS)), DENOISERS[0])


def _present(files: Files, components: Iterable[str]) -> list[str]:
    return [name for name in components if any(path.startswith(f"{name}/") for path in files)]


def _components(files: Files, components: Iterable[str]) -> list[RemoteFile] | SkipReason:
    chosen = [files[INDEX]]
    for component in components:
        inside = _inside(files, component)
        weights = _weights(inside, _HALF_FIRST if component == ENCODERS[2] else _EXACT_FIRST)
        if not weights:
            pickled = any(name.endswith(PICKLES) for name in inside)
            return SkipReason.PICKLE_ONLY if pickled else SkipReason.NO_WEIGHTS
        chosen += [inside[name] for name in (*weights, "config.json") if name in inside]
    return chosen


def _weights(names: Iterable[str], variants: Sequence[str]) -> list[str]:
    """One file, or an index and its shards: what the scanner finds first; nothing where it finds none."""
    known = sorted(names)
    for stem in _STEMS:
        for variant in variants:
            whole, index = f"{stem}{variant}.safetensors", f"{stem}.safetensors.index{variant}.json"
            if whole in known:
                return [whole]
            if index in known:
                half = re.escape(variant)
                number = r"-\d{5}-of-\d{5}"
                shard = re.compile(rf"{stem}({half}{number}|{number}{half})\.safetensors")
                return [index, *filter(shard.fullmatch, known)]
    return []


def _texts(files: Files, folders: Iterable[str]) -> list[RemoteFile]:
    """Configs and vocabularies."""
    found = []
    for folder in folders:
        inside = _inside(files, folder)
        found += [inside[name] for name in sorted(inside) if name.endswith(_TEXTS)]
    return found


def _inside(files: Files, component: str) -> dict[str, RemoteFile]:
    prefix = f"{component}/"
    names = {path.removeprefix(prefix): file for path, file in files.items() if path.startswith(prefix)}
    return {name: file for name, file in names.items() if "/" not in name}


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors")
