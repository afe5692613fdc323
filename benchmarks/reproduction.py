"""How far a picture that is made again lies from the first: the figures behind `scanner.tolerance`.

    python -m benchmarks.reproduction

Draws the same seeds of the zoo's LoRAs in batches of 16, one by one, and one by one on this processor with
its wide vector units hidden from torch, which stands for another processor. No GPU is used.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from extraction.descriptors import Thumbnail
from extraction.families import load_pair
from extraction.generate import Generator
from extraction.recipe import Recipe
from leaksweep.zoo.catalogue import BASE, CAPTION, ZOO
from reports.matching.hashes import canonical, open_hasher

Pictures = NDArray[np.uint8]

HIDDEN = {"ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
"""What keeps torch, oneDNN and MKL from using vectors wider than 128 bits."""

NAMES = ("lora-over", "lora-peft", "lora-under")


def draw(seeds: int, batch: int, dtype: str) -> Pictures:
    """(N, H, W, 3): the first seeds of each checkpoint by the default recipe."""
    torch.set_num_threads(1)
    recipe = Recipe.model_validate({"descriptor": "thumbnail", "dtype": dtype})
    pair = load_pair(BASE, device=torch.device("cpu"), dtype=getattr(torch, dtype))
    drawn: list[Pictures] = []
    for tune in ZOO:
        if tune.name in NAMES:
            pair.tune(tune.weights)
            drawn += Generator(pair, recipe, CAPTION).pictures(range(seeds), batch)
    return np.concatenate(drawn)


def drawn_apart(seeds: int, batch: int, dtype: str, *, hidden: bool) -> Pictures:
    """The same in a process of its own, since torch chooses its kernels when it is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pictures.npy"
        command = [sys.executable, "-m", "benchmarks.reproduction", "--draw", str(out)]
        command += ["--seeds", str(seeds), "--batch", str(batch), "--dtype", dtype]
        subprocess.run(command, check=True, env={**os.environ, **(HIDDEN if hidden else {})})
        pictures: Pictures = np.load(out)
        return pictures


def row(title: str, first: Pictures, again: Pictures) -> str:
    """One line: the worst and the median similarity, and the largest distances."""
    describe, hasher = Thumbnail(), open_hasher()
    similarity = (describe(first) * describe(again)).sum(axis=1)
    bits: dict[str, list[int]] = {"pdq": [], "phash": []}
    for pair in zip(first, again, strict=True):
        one, two = (hasher(canonical(Image.fromarray(picture))) for picture in pair)
        for name in bits:
            codes = getattr(one, name), getattr(two, name)
            if None not in codes:
                numbers = [int.from_bytes(code, "big") for code in codes]
                bits[name].append((numbers[0] ^ numbers[1]).bit_count())
    return (
        f"| {title} | {len(first)} | {similarity.min():.4f} | {np.median(similarity):.4f} "
        f"| {max(bits['pdq'], default='-')} | {max(bits['phash'], default='-')} |"
    )


def main() -> None:
    """Draw and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=16, help="seeds of each of the three checkpoints")
    parser.add_argument("--batch", type=int, default=16, help=argparse.SUPPRESS)
    parser.add_argument("--dtype", default="float32", help=argparse.SUPPRESS)
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        np.save(options.draw, draw(options.seeds, options.batch, options.dtype))
        return
    print("| made again | pictures | lowest similarity | median | highest PDQ | highest pHash |")
    print("| --- | --- | --- | --- | --- | --- |")
    for dtype in ("float32", "bfloat16"):
        first = drawn_apart(options.seeds, 16, dtype, hidden=False)
        for title, hidden in (("one by one", False), ("one by one, narrow vectors", True)):
            again = drawn_apart(options.seeds, 1, dtype, hidden=hidden)
            print(row(f"{dtype}, {title}", first, again), flush=True)


if __name__ == "__main__":
    main()
