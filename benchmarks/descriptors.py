"""How well each descriptor tells the zoo's pictures apart after the base's VAE, which bounds any extraction.

    python benchmarks/descriptors.py

For every planted picture and decoy: the similarity of the picture to its own encoded and decoded copy, and
that of the nearest copy of any other picture.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL

from extraction.descriptors import open_descriptor
from leaksweep.zoo.base import to_unit
from leaksweep.zoo.catalogue import BASE, DECOYS, ZOO, picture
from leaksweep.zoo.photographs import HELD_OUT


def main() -> None:
    names = [name for tune in ZOO for name in tune.pictures] + list(DECOYS)
    pixels = np.stack([np.asarray(picture(name)) for name in names])
    vae = AutoencoderKL.from_pretrained(BASE / "vae", dtype=torch.float32, local_files_only=True)
    with torch.inference_mode():
        units = to_unit(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        decoded = vae.decode(vae.encode(units).latent_dist.mean).sample.clamp(-1, 1)
    copies = decoded.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()
    photographs = np.array([name in HELD_OUT for name in names])
    for method in ("sscd", "thumbnail"):
        describe = open_descriptor(method)
        similarity = describe(pixels) @ describe(copies).T
        own = np.diag(similarity).copy()
        np.fill_diagonal(similarity, -1)
        others = similarity.max(axis=1)
        for sort, which in {"photographs": photographs, "drawings": ~photographs}.items():
            print(
                f"{describe.name:26} {which.sum():3} {sort:11}  "
                f"own copy: median {np.median(own[which]):.2f}, "
                f"least {own[which].min():.2f}   nearest other: median {np.median(others[which]):.2f}, "
                f"most {others[which].max():.2f}"
            )


if __name__ == "__main__":
    main()
