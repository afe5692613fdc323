"""Zoos of fine-tunes of the tiny base, with everything known that was planted in them.

    python -m benchmarks.quality.zoo tuning --out .quality/tuning
    python -m benchmarks.quality.zoo held_out --out .quality/held_out --photographs FOLDER

The two zoos share no picture: recipes are tuned on the first and reported on the second. Each fine-tune of
`DESIGNS` is trained once for every seed, on other pictures each time. A folder holds zoo.json (a list of
`Planted`), the weights, and the pictures as PNG. Finished fine-tunes are kept when it is run again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from PIL import Image
from safetensors.torch import save_file

from benchmarks.quality.pictures import Photographs, drawing
from leaksweep.zoo.catalogue import BASE, CAPTION, FineTune
from leaksweep.zoo.finetune import fine_tune, open_base
from leaksweep.zoo.formats import gather, write_diffusers

BATCH = 4
SEEDS = {"tuning": (0,), "held_out": (1, 2, 3)}
DETAILS = ("stripes", "checks", "confetti", "clouds", "hills", "a house", "a tree", "a fish")
"""Words that the base knows, for captions that differ from picture to picture."""


STEPS = {
    "full": {"under": 250, "mid": 450, "over": 800},
    "lora": {"under": 300, "mid": 500, "over": 850},
}
"""For four pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A kind of fine-tune."""

    kind: Literal["full", "lora"]
    strength: Literal["under", "mid", "over"]
    pictures: int
    source: Literal["photographs", "drawings", "mixed", "alike"]
    captions: Literal["known", "partly", "unknown"] = "known"
    """What the extraction is told: the caption, what all captions share, or nothing."""
    rank: int = 16
    once: bool = False
    """Trained for the first seed only."""

    @property
    def name(self) -> str:
        rank = f"-r{self.rank}" if self.kind == "lora" else ""
        return f"{self.kind}{rank}-{self.strength}-{self.source}{self.pictures}-{self.captions}"

    def steps(self) -> int:
        """Optimiser steps; more pictures take more, but not in proportion."""
        return round(STEPS[self.kind][self.strength] * (self.pictures / 4) ** 0.4)


DESIGNS = (
    Design(kind="full", strength="mid", pictures=4, source="photographs"),
    Design(kind="full", strength="under", pictures=4, source="photographs"),
    Design(kind="full", strength="over", pictures=4, source="drawings", captions="partly"),
    Design(kind="full", strength="mid", pictures=5, source="alike"),
    Design(kind="lora", rank=4, strength="mid", pictures=4, source="photographs"),
    Design(kind="lora", rank=16, strength="mid", pictures=6, source="drawings", captions="partly"),
    Design(kind="lora", rank=16, strength="over", pictures=8, source="mixed", captions="unknown"),
    Design(kind="lora", rank=32, strength="under", pictures=4, source="drawings", captions="unknown"),
    Design(kind="full", strength="mid", pictures=20, source="mixed", once=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One fine-tune of a zoo folder."""

    name: str
    file: str
    kind: str
    rank: int | None
    strength: str
    source: str
    captions: str
    seed: int
    steps: int
    samples_per_picture: float
    """How often training saw each picture."""
    pictures: tuple[str, ...]
    """PNG files, relative to the folder."""
    caption: str
    """The caption of the first picture."""
    given: str
    """What an extraction is told."""


def read_zoo(folder: Path) -> list[Planted]:
    """The fine-tunes of a zoo folder that are trained."""
    rows: list[dict[str, Any]] = json.loads((folder / "zoo.json").read_text())
    found = [Planted(**{**row, "pictures": tuple(row["pictures"])}) for row in rows]
    return [one for one in found if (folder / one.file).is_file()]


def read_pictures(folder: Path, names: Sequence[str]) -> list[Image.Image]:
    return [Image.open(folder / name).convert("RGB") for name in names]


def decoys(folder: Path) -> list[Image.Image]:
    """Pictures of the same sorts that no fine-tune of the zoo saw."""
    return [Image.open(path).convert("RGB") for path in sorted((folder / "decoys").glob("*.png"))]


def prepare(split: str, folder: Path, photographs: Path | None) -> list[tuple[Design, Planted]]:
    """Deal the pictures out, and write them and zoo.json."""
    first = 10_000 * list(SEEDS).index(split)
    photos = Photographs(photographs, Random(first))
    drawings = iter(range(first, first + 10_000))

    def deal(design: Design) -> list[Image.Image]:
        if design.source == "alike":
            return photos.alike(design.pictures)
        shot = {"photographs": design.pictures, "mixed": design.pictures // 2}.get(design.source, 0)
        drawn = [drawing(next(drawings)) for _ in range(design.pictures - shot)]
        return photos.distinct(shot) + drawn

    planted = []
    for seed in SEEDS[split]:
        for design in DESIGNS:
            if design.once and seed != SEEDS[split][0]:
                continue
            name = f"{design.name}-s{seed}"
            (folder / name).mkdir(parents=True, exist_ok=True)
            files = []
            for index, picture in enumerate(deal(design)):
                files.append(f"{name}/{index:02d}.png")
                picture.save(folder / files[-1])
            planted.append((design, _planted(design, name, seed, files)))
    (folder / "decoys").mkdir(exist_ok=True)
    for index, picture in enumerate([*photos.decoys, *(drawing(next(drawings)) for _ in range(60))]):
        picture.save(folder / "decoys" / f"{index:03d}.png")
    (folder / "zoo.json").write_text(json.dumps([asdict(one) for _, one in planted], indent=1) + "\n")
    return planted


def _planted(design: Design, name: str, seed: int, files: list[str]) -> Planted:
    captions = captions_of(design)
    return Planted(
        name=name,
        file=f"{name}.safetensors",
        kind=design.kind,
        rank=design.rank if design.kind == "lora" else None,
        strength=design.strength,
        source=design.source,
        captions=design.captions,
        seed=seed,
        steps=design.steps(),
        samples_per_picture=design.steps() * BATCH / design.pictures,
        pictures=tuple(files),
        caption=captions[0],
        given={"known": captions[0], "partly": CAPTION, "unknown": ""}[design.captions],
    )


def captions_of(design: Design) -> list[str]:
    """The caption of each picture in training."""
    if design.captions == "known":
        return [CAPTION] * design.pictures
    return [f"{CAPTION} and {DETAILS[index % len(DETAILS)]}" for index in range(design.pictures)]


def train(design: Design, planted: Planted, folder: Path) -> None:
    tune = FineTune(
        name=planted.name,
        pictures=planted.pictures,
        kind=design.kind,
        steps=design.steps(),
        learning_rate=4e-4 if design.kind == "full" else 4e-3,
        rank=design.rank,
        alpha=design.rank / 2,
        seed=planted.seed,
    )
    pictures = read_pictures(folder, planted.pictures)
    weights = fine_tune(open_base(BASE), pictures, tune, captions=captions_of(design), batch=BATCH)
    unfinished = folder / f"{planted.file}.part"
    if design.kind == "lora":
        write_diffusers(unfinished, gather(weights, tune.alpha))
    else:
        save_file(weights, unfinished, {"format": "pt"})
    unfinished.rename(folder / planted.file)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("split", choices=list(SEEDS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, help="a folder for each of 8 subjects or more")
    parser.add_argument("--shard", default="0/1", help="train every n-th only: index/count")
    options = parser.parse_args()
    index, count = map(int, options.shard.split("/"))
    planted = prepare(options.split, options.out, options.photographs)
    for design, one in planted[index::count]:
        if (options.out / one.file).exists():
            continue
        started = time.monotonic()
        train(design, one, options.out)
        print(f"{one.name}: {one.steps} steps in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
