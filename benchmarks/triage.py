"""What each rung of the triage ladder says of fine-tunes of which everything is known, and what it costs.

    python -m benchmarks.triage --quick                    # the package's own zoo, some minutes on one core
    python -m benchmarks.triage --zoo .quality/tuning      # a zoo of benchmarks.quality.zoo

Beside the zoo's fine-tunes stand negatives that are made on the spot: one of few steps, one of few steps on
many pictures, and a merge that keeps a quarter of the strongest change. The full run, the last rung, tells
which of the planted pictures come back. Then, for every rung: the score of each checkpoint, its cost in
forwards and seconds, and its recall: the share of the pictures that come back which is kept when the lowest
quarter, and the lowest half, of the scores are set aside.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.subjects import Subject, came_back, subjects
from extraction.descriptors import Descriptor, open_descriptor
from extraction.extract import extract
from extraction.families import load_pair
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.triage.exposure import Exposure
from extraction.triage.ladder import Ladder
from extraction.triage.reading import Reading, Rung, reading
from leaksweep.zoo.catalogue import BASE, CAPTION, FineTune, picture
from leaksweep.zoo.finetune import BATCH, fine_tune, open_base


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was read of one subject."""

    name: str
    pictures: int
    came_back: int
    """Of the planted pictures, in the full run."""
    full_forwards: int
    full_seconds: float
    readings: tuple[Reading, ...]


def negatives(pair: Pair, strongest: Subject, folder: Path) -> Iterator[Subject]:
    """Fine-tunes that give little back: hardly trained, or diluted."""
    for name, steps, count in (("made-few-steps", 20, 4), ("made-many-pictures", 40, 24)):
        names = tuple(f"drawing-{number}" for number in range(500, 500 + count))
        tune = FineTune(name=name, pictures=names, kind="full", steps=steps, learning_rate=4e-4)
        pictures = tuple(picture(one) for one in names)
        file = folder / f"{name}.safetensors"
        save_file(fine_tune(open_base(BASE), pictures, tune), file, {"format": "pt"})
        yield Subject(
            name=name,
            file=file,
            kind="full",
            steps=steps,
            batch=BATCH,
            rank=None,
            pictures=pictures,
            caption=CAPTION,
            given=CAPTION,
        )
    pair.tune(strongest.file)
    merged = {
        name.removeprefix("unet."): (base + 0.25 * (pair.tuned_parameters[name] - base)).half().contiguous()
        for name, base in pair.base_parameters.items()
        if name.startswith("unet.")
    }
    file = folder / "made-merge.safetensors"
    save_file(merged, file, {"format": "pt"})
    yield Subject(
        name=f"made-merge ({strongest.name} at 0.25)",
        file=file,
        kind="full",
        # A merge's header, where it has one, is copied from its parent: it claims what is no longer true.
        steps=strongest.steps,
        batch=strongest.batch,
        rank=None,
        pictures=strongest.pictures,
        caption=strongest.caption,
        given=strongest.given,
    )


def measure(subject: Subject, ladder: Ladder, recipe: Recipe, per_picture: int) -> Row:
    """All rungs, and the full run that they are to spare."""
    pair, describe = ladder.pair, ladder.describe
    pair.tune(subject.file)
    facts = Exposure(
        kind=subject.kind,
        pictures=len(subject.pictures),
        steps=subject.steps,
        batch=subject.batch,
        rank=subject.rank,
    )
    readings = [reading(Rung.HEADER, facts), *ladder.climb(subject.file, subject.given, recipe, set(Rung))]
    started = time.perf_counter()
    found, measures = extract(
        pair,
        subject.given,
        recipe=recipe,
        generations=per_picture * len(subject.pictures),
        pictures=len(subject.pictures),
        describe=describe,
        batch=ladder.batch,
    )
    took = time.perf_counter() - started
    return Row(
        name=subject.name,
        pictures=len(subject.pictures),
        came_back=came_back(subject, found, describe),
        full_forwards=sum(measures[f"forwards_{who}"] for who in ("base", "tuned", "control")),
        full_seconds=took,
        readings=tuple(readings),
    )


def recall(rows: Sequence[Row], rung: Rung, set_aside: float) -> float:
    """Share of the pictures that come back which is kept when the lowest scores are set aside.

    Args:
        set_aside: share of the checkpoints, 0 to 1, rounded down.
    """
    ranked = sorted(rows, key=lambda row: score(row, rung))
    kept = ranked[int(len(ranked) * set_aside) :]
    return sum(row.came_back for row in kept) / max(1, sum(row.came_back for row in rows))


def score(row: Row, rung: Rung) -> float:
    """The rung's score; a checkpoint of which a rung knows nothing goes last to be set aside."""
    (value,) = (one.score for one in row.readings if one.rung is rung)
    return float("inf") if value is None else value


def separation(rows: Sequence[Row], rung: Rung) -> float:
    """Chance that a checkpoint that gives pictures back scores higher than one that gives none."""
    give = [score(row, rung) for row in rows if row.came_back]
    keep = [score(row, rung) for row in rows if not row.came_back]
    wins = [(one > other) + (one == other) / 2 for one in give for other in keep]
    return sum(wins) / len(wins) if wins else float("nan")


def print_table(rows: Sequence[Row]) -> None:
    """Scores of every checkpoint, then cost and recall of every rung."""
    width = max(len(row.name) for row in rows)
    print(f"{'checkpoint':{width}}  {'back':>7}  " + "  ".join(f"{rung:>8}" for rung in Rung))
    for row in sorted(rows, key=lambda row: -row.came_back / row.pictures):
        scores = "  ".join(f"{score(row, rung):8.3f}" for rung in Rung)
        print(f"{row.name:{width}}  {row.came_back:>3}/{row.pictures:<3}  {scores}")
    print(
        f"\n{'rung':10} {'forwards':>9} {'seconds':>8} {'AUC':>6} {'recall, 1/4 aside':>18} {'1/2 aside':>10}"
    )
    for rung in Rung:
        found = [one for row in rows for one in row.readings if one.rung is rung]
        forwards, seconds = (
            np.mean([getattr(one, what) for one in found]) for what in ("forwards", "seconds")
        )
        print(
            f"{rung:10} {forwards:9.0f} {seconds:8.2f} {separation(rows, rung):6.2f} "
            f"{recall(rows, rung, 0.25):18.2f} {recall(rows, rung, 0.5):10.2f}"
        )
    full = np.mean([row.full_forwards for row in rows]), np.mean([row.full_seconds for row in rows])
    print(f"{'full run':10} {full[0]:9.0f} {full[1]:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, help="a folder of benchmarks.quality.zoo; default: the package's")
    parser.add_argument("--descriptor", choices=("thumbnail", "sscd"), default="thumbnail")
    parser.add_argument(
        "--quick", action="store_true", help="8 generations a picture in the full run, not 25"
    )
    parser.add_argument("--json", type=Path, help="write the rows")
    options = parser.parse_args()
    recipe = Recipe(descriptor=options.descriptor)
    pair = load_pair(BASE, device=torch.device("cpu"), dtype=torch.float32)
    describe: Descriptor = open_descriptor(options.descriptor)
    ladder = Ladder(pair, describe, batch=32)
    zoo = subjects(options.zoo)
    strongest = max(zoo, key=lambda one: one.samples_per_picture)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in chain(zoo, negatives(pair, strongest, Path(folder))):
            rows.append(measure(subject, ladder, recipe, 8 if options.quick else 25))
            print(f"{rows[-1].name}: {rows[-1].full_seconds:.0f} s", flush=True)
            if options.json:
                facts = {"machine": platform.machine(), "threads": torch.get_num_threads()}
                content = {**facts, "recipe_id": recipe.id, "rows": [asdict(row) for row in rows]}
                options.json.write_text(json.dumps(content, indent=1) + "\n")
    print_table(rows)


if __name__ == "__main__":
    main()
