"""Fine-tunes of which everything is known: the package's own zoo, or a folder of benchmarks.quality.zoo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.quality.zoo import read_pictures, read_zoo
from extraction.descriptors import Descriptor
from extraction.extraction import Extraction
from extraction.metrics import best_similarities
from leaksweep.zoo.catalogue import CAPTION, ZOO, picture
from leaksweep.zoo.finetune import BATCH

CAME_BACK = {"thumbnail16@1": 0.8, "sscd_disc_mixup@onnx-int8": 0.5}
"""Similarity above which a planted picture counts as come back, by descriptor; see docs/zoo.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A fine-tune of which everything is known."""

    name: str
    file: Path
    kind: str
    steps: int
    batch: int
    rank: int | None
    pictures: tuple[Image.Image, ...]
    caption: str
    """Of the first picture in training."""
    given: str
    """What an extraction is told."""

    @property
    def samples_per_picture(self) -> float:
        return self.steps * self.batch / len(self.pictures)


def subjects(folder: Path | None) -> list[Subject]:
    """All of a zoo folder that are trained; without one, the package's own."""
    return list(_quality_zoo(folder) if folder else _own_zoo())


def came_back(subject: Subject, found: list[Extraction], describe: Descriptor) -> int:
    """How many of the planted pictures are among the extractions."""
    planted = describe([np.asarray(one) for one in subject.pictures])
    best = best_similarities(planted, np.stack([one.descriptor for one in found]))
    return int((best > CAME_BACK[describe.name]).sum())


def _own_zoo() -> Iterator[Subject]:
    for one in ZOO:
        yield Subject(
            name=one.name,
            file=one.weights,
            kind=one.kind,
            steps=one.steps,
            batch=BATCH,
            rank=one.rank if one.kind == "lora" else None,
            pictures=tuple(picture(name) for name in one.pictures),
            caption=CAPTION,
            given=CAPTION,
        )


def _quality_zoo(folder: Path) -> Iterator[Subject]:
    for one in read_zoo(folder):
        yield Subject(
            name=one.name,
            file=folder / one.file,
            kind=one.kind,
            steps=one.steps,
            batch=round(one.samples_per_picture * len(one.pictures) / one.steps),
            rank=one.rank,
            pictures=tuple(read_pictures(folder, one.pictures)),
            caption=one.caption,
            given=one.given,
        )
