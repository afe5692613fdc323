"""The VAE of the UNet families: latents to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from extraction.families.build import build


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes latents in parts of bounded size."""

    vae: AutoencoderKL
    pixels_at_once: int = 2**22
    """What goes through the VAE in one forward: 16 pictures of 512 x 512."""

    @property
    def factor(self) -> int:
        """Side of a picture over that of its latents."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures as uint8 (B, 3, H, W), on the latents' device."""
        pixels = latents.shape[2] * latents.shape[3] * self.factor**2
        parts = torch.split(latents, max(1, self.pixels_at_once // pixels))
        return torch.cat([self._decode(part) for part in parts])

    def _decode(self, latents: Tensor) -> Tensor:
        latents = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        latents = latents + (self.vae.config.shift_factor or 0.0)
        decoded: Tensor = self.vae.decode(latents, return_dict=False)[0]
        return decoded.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def make(config: Mapping[str, Any]) -> AutoencoderKL:
    """Build a VAE from its config, without the notes that diffusers writes into it."""
    return AutoencoderKL(**{name: value for name, value in config.items() if not name.startswith("_")})


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
