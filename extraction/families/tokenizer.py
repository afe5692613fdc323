"""Tokenizers of every text encoder, their files read as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeVar

from extraction.extraction import LoadError
from extraction.weights import shorten


class Sized(Protocol):
    def __len__(self) -> int: ...


Tokenizer = TypeVar("Tokenizer", bound=Sized)


def load(
    kind: type[Tokenizer],
    folder: Path,
    vocabulary: int,
    *,
    files: tuple[str, ...] = ("tokenizer.json", "merges.txt"),
    **options: Any,
) -> Tokenizer:
    """Read a tokenizer's folder; a chat template among its files is not run.

    Args:
        kind: the library's class.
        vocabulary: rows of the text encoder's embedding.
        files: one of which has to be there. Without, the library makes a tokenizer that knows no word.
        options: of the class's `from_pretrained`.

    Raises:
        LoadError: "missing_base" when it cannot be read, "does_not_fit" when the encoder lacks words of it.
    """
    name = shorten(folder.name)
    if not any((folder / file).is_file() for file in files):
        lacking = f"neither {' nor '.join(files)}" if len(files) > 1 else f"no {files[0]} there"
        raise LoadError("missing_base", f"{name}: {lacking}; download the base again")
    read: Any = kind
    try:
        tokenizer: Tokenizer = read.from_pretrained(str(folder), local_files_only=True, **options)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise LoadError(
            "missing_base", f"{name}: cannot be read ({shorten(error)}); download the base again"
        ) from error
    if len(tokenizer) > vocabulary:
        raise LoadError(
            "does_not_fit",
            f"{name}: the tokenizer has more words than its text encoder: {len(tokenizer)}, not {vocabulary}",
        )
    return tokenizer
