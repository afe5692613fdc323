"""Statements about what a checkpoint was fine-tuned from, graded by how far each can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from crawler.evidence.families import UNKNOWN


class Grade(IntEnum):
    """How far a statement about the base model can be trusted; higher is better. See docs/base-models.md."""

    NAME = 1
    """A word in a title or a file's name."""
    LABEL = 2
    """A family that an author or a tool picked from a list. It proves no parent."""
    DECLARED = 3
    """The author or the hub names the base's repository, or the tool a file name that only one base has."""
    LOADED = 4
    """The training tool noted the repository, or the Civitai version, that it loaded."""
    DIGEST = 5
    """The training tool noted the SHA-256 of the base that it loaded."""
    TENSORS = 6
    """Names and shapes of the tensors. They prove a family and never a repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseClaim:
    """One statement about what a checkpoint was fine-tuned from."""

    repo: str | None
    """Repository of the base on the Hugging Face Hub; None when only something else is named."""
    family: str | None
    """Family name as in `crawler.evidence.families`, such as "sd1"; None when unknown."""
    source: str
    """Who said it: "hub relation", "card", "civitai baseModel", "header digest", "header model name"."""
    grade: Grade
    digest: str | None = None
    """SHA-256 of the base, where it is named, also when nobody knows yet whose it is. Lower-case hex."""
    civitai_version: str | None = None
    """The base's version on Civitai, where one is named."""
    detail: str = ""
    """The words that were read, on one line, cut."""

    @property
    def base(self) -> str | None:
        """One name of the base: the repository, else "civitai:version"; None when neither is named."""
        return self.repo or (f"civitai:{self.civitai_version}" if self.civitai_version else None)

    @property
    def known_family(self) -> str | None:
        """The family, unless it is one that says nothing."""
        return None if self.family == UNKNOWN else self.family
