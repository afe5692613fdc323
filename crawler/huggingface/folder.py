"""Which files of a diffusers pipeline folder are needed to load it, and which are copies or pickles."""

from __future__ import annotations

import re
from collections.abc import Mapping

from crawler.checkpoint import RemoteFile, SkipReason

INDEX = "model_index.json"
UNET_CONFIG = "unet/config.json"
WEIGHTED = ("unet", "vae", "text_encoder")
"""Components with weights. The safety checker and its feature extractor are left out: nothing is shown."""
CONFIGURED = ("scheduler", "tokenizer")
PICKLES = (".ckpt", ".bin", ".pt", ".pth", ".pkl")
_WEIGHTS = r"(?:diffusion_pytorch_model|model)"
_PLAIN = re.compile(_WEIGHTS + r"(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
_HALF = re.compile(_WEIGHTS + r"(\.safetensors\.index\.fp16\.json|\.fp16(-\d{5}-of-\d{5})?\.safetensors)")
_TEXTS = (".json", ".txt", ".model")


def folder_files(files: Mapping[str, RemoteFile]) -> tuple[RemoteFile, ...] | SkipReason:
    """The folder's weights, each component's in one precision only, its configs and its tokenizer.

    Single precision is preferred to `.fp16`, safetensors are all that counts.

    Args:
        files: the repository's files by path.

    Returns:
        The needed files, or why the folder cannot be loaded: PICKLE_ONLY or NO_WEIGHTS.
    """
    chosen = [files[INDEX]]
    for component in WEIGHTED:
        inside = _inside(files, component)
        weights = {name for name in inside if _PLAIN.fullmatch(name)}
        if not _has_tensors(weights):
            weights = {name for name in inside if _HALF.fullmatch(name)}
        if not _has_tensors(weights):
            pickled = any(name.endswith(PICKLES) for name in inside)
            return SkipReason.PICKLE_ONLY if pickled else SkipReason.NO_WEIGHTS
        chosen += [inside[name] for name in sorted(weights | ({"config.json"} & inside.keys()))]
    for component in CONFIGURED:
        inside = _inside(files, component)
        chosen += [inside[name] for name in sorted(inside) if name.endswith(_TEXTS)]
    return tuple(chosen)


def weights_bytes(files: tuple[RemoteFile, ...]) -> int:
    """Size of the folder's denoiser: a single file of at least half of it holds the same model again."""
    return sum(file.size or 0 for file in files if re.fullmatch(r"unet/.*\.safetensors", file.path))


def _inside(files: Mapping[str, RemoteFile], component: str) -> dict[str, RemoteFile]:
    prefix = f"{component}/"
    names = {path.removeprefix(prefix): file for path, file in files.items() if path.startswith(prefix)}
    return {name: file for name, file in names.items() if "/" not in name}


def _has_tensors(names: set[str]) -> bool:
    return any(name.endswith(".safetensors") for name in names)
