"""The VAE of most families: latents to pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from extraction.families.build import build, without_notes


class Decodes(Protocol):
    """Latents to pictures."""

    @property
    def channels(self) -> int:
        """Of the latents."""

    @property
    def factor(self) -> int:
        """Side of a picture over that of its latents."""

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures as uint8 (B, 3, H, W), on the latents' device."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes latents in parts of bounded size."""

    vae: AutoencoderKL
    pixels_at_once: int = 2**22
    """What goes through the VAE in one forward: 16 pictures of 512 x 512."""

    @property
    def channels(self) -> int:
        return int(self.vae.config.latent_channels)

    @property
    def factor(self) -> int:
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def decode(self, latents: Tensor) -> Tensor:
        return in_parts(self._decode, latents, self.pixels_at_once // self.factor**2)

    def _decode(self, latents: Tensor) -> Tensor:
        latents = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        latents = latents + (self.vae.config.shift_factor or 0.0)
        decoded: Tensor = self.vae.decode(latents, return_dict=False)[0]
        return to_bytes(decoded)


def in_parts(decode: Callable[[Tensor], Tensor], latents: Tensor, most: int) -> Tensor:
    """Decode latents (B, C, h, w) by as many rows at once as have `most` places, or one by one."""
    places = latents.shape[2] * latents.shape[3]
    return torch.cat([decode(part) for part in torch.split(latents, max(1, most // places))])


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures of -1 to 1 as uint8."""
    return pictures.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def make(config: Mapping[str, Any]) -> AutoencoderKL:
    """Build a VAE from its config, without the notes that diffusers writes into it."""
    return AutoencoderKL(**without_notes(config))


def load(
    folder: Path, config: Mapping[str, Any], *, device: torch.device, dtype: torch.dtype
) -> AutoencoderKL:
    """Build a VAE and fill it from its folder; raises what `build` does."""
    return build(lambda: make(config), folder, rename=_rename, device=device, dtype=dtype)


def safe_dtype(config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
    """fp32 instead of fp16 for a VAE that says it overflows there (`force_upcast`), as SDXL's does."""
    overflows = dtype == torch.float16 and config.get("force_upcast", True)
    return torch.float32 if overflows else dtype


def _rename(name: str) -> str:
    """Bases of 2022 spell the VAE's attention as the diffusers of their day did."""
    if ".attentions." in name:
        for old, new in (
            (".query.", ".to_q."),
            (".key.", ".to_k."),
            (".value.", ".to_v."),
            (".proj_attn.", ".to_out.0."),
        ):
            name = name.replace(old, new)
    return name
