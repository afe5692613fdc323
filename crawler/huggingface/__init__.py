"""The Hugging Face Hub as a source of checkpoints."""

from crawler.huggingface.listing import HuggingFace

__all__ = ["HuggingFace"]
