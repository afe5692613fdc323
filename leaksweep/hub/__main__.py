"""`python -m leaksweep.hub`: serve a small example, to try a crawler on by hand."""

from __future__ import annotations

import argparse
import contextlib
import json
import struct
import threading
from collections.abc import Sequence
from typing import Any

from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion, HubContent, HubRepo
from leaksweep.hub.faults import ONCE, Faults
from leaksweep.hub.serve import LocalHub


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


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m leaksweep.hub", description=__doc__)
    parser.add_argument(
        "--fault", action="append", default=[], choices=Faults.names(), help="once for each path"
    )
    parser.add_argument(
        "--ports", nargs=3, type=int, default=(0, 0, 0), help="Hugging Face, Civitai, storage"
    )
    arguments = parser.parse_args(argv)
    struck: dict[str, Any] = dict.fromkeys(arguments.fault, ONCE)
    faults = Faults(**struck)
    with LocalHub(example(), faults=faults, ports=tuple(arguments.ports)) as hub:
        print(
            f"Hugging Face  {hub.url}\nCivitai       {hub.civitai_url}\nstorage       {hub.storage_url}",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
