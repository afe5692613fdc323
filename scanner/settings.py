"""[scanner] in config.toml: where and how hard to work, in which order, and what is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crawler.catalog.selection import Selection
from extraction.triage.reading import Rung


class TriageSettings(BaseModel):
    """[scanner.triage]: which checkpoints come first, and which are set aside; see docs/triage.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    mode: Literal["off", "order", "skip"] = "order"
    """"off" works by base and name; "order" by expected findings per second; "skip" also sets aside what
    scores below a threshold, as a row with its reason. Nothing is set aside for good: what the settings of
    a later scan would not set aside is scanned then."""
    header_below: float | None = Field(default=None, ge=0, le=1)
    """Score of the header: n / (n + 200) for n samples a picture. "none" sets nothing aside, as for all of
    these: on another family or trainer than ours the numbers of docs/triage.md are not calibrated."""
    spectrum_below: float | None = Field(default=None, ge=0)
    """Change of the weights outside the base's main directions, relative to the base; no forward."""
    forwards_below: float | None = Field(default=None, ge=0)
    """How far the two models' predictions are apart on pure noise, in the base's norms; 16 forwards."""
    images_below: float | None = Field(default=None, ge=-2, le=2)
    """How much more alike 16 generations are than the base's own."""

    @property
    def thresholds(self) -> Mapping[Rung, float]:
        """What is in force, by rung; empty unless the mode is "skip"."""
        if self.mode != "skip":
            return {}
        set_ = {
            Rung.HEADER: self.header_below,
            Rung.SPECTRUM: self.spectrum_below,
            Rung.FORWARDS: self.forwards_below,
            Rung.IMAGES: self.images_below,
        }
        return {rung: value for rung, value in set_.items() if value is not None}


class ScannerSettings(BaseModel):
    """How the scan uses its machines. `prompts`, `triage` and `selection` alone decide what it finds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    workers: int = Field(default=0, ge=0, le=4096)
    """Workers on the Ray pool, one a GPU or one a CPU core; 0 works in this process, without Ray."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the two models live; "auto" is CUDA where there is any, else the CPU."""
    threads_per_worker: int = Field(default=0, ge=0, le=1024)
    """CPU threads of one worker's arithmetic; 0 leaves it to torch and Ray."""
    batch: int = Field(default=16, ge=1, le=4096)
    """Generations made at once; halved by itself when memory runs out. Larger is faster."""
    compile: Literal["off", "on", "cuda_graphs"] = "off"
    """torch.compile of both models, one graph a base model and batch: pays for itself on long scans.
    "cuda_graphs" records CUDA graphs too (mode "reduce-overhead"); docs/speed.md says what is measured."""
    attempts: int = Field(default=3, ge=1, le=100)
    """Times a job is handed to a worker before it is quarantined; higher is more patient."""
    job_timeout_seconds: float = Field(default=3600.0, gt=0)
    """Longest that one job may take before its worker is replaced; downloads do not count."""
    prompts: int = Field(default=1, ge=1, le=16)
    """Most prompts that a checkpoint's generations are shared among, in equal parts; those come first that
    have the best evidence. The prompts are part of a job's identity: another number scans again."""
    prefetch: int = Field(default=2, ge=1, le=100)
    """Checkpoints fetched ahead for each worker. Higher hides slow hubs and needs more disk."""
    ray_address: str | None = None
    """An existing Ray cluster: "auto", "host:port" or "ray://host:port"; "none" starts one here. The
    stores' folders must lie under the same path on every machine of the cluster."""
    sscd_path: Path | None = None
    """The official SSCD TorchScript file; "none" takes the ONNX model of the `sscd` extra."""
    sscd_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    """The digest that `sscd_path` must have; required with it, because TorchScript is code."""
    triage: TriageSettings = Field(default_factory=TriageSettings)
    selection: Selection = Field(default_factory=Selection)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.sscd_path is None) != (self.sscd_sha256 is None):
            raise ValueError("sscd_path and sscd_sha256 belong together; set both or neither")
        return self
