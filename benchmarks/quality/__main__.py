"""Compare ways of extracting on a zoo, at equal forwards.

    python -m benchmarks.quality --zoo .quality/held_out --forwards 600 --json benchmarks/results/quality.json

Every way gets the same number of forwards for each fine-tune, draws from the same seeds, chooses by the same
descriptor and may keep as many extractions as pictures were planted. Rows are written as they come, so that a
run can be broken off and gone on with (`--shard` shares it among processes). Then the table: means over
fine-tunes with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from benchmarks.quality.measure import Way, measure, ways
from benchmarks.quality.table import summarise, write_plot, write_table
from benchmarks.quality.zoo import Planted, read_zoo
from extraction.descriptors import open_descriptor
from extraction.families import load_pair
from leaksweep.zoo.catalogue import BASE


def todo(
    zoo: list[Planted], chosen: dict[str, Way], done: set[tuple[str, str]]
) -> Iterator[tuple[Planted, str]]:
    """What is still to be measured, in the zoo's order."""
    for planted in zoo:
        for name, way in chosen.items():
            guessing = planted.given != planted.caption
            if (planted.name, name) not in done and (guessing or not way.true_captions):
                yield planted, name


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    describe = open_descriptor(options.descriptor, threads=options.threads)
    judges = [describe, *(open_descriptor(name, threads=options.threads) for name in options.judges)]
    chosen = {name: way for name, way in ways(options.descriptor).items() if name in options.ways}
    rows = options.zoo / f"rows-{options.forwards}-{options.shard.replace('/', '-')}.jsonl"
    done = {(row["checkpoint"], row["way"]) for row in read_rows(options.zoo, options.forwards)}
    pair = load_pair(BASE, device=torch.device("cpu"), dtype=torch.float32)
    index, count = map(int, options.shard.split("/"))
    ordered = sorted(read_zoo(options.zoo), key=lambda one: len(one.pictures))
    zoo = ordered[index::count]
    tuned = ""
    for planted, name in todo(zoo, chosen, done):
        if tuned != planted.name:
            pair.tune(options.zoo / planted.file)
            tuned = planted.name
        started = time.monotonic()
        found = measure(
            pair,
            planted,
            options.zoo,
            name,
            chosen[name],
            forwards_per_picture=options.forwards,
            describe=describe,
            judges=judges,
        )
        with rows.open("a") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in found)
        seconds = time.monotonic() - started
        print(f"{planted.name} {name}: {found[0].generations} images, {seconds:.0f} s", flush=True)


def read_rows(zoo: Path, forwards: int) -> list[dict[str, object]]:
    """What was measured so far with that budget, by every shard."""
    return [
        json.loads(line)
        for path in sorted(zoo.glob(f"rows-{forwards}-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True, help="a folder made by benchmarks.quality.zoo")
    parser.add_argument("--forwards", type=int, default=600, help="for each planted picture")
    parser.add_argument("--descriptor", default="thumbnail", help="what every way chooses by")
    parser.add_argument("--judges", nargs="*", default=["sscd"], help="descriptors that judge beside it")
    parser.add_argument("--ways", nargs="*", default=list(ways("thumbnail")))
    parser.add_argument("--shard", default="0/1", help="index/count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--report-only", action="store_true", help="the table of what is measured already")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--parquet", type=Path, help="the rows themselves")
    options = parser.parse_args()
    if not options.report_only:
        run(options)
    summary = summarise(read_rows(options.zoo, options.forwards), options.forwards)
    print(write_table(summary))
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n")
    if options.parquet:
        pd.DataFrame(read_rows(options.zoo, options.forwards)).to_parquet(options.parquet)
    if options.plot:
        write_plot(summary, options.plot)


if __name__ == "__main__":
    main()
