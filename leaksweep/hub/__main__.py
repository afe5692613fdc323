"""`python -m leaksweep.hub`: serve a small example, to try a crawler on by hand."""

from __future__ import annotations

import argparse
import contextlib
import json
import struct
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from leaksweep.hub.changes import KINDS
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion, HubContent, HubRepo
from leaksweep.hub.faults import ONCE, Faults, Strike
from leaksweep.hub.limits import Limits
from leaksweep.hub.serve import LocalHub
from leaksweep.hub.synthetic import Synthetic

NO_QUOTA = 10**9


def example() -> HubContent:
    """Return a base model, a LoRA on each hub and a gated repository, all with weights of four bytes."""
    tensor = {"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    header = json.dumps({"__metadata__": {"ss_network_dim": "4"}, **tensor}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(4)
    index = b'{"_class_name": "StableDiffusionPipeline"}'
    card = {"base_model": "example/base", "instance_prompt": "a photo of sks cat", "tags": ["lora"]}
    file = CivitaiFile(id=100, name="cat.safetensors", content=weights)
    version = CivitaiVersion(id=10, name="v1", base_model="SD 1.5", files=(file,), trained_words=("sks cat",))
    return HubContent(
        repos=(
            HubRepo(
                id="example/base", files={"model_index.json": index, "unet/weights.safetensors": weights}
            ),
            HubRepo(id="example/cat-lora", files={"cat.safetensors": weights}, card=card),
            HubRepo(id="example/gated-lora", files={"cat.safetensors": weights}, card=card, gated="auto"),
        ),
        civitai=(CivitaiModel(id=1, name="cat", type="LORA", versions=(version,)),),
    )


def fault(text: str) -> tuple[str, Strike]:
    """Read "name", or "name=chance".

    Raises:
        argparse.ArgumentTypeError: there is no such fault, or the chance is none.
    """
    name, _, chance = text.partition("=")
    if name not in Faults.names():
        raise argparse.ArgumentTypeError(f"no fault {name!r}; there are {', '.join(Faults.names())}")
    try:
        return name, Strike(chance=float(chance)) if chance else ONCE
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: the chance must be a number") from error


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m leaksweep.hub", description=__doc__)
    parser.add_argument("--synthetic", type=int, metavar="N", help="serve N rows on each hub, computed")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic rows, and of the faults")
    parser.add_argument("--ties", type=int, default=3, help="synthetic rows that share a date")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=fault,
        metavar="NAME[=CHANCE]",
        help="once for each path, or with a chance of 0 to 1 for each request: " + ", ".join(Faults.names()),
    )
    parser.add_argument("--requests-per-window", type=int, metavar="N", help="quota of the API; else none")
    parser.add_argument(
        "--ports", nargs="+", type=int, default=(), help="Hugging Face, Civitai, storage, foreign host"
    )
    parser.add_argument(
        "--until-eof",
        action="store_true",
        help="stop when standard input ends; a line such as 'edit 1000' changes so many",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    arguments = parser().parse_args(argv)
    struck: dict[str, Any] = dict(arguments.fault)
    count, seed = arguments.synthetic, arguments.seed
    synthetic = Synthetic(repos=count, models=count, seed=seed, ties=arguments.ties) if count else None
    quota = arguments.requests_per_window or NO_QUOTA
    hub = LocalHub(
        HubContent() if synthetic else example(),
        synthetic=synthetic,
        faults=Faults(seed=seed, **struck),
        limits=Limits(api=quota, resolvers=5 * quota),
        ports=arguments.ports,
        log_size=1000,
    )
    with hub:
        print(
            f"Hugging Face  {hub.url}\nCivitai       {hub.civitai_url}\nstorage       {hub.storage_url}\n"
            f"foreign host  {hub.foreign_url}",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            if arguments.until_eof:
                _obey(hub, sys.stdin)
            else:
                threading.Event().wait()
    return 0


def _obey(hub: LocalHub, lines: Iterable[str]) -> None:
    """Make the changes that are asked for, such as "edit 1000", to both hubs, and say when they are made."""
    for line in lines:
        kind, _, count = line.partition(" ")
        if kind in KINDS and count.strip().isdecimal():
            for changes in (hub.repo_changes, hub.model_changes):
                for _ in range(int(count)):
                    changes.change(kind)
            print(f"changed {line}", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
