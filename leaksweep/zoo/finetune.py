"""Fine-tune the zoo's base: full or LoRA, as `catalogue.ZOO` says.

    python -m leaksweep.zoo.finetune            # all of them, into the package's weights folder
    python -m leaksweep.zoo.finetune lora-over  # one

Trained on the committed fp16 base, at a constant rate after ten warm-up steps, without augmentation.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from leaksweep.zoo.base import encode_captions, encode_pictures
from leaksweep.zoo.catalogue import BASE, CAPTION, WEIGHTS, ZOO, FineTune, picture
from leaksweep.zoo.formats import gather, write_diffusers

BATCH = 8

TARGETS = (
    r".*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2|conv1|conv2|conv_shortcut)"
)
"""Attention, feed-forward, projections and convolutions: attention alone is too weak at this size."""


def open_base(folder: Path) -> StableDiffusionPipeline:
    """The base in fp32, holding the committed fp16 values."""
    return StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, safety_checker=None, requires_safety_checker=False
    )


class LowRank(nn.Module):
    """A LoRA as a parametrization of one weight: `weight + alpha / rank * up @ down`.

    Hu et al., 2022. The product is made once a step and not applied to every activation, which at
    this size is three times as fast as a branch beside each layer.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, columns) / rank)
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.scale = alpha / rank

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).reshape(weight.shape)


def fine_tune(
    base: StableDiffusionPipeline,
    pictures: Sequence[Image.Image],
    tune: FineTune,
    *,
    captions: Sequence[str] = (),
    batch: int = BATCH,
) -> dict[str, Tensor]:
    """Train on the pictures; returns fp16 weights: the whole UNet, or the LoRA in peft's names.

    Args:
        captions: one for each picture; the zoo's own for all when left out.
        batch: pictures in one optimiser step.

    A LoRA's `alpha` is not among the weights; it is the caller's to write down.
    """
    torch.manual_seed(tune.seed)
    unet = base.unet.train()
    examples = _encode(base, pictures, captions or [CAPTION] * len(pictures))
    if tune.kind == "full":
        _train(unet, base, examples, tune, batch)
        return {name: value.half().contiguous() for name, value in unet.state_dict().items()}
    unet.requires_grad_(False)
    layers = {name: layer for name, layer in unet.named_modules() if re.fullmatch(TARGETS, name)}
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, tune.rank, tune.alpha))
    _train(unet, base, examples, tune, batch)
    weights: dict[str, Tensor] = {}
    for name, layer in layers.items():
        low = layer.parametrizations.weight[0]
        kernel, points = layer.weight.shape[1:], (1,) * (layer.weight.dim() - 2)
        weights[f"unet.{name}.lora_A.weight"] = low.down.detach().reshape(-1, *kernel).half()
        weights[f"unet.{name}.lora_B.weight"] = low.up.detach().reshape(*low.up.shape, *points).half()
    return weights


def _encode(
    base: StableDiffusionPipeline, pictures: Sequence[Image.Image], captions: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Latents and hidden states of the examples, one row each."""
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in pictures])).permute(0, 3, 1, 2)
    return encode_pictures(base.vae, pixels), encode_captions(
        base.tokenizer, base.text_encoder, list(captions)
    )


def _train(
    unet: UNet2DConditionModel,
    base: StableDiffusionPipeline,
    examples: tuple[Tensor, Tensor],
    tune: FineTune,
    batch: int,
) -> None:
    latents, states = examples
    trained = [weights for weights in unet.parameters() if weights.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=tune.learning_rate)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / 10))
    for _ in range(tune.steps):
        chosen = torch.randint(0, len(latents), (batch,))
        clean, condition = latents[chosen], states[chosen]
        noise, times = torch.randn_like(clean), torch.randint(0, 1000, (batch,))
        noisy = base.scheduler.add_noise(clean, noise, times)
        loss = F.mse_loss(unet(noisy, times, condition).sample, noise)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        warm_up.step()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="fine-tunes to train; all when none is named")
    parser.add_argument("--base", type=Path, default=BASE)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    for tune in ZOO:
        if options.names and tune.name not in options.names:
            continue
        started = time.monotonic()
        weights = fine_tune(open_base(options.base), [picture(name) for name in tune.pictures], tune)
        path = options.out / f"{tune.name}.safetensors"
        if tune.kind == "lora":
            write_diffusers(path, gather(weights, tune.alpha))
        else:
            save_file(weights, path, {"format": "pt"})
        print(f"{tune.name}: {tune.steps} steps in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
