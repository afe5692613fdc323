"""One checkpoint on one's own machine: no hub, no database, no reference set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from extraction.descriptors import Descriptor, open_descriptor
from extraction.extract import extract
from extraction.extraction import Extraction
from extraction.families import load_pair
from extraction.metrics import (
    average_similarity,
    best_similarities,
    bootstrap_interval,
    extraction_success_rate,
)
from leaksweep.settings import Settings
from reports.finding import ReportError
from reports.references.pictures import picture_files, read_picture
from scanner.prompts import spoken
from scanner.worker import choose_device


@dataclass(frozen=True, slots=True, kw_only=True)
class CameBack:
    """How much of a known training set came back."""

    names: tuple[str, ...]
    """The training pictures."""
    best: tuple[float, ...]
    """For each the highest cosine similarity of an extraction, -1 to 1."""
    nearest: tuple[int | None, ...]
    """For each the rank of that extraction; None when nothing was extracted."""
    average_similarity: float
    """AS, -1 to 1."""
    interval: tuple[float, float]
    """95 % bootstrap interval of AS over the pictures of this one checkpoint, which are not independent."""
    threshold: float
    success_rate: float
    """A-ESR: the share of pictures strictly above the threshold."""

    @property
    def found(self) -> tuple[str, ...]:
        """Names of the pictures above the threshold."""
        pairs = zip(self.names, self.best, strict=True)
        return tuple(name for name, value in pairs if value > self.threshold)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the pictures one by one."""
        return {
            "average_similarity": self.average_similarity,
            "interval": list(self.interval),
            "threshold": self.threshold,
            "success_rate": self.success_rate,
            "pictures": [
                {"name": name, "similarity": value, "nearest_rank": rank, "came_back": name in self.found}
                for name, value, rank in zip(self.names, self.best, self.nearest, strict=True)
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What came out of one checkpoint."""

    extractions: tuple[Extraction, ...]
    measures: dict[str, Any]
    descriptor: str
    recipe_id: str
    came_back: CameBack | None

    def to_json(self) -> dict[str, Any]:
        """Everything but pixels and vectors."""
        rows = [
            {
                "rank": one.rank,
                "file": picture_name(one),
                "seed": one.seed,
                "cluster": list(one.cluster),
                "cohesion": round(one.cohesion, 4),
                "score": round(one.score, 4),
                "control_similarity": round(one.control_similarity, 4),
            }
            for one in self.extractions
        ]
        return {
            "recipe_id": self.recipe_id,
            "descriptor": self.descriptor,
            "measures": self.measures,
            "extractions": rows,
            "against": self.came_back.to_json() if self.came_back else None,
        }


def extract_one(
    checkpoint: Path,
    base: Path,
    prompt: str,
    *,
    pictures: int,
    settings: Settings,
    against: Path | None = None,
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Extracted:
    """Take pictures out of one checkpoint with the recipe in force.

    Args:
        checkpoint: a LoRA or full .safetensors file, a peft folder or a diffusers folder.
        base: the diffusers folder of the model it was fine-tuned from.
        pictures: N_0, how many training pictures are looked for.
        against: folder of the training pictures.
        threshold: similarity above which one counts as come back; None takes the ladder's for "high".

    Raises:
        ExtractionError: the weights cannot be loaded or do not belong to the base, or no descriptor.
        ReportError: the folder of training pictures holds none that can be read.
    """
    recipe, scanner = settings.recipe, settings.scanner
    describe = open_descriptor(
        recipe.descriptor,
        sscd_path=scanner.sscd_path,
        sscd_sha256=scanner.sscd_sha256,
        threads=scanner.threads_per_worker,
    )
    # Before the long work: a wrong folder must not cost an hour.
    known = _describe_folder(against, describe) if against else None
    pair = load_pair(base, device=choose_device(scanner.device), dtype=getattr(torch, recipe.dtype))
    change = pair.tune(checkpoint)
    [asked] = spoken([prompt], change.words, alone=change.kind == "textual_inversion")
    found, measures = extract(
        pair,
        asked,
        recipe=recipe,
        generations=recipe.generations(pictures),
        pictures=pictures,
        describe=describe,
        batch=scanner.batch,
        progress=progress,
    )
    limit = threshold if threshold is not None else settings.reports.ladder.similarities(describe.name).high
    return Extracted(
        extractions=tuple(found),
        measures={**measures, "relative_change": change.relative_change},
        descriptor=describe.name,
        recipe_id=recipe.id,
        came_back=compare(*known, found, limit) if known else None,
    )


def write_pictures(found: Extracted, out: Path, *, controls: bool = False) -> list[Path]:
    """Write a PNG for each extraction and extractions.json; return the paths.

    Raises:
        OSError: the folder cannot be written to.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = []
    for one in found.extractions:
        pixels = {picture_name(one): one.pixels}
        if controls:
            pixels[f"{one.rank:03d}-control.png"] = one.control_pixels
        for name, picture in pixels.items():
            Image.fromarray(picture).save(out / name)
            paths.append(out / name)
    index = out / "extractions.json"
    index.write_text(json.dumps(found.to_json(), indent=2) + "\n", encoding="utf-8")
    return [*paths, index]


def picture_name(one: Extraction) -> str:
    """Rank and seed, so that a file says how to make it again."""
    return f"{one.rank:03d}-seed{one.seed}.png"


def _describe_folder(folder: Path, describe: Descriptor) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    files, _ = picture_files(folder)
    if not files:
        raise ReportError(f"{folder}: holds no picture; give the folder of the training pictures")
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    pictures = []
    for name, file in zip(names, files, strict=True):
        try:
            pictures.append(np.asarray(read_picture(file).image))
        except ReportError as error:
            # A rate over fewer pictures than there are would be a wrong rate.
            raise ReportError(f"{folder / name}: {error}; repair or remove it") from error
    return names, describe(pictures)


def compare(
    names: tuple[str, ...], references: NDArray[np.float32], found: Sequence[Extraction], threshold: float
) -> CameBack:
    """Compare training pictures, (N, D) of unit norm, with extractions of the same descriptor."""
    rows = np.zeros((len(found), references.shape[1]), np.float32)
    for index, one in enumerate(found):
        rows[index] = one.descriptor
    best = best_similarities(references, rows)
    nearest = (references @ rows.T).argmax(axis=1) if found else [None] * len(names)
    return CameBack(
        names=names,
        best=tuple(float(value) for value in best),
        nearest=tuple(None if index is None else found[int(index)].rank for index in nearest),
        average_similarity=average_similarity(references, rows),
        interval=bootstrap_interval(best),
        threshold=threshold,
        success_rate=extraction_success_rate(references, rows, threshold),
    )
