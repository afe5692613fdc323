"""Civitai as a source of checkpoints."""

from crawler.civitai.listing import Civitai

__all__ = ["Civitai"]
