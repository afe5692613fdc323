"""The hubs' tokens, which the environment gives."""

from __future__ import annotations

import os

from crawler.checkpoint import Hub

TOKENS = {Hub.HUGGINGFACE: "HF_TOKEN", Hub.CIVITAI: "CIVITAI_TOKEN"}
"""Environment variables; a token comes from nowhere else."""


def environment_tokens() -> dict[Hub, str | None]:
    """Each hub's token, or None."""
    return {hub: os.environ.get(name) or None for hub, name in TOKENS.items()}
