"""Which files of a repository are checkpoints: its pipeline folder, and single files that are no copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from crawler.checkpoint import Kind, Layout, RemoteFile, Skip, SkipReason
from crawler.huggingface.folder import INDEX, PICKLES, fine_tune_files, weights_bytes
from crawler.huggingface.listed import Listed

MAX_FILES = 50
"""Weights files of one repository that become checkpoints."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
_SIDE_FOLDERS = (
    "unet",
    "transformer",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
    "safety_checker",
    "image_encoder",
    "controlnet",
)
_ADAPTER_NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
_STEP = re.compile(
    r"(?:[-_.](?:steps?|epochs?|ep|e|s)[-_]?(?P<named>\d{1,9})"
    r"|[-_](?P<padded>0\d{3,10})"
    r"|(?:^|(?<=/))(?:checkpoint|step|epoch)[-_](?P<folder>\d{1,9})(?=/))",
    re.IGNORECASE,
)
"""How trainers number what they save on the way: kohya "-000010" and "-step00000500", ai-toolkit
"_000002000", diffusers "checkpoint-500/". A bare "-2" or "_v2" is another work, not another step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Weights that become a checkpoint as soon as kind and family are known."""

    path: str
    layout: Layout
    kind: Kind | None
    """None when only the header can tell."""
    files: tuple[RemoteFile, ...]
    series: tuple[str, int] = ("", 0)
    """The same for all that one training saved: the path without the step, and the size's power of two."""


def candidates(
    listed: Listed, files: Mapping[str, RemoteFile], max_file_bytes: int
) -> Iterator[Candidate | Skip]:
    """Yield the weights of a repository; of one training, what it ended with comes first.

    Args:
        files: the repository's files by path, with sizes and digests.
    """
    copy_bytes: float = float("inf")
    found = 0
    if INDEX in files:
        needed = fine_tune_files(files)
        if isinstance(needed, SkipReason):
            yield listed.skip(needed, "a component of the pipeline has no .safetensors", kind=Kind.FULL)
        else:
            copy_bytes, found = weights_bytes(needed) / 2, 1
            folder = Candidate(path="", layout=Layout.FOLDER, kind=Kind.FULL, files=needed)
            yield _within(listed, folder, max_file_bytes)
    singles = sorted(filter(_is_single, files.values()), key=_last_first)
    for file in singles[:MAX_FILES]:
        if not file.url:
            found += 1
            detail = "its name holds characters that cannot be shown, and nobody asks for it"
            yield listed.skip(SkipReason.MALFORMED, detail, path=file.path)
        elif (file.size or 0) < copy_bytes:
            found += 1
            yield _within(listed, _single(listed, file, files), max_file_bytes)
    if len(singles) > MAX_FILES:
        detail = f"{len(singles)} weights files; the first {MAX_FILES} are taken"
        yield listed.skip(SkipReason.TOO_LARGE, detail)
    elif not found and INDEX not in files:
        yield listed.skip(*_nothing(files))


def series_of(path: str) -> tuple[str, float]:
    """A file's path without the number of its step, and that number; infinite for what has none: the end."""
    numbers = [int(number) for match in _STEP.finditer(path) for number in match.groups() if number]
    return _STEP.sub("", path), numbers[-1] if numbers else float("inf")


def _last_first(file: RemoteFile) -> tuple[str, float]:
    stem, step = series_of(file.path)
    return stem, -step


def _single(listed: Listed, file: RemoteFile, files: Mapping[str, RemoteFile]) -> Candidate:
    path = PurePosixPath(file.path)
    adapter = listed.facts.adapter or path.name in _ADAPTER_NAMES or "lora" in path.name.casefold()
    kind = Kind.LORA if adapter else None
    if path.name.startswith("learned_embeds"):
        kind = Kind.TEXTUAL_INVERSION
    config = files.get(str(path.with_name("adapter_config.json")))
    beside = (config,) if config and path.name == "adapter_model.safetensors" else ()
    return Candidate(
        path=file.path,
        layout=Layout.FILE,
        kind=kind,
        files=(file, *beside),
        series=(series_of(file.path)[0], (file.size or 0).bit_length()),
    )


def _within(listed: Listed, candidate: Candidate, max_file_bytes: int) -> Candidate | Skip:
    largest = max(file.size or 0 for file in candidate.files)
    if largest <= max_file_bytes:
        return candidate
    detail = f"{largest} bytes; crawler.max_file_bytes is {max_file_bytes}"
    return listed.skip(SkipReason.TOO_LARGE, detail, path=candidate.path, kind=candidate.kind)


def _is_single(file: RemoteFile) -> bool:
    parts = PurePosixPath(file.path).parts
    side = len(parts) > 1 and parts[0] in _SIDE_FOLDERS and parts[-1] not in _ADAPTER_NAMES
    return file.path.endswith(".safetensors") and not side and not _SHARD.search(file.path)


def _nothing(paths: Iterable[str]) -> tuple[SkipReason, str]:
    """Why a repository without a candidate has none."""
    names = list(paths)
    if any(name.endswith(".safetensors") for name in names):
        return SkipReason.NO_WEIGHTS, "only parts of a pipeline, no adapter and no whole model"
    if any(name.endswith(PICKLES) for name in names):
        return SkipReason.PICKLE_ONLY, "only pickles; a pickle can run code and is never loaded"
    return SkipReason.NO_WEIGHTS, "no .safetensors file"
