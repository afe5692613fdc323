"""Words that a fine-tune taught a text encoder: textual inversions, put in beside its vocabulary.

A word stands for one or several vectors. In a prompt's ids each has a number below zero, which no
vocabulary has: an encoder that looks for its end token, or takes the largest id for it, is not misled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from extraction.extraction import LoadError


class Vocabulary(nn.Module):
    """An encoder's table of token embeddings, and vectors of words beside it."""

    def __init__(self, table: nn.Embedding, words: Mapping[str, Tensor]) -> None:
        """Args: words: text -> (n, D).

        Raises:
            LoadError: "not_finite" for a vector that the table's dtype cannot hold.
        """
        super().__init__()
        self.table = table
        self._ids: dict[str, list[int]] = {}
        taken = 0
        for text, vectors in words.items():
            self._ids[text.lower()] = [-1 - taken - place for place in range(len(vectors))]
            taken += len(vectors)
        self._vectors = torch.cat(list(words.values())).to(table.weight)
        if not bool(torch.isfinite(self._vectors).all()):
            raise LoadError(
                "not_finite",
                f"the vectors of its words overflow {table.weight.dtype}; "
                "scan it with a recipe of dtype float32",
            )
        # The longest first: one word may begin with another. CLIP knows no upper case.
        longest = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest))})(?!\w)", re.IGNORECASE)

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings (B, T, D) of ids (B, T)."""
        known: Tensor = self.table(ids.clamp_min(0))
        return torch.where(ids[..., None] < 0, self._vectors[(-1 - ids).clamp_min(0)], known)

    def tokenize(self, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], length: int) -> Tensor:
        """Ids (B, length) on the CPU, padded and cut as the tokenizer does it."""
        return torch.tensor([self._row(tokenizer, prompt, length) for prompt in prompts])

    def _row(self, tokenizer: Any, prompt: str, length: int) -> list[int]:
        ids: list[int] = []
        for place, piece in enumerate(self._pattern.split(prompt)):
            if place % 2:
                ids += self._ids[piece.lower()]
            elif piece.strip():
                ids += tokenizer(
                    piece, add_special_tokens=False, truncation=True, max_length=length
                ).input_ids
        ids = [tokenizer.bos_token_id, *ids[: length - 2], tokenizer.eos_token_id]
        return ids + [tokenizer.pad_token_id] * (length - len(ids))


def teach(encoder: Any, words: Mapping[str, Tensor]) -> None:
    """Put words beside an encoder's vocabulary, in place of those that were there.

    Args:
        encoder: a text model of transformers.
        words: text -> (n, D); none takes away what was put there.
    """
    table = encoder.get_input_embeddings()
    table = table.table if isinstance(table, Vocabulary) else table
    encoder.set_input_embeddings(Vocabulary(table, words) if words else table)
