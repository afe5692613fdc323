"""Civitai as a source of checkpoints."""

from crawler.civitai.source import Civitai

__all__ = ["Civitai"]
