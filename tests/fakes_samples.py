"""Recorded answers of both hubs, which are not part of this repository: LEAKSWEEP_HUB_SAMPLES says where."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


def sample_folder() -> Path:
    """The folder of the samples; without it the test fails, for it was asked for by its marker."""
    folder = os.environ.get("LEAKSWEEP_HUB_SAMPLES")
    if not folder:
        pytest.fail("set LEAKSWEEP_HUB_SAMPLES to the folder of the samples")
    return Path(folder)


def load(name: str) -> Any:
    """A sample by its path inside the folder."""
    return json.loads((sample_folder() / name).read_text(encoding="utf-8"))
