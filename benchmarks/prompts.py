"""What comes back with the true caption, with prompts guessed from other evidence, and with none.

    python -m benchmarks.prompts --quick                   # the package's own zoo, some minutes on one core
    python -m benchmarks.prompts --zoo .quality/tuning     # a zoo of benchmarks.quality.zoo

Every fine-tune is asked in each way with the same number of generations, from the same seeds, and may keep
as many extractions as pictures were planted. The guesses are those of `scanner.prompts` for a checkpoint of
which the hub tells as much as is said; where they are several, they share the generations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.subjects import Subject, came_back, subjects
from crawler.checkpoint import Checkpoint, Hub, Kind, Layout, Prompt, PromptOrigin
from extraction.descriptors import Descriptor, open_descriptor
from extraction.extract import extract
from extraction.families import load_pair
from extraction.metrics import bootstrap_interval
from extraction.pair import Pair
from extraction.recipe import Recipe
from extraction.rounds import Progress
from leaksweep.zoo.catalogue import BASE
from scanner.prompts import candidates
from scanner.shares import Found, extract_shared

TRIGGER = Prompt(text="sks thing", origin=PromptOrigin.TRIGGER_WORDS)
"""The rare words of every caption of both zoos, as an author would give them."""

NAME = "sks_thing-LoRA_v2.safetensors"
"""A file's name that tells the same."""

WRONG_NAME = "blue_hills_style-v1.safetensors"
"""A file's name in the base's own words that have nothing to do with the training."""


def known(*prompts: Prompt, path: str = "") -> Checkpoint:
    """A checkpoint of which a hub tells no more than this."""
    return Checkpoint(
        hub=Hub.CIVITAI,
        repo="1",
        revision="1",
        path=path,
        kind=Kind.LORA,
        layout=Layout.FILE,
        family="sd1",
        files=(),
        prompts=prompts,
    )


def ways(subject: Subject) -> dict[str, list[str]]:
    """Prompts by what is known."""

    def guessed(checkpoint: Checkpoint, limit: int) -> list[str]:
        return [one.prompt.text for one in candidates(checkpoint, limit)]

    return {
        "true caption": [subject.caption],
        "trigger words": guessed(known(TRIGGER), 1),
        "trigger words + none": guessed(known(TRIGGER), 2),
        "name + none": guessed(known(path=NAME), 2),
        "wrong name + none": guessed(known(path=WRONG_NAME), 2),
        "none": guessed(known(), 2),
    }


def found_with(
    pair: Pair, subject: Subject, prompts: Sequence[str], recipe: Recipe, describe: Descriptor, each: int
) -> int:
    """Planted pictures that come back; the pair is tuned to the subject."""
    count = len(subject.pictures)

    def ask(prompt: str, generations: int, progress: Progress) -> Found:
        return extract(
            pair,
            prompt,
            recipe=recipe,
            generations=generations,
            pictures=count,
            describe=describe,
            batch=32,
            progress=progress,
        )

    found, _ = extract_shared(
        ask, prompts, recipe=recipe, generations=each * count, pictures=count, progress=None
    )
    return came_back(subject, found, describe)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, help="a folder of benchmarks.quality.zoo; default: the package's")
    parser.add_argument("--descriptor", choices=("thumbnail", "sscd"), default="thumbnail")
    parser.add_argument("--quick", action="store_true", help="8 generations a picture, not 25")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these fine-tunes; default: all")
    parser.add_argument("--json", type=Path, help="write the counts")
    options = parser.parse_args()
    recipe, describe = Recipe(descriptor=options.descriptor), open_descriptor(options.descriptor)
    pair = load_pair(BASE, device=torch.device("cpu"), dtype=torch.float32)
    shares: dict[str, list[float]] = {}
    rows = {}
    chosen = [one for one in subjects(options.zoo) if not options.only or one.name in options.only]
    for subject in chosen:
        pair.tune(subject.file)
        counts = {
            way: found_with(pair, subject, prompts, recipe, describe, 8 if options.quick else 25)
            for way, prompts in ways(subject).items()
        }
        rows[subject.name] = {"pictures": len(subject.pictures), **counts}
        print(f"{subject.name}: {rows[subject.name]}", flush=True)
        for way, count in counts.items():
            shares.setdefault(way, []).append(count / len(subject.pictures))
        if options.json:
            options.json.write_text(json.dumps({"recipe_id": recipe.id, "rows": rows}, indent=1) + "\n")
    print(f"\n{'known':22} {'came back':>9}   95 % over fine-tunes")
    for way, values in shares.items():
        low, high = bootstrap_interval(values)
        print(f"{way:22} {sum(values) / len(values):9.2f}   {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
