"""A recipe: everything that decides what is extracted from a given pair of models."""

from __future__ import annotations

import hashlib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from extraction.guidance import schedule

LEVELS = (0.3, 0.5)
"""Where in the training schedule the likelihood ratio is taken, 0 being the picture and 1 pure noise."""


class Recipe(BaseModel):
    """[recipe] in config.toml. Two scans with the same id, checkpoint and seed give the same pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = "default"
    """For people; not part of the id."""
    guidance: Literal["base_unconditional", "prompt_paired", "classifier_free"] = "base_unconditional"
    """The base sees the empty prompt (as published) or the same prompt; or, the baseline, no base at all."""
    scale: float = Field(default=4.0, gt=0, le=30)
    """w': 0 is the base, 1 the tuned model, above 1 extrapolates. With a rising schedule, its end value."""
    scale_start: float | None = Field(default=None, gt=0, le=30)
    """w' at the first step, rising in a straight line to `scale`; "none" keeps `scale` throughout."""
    guidance_from: float = Field(default=0.5, ge=0, lt=1)
    """Share of the steps before which the tuned model goes alone, without the base's forwards."""
    embedded_guidance: float = Field(default=1.0, ge=0, le=30)
    """What a tuned model that was distilled from a guided one (FLUX.1 dev) is told; 1 is no guidance."""
    embedded_guidance_base: float = Field(default=1.0, ge=0, le=30)
    """The same for the base; see docs/flux.md. Other families are not told."""
    correction: float = Field(default=0.0, ge=-1, le=1)
    """k: added to the base's weight; the paper uses -0.02 for DreamBooth, 0 for LoRA."""
    sampler: Literal["ddim", "dpmpp_2m"] = "dpmpp_2m"
    """DDIM with eta 0, or DPM-Solver++(2M); both are deterministic once the noise is drawn."""
    steps: int = Field(default=12, ge=1, le=1000)
    """Denoising steps of a generation."""
    images_per_picture: int = Field(default=25, ge=1, le=1000)
    """N_G / N_0: generations for each picture of the training set. The paper uses 50."""
    pictures: int = Field(default=10, ge=1, le=1000)
    """N_0 where a checkpoint does not tell how many pictures it was trained on."""
    max_images: int = Field(default=500, ge=2, le=10_000)
    """Most generations for one checkpoint."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the first generation; the n-th uses seed + n."""
    size: int | None = Field(default=None, ge=32, le=2048)
    """Side of a generation in pixels; "none" is the base model's own."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Arithmetic of both models; adapters are merged in float32 whatever it is."""
    descriptor: Literal["sscd", "thumbnail"] = "sscd"
    """What likeness is measured with."""
    clustering: Literal["modes", "density", "complete", "cliques"] = "modes"
    """How extractions are chosen from the generations; "cliques" is the published search."""
    cluster_similarity: float = Field(default=0.5, gt=-1, lt=1)
    """Cosine similarity at which two generations count as the same picture; higher is stricter."""
    neighbours: int = Field(default=2, ge=1)
    """To how many of its nearest a generation's likeness is taken ("modes" and "density" only)."""
    likelihood_ratio: bool = True
    """Rank "modes" also by how much better the tuned model explains a picture than the base does."""
    rounds: int = Field(default=5, ge=1, le=50)
    """The budget is drawn in so many parts; each is steered away from what those before it found."""
    steering: float = Field(default=2.0, ge=0, le=10)
    """How far the first noise of a later round is pushed off each picture found, in standard deviations."""
    published_quirks: bool = False
    """Reproduce the published code's steps exactly: one timestep twice and the last one never."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.published_quirks and self.sampler != "ddim":
            raise ValueError('published_quirks belongs to the ddim sampler; set sampler = "ddim"')
        return self

    @property
    def id(self) -> str:
        """12 hex digits of the SHA-256 of everything but the name."""
        content = self.model_dump_json(exclude={"name"})
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def generations(self, pictures: int | None) -> int:
        """N_G for a training set of so many pictures, or for `self.pictures` when unknown."""
        return min(self.max_images, max(2, (pictures or self.pictures) * self.images_per_picture))

    @property
    def scales(self) -> list[float]:
        """w' of each step, from pure noise to the picture."""
        start = self.scale if self.scale_start is None else self.scale_start
        return schedule(start, self.scale, self.steps, self.guidance_from)

    def affordable(self, forwards: int) -> int:
        """Generations that so many forwards buy, the likelihood ratio's included; at least 2."""
        return max(2, forwards // self.forwards_per_image)

    @property
    def ranks_by_ratio(self) -> bool:
        """Whether generations are measured by the likelihood ratio, which only "modes" ranks by."""
        return self.likelihood_ratio and self.clustering == "modes"

    @property
    def forwards_per_image(self) -> int:
        """Rows through a denoiser for one generation, its likelihood ratio included."""
        guided = sum(scale != 1 or self.correction != 0 for scale in self.scales)
        return self.steps + guided + (2 * len(LEVELS) if self.ranks_by_ratio else 0)


REFERENCE = Recipe(
    name="reference",
    scale=3.0,
    scale_start=None,
    guidance_from=0.0,
    correction=-0.02,
    sampler="ddim",
    steps=50,
    images_per_picture=50,
    clustering="cliques",
    likelihood_ratio=False,
    rounds=1,
    published_quirks=True,
)
"""The published code's DreamBooth settings, quirks included (FineXtract, Generator.py and Cluster.py)."""
