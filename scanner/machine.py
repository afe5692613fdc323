"""What arithmetic ran on, in words: machines of one name agree, up to the order of sums in a batch."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def machine_of(device: torch.device) -> str:
    """Such as "cpu x86_64 AVX512, AMD EPYC 7B13, torch 2.13.0" or "cuda NVIDIA H100, torch 2.13.0"."""
    version = f"torch {torch.__version__}"
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}, {version}"
    # Kernels are chosen by what the processor can do, so the same model may still differ by this.
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{device.type} {platform.machine()} {capability}, {_processor()}, {version}"


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or "unknown processor"
