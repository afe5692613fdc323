"""Which prompts a checkpoint is asked with: what it was trained with, what it may have been, or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from crawler.checkpoint import Checkpoint, Hub, Prompt, PromptOrigin

CAPTIONS = (PromptOrigin.INSTANCE_PROMPT, PromptOrigin.KOHYA_TAGS, PromptOrigin.OPERATOR)
"""Origins that hold what training itself was told: nothing has to be guessed beside them."""

MOST_WORDS = 8
"""Of a name: longer ones are sentences about the file."""

LEAST_LETTERS = 3
"""Of a name that is taken for words at all."""

_ORIGINS = list(PromptOrigin)

_NO_SUBJECT = re.compile(
    r"(lora|locon|lycoris|loha|lokr|dora|dreambooth|ckpt|checkpoint|safetensors|diffusers|pytorch|peft|adapter|"
    r"model|models|weights|unet|transformer|trained|training|finetuned?|finetuning|fine|tuned?|tuning|final|last|"
    r"test|output|outputs|version|ver|epoch|epochs|step|steps|rank|dim|pruned|ema|emaonly|fp16|fp32|bf16|"
    r"stable|diffusion|sd|sdxl|xl|sd3|sd35|sdv?1|sdv?2|sd15|sd14|sd21|flux|flux1|dev|schnell|pony|illustrious|"
    r"noobai|base|v?\d+([._]\d+)*[a-z]?|[0-9a-f]{8,})",
    re.IGNORECASE,
)
"""Words of a name that say how a file was made, and nothing of what it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A prompt and why it is thought of."""

    prompt: Prompt
    reason: str


def candidates(checkpoint: Checkpoint, limit: int = 1) -> list[Candidate]:
    """At most `limit` prompts, best first; at least one, the empty prompt where nothing is known.

    A job's generations are shared among them in equal parts. Captions come alone. Trigger words and names
    are guesses, which the unconditional form is asked beside as long as there is room for two. A name is
    never asked by itself: what it says may not be what the file was trained with.
    """
    found = list(_evidence(checkpoint))
    guessed = not found or found[0].prompt.origin not in CAPTIONS
    none = Candidate(
        prompt=Prompt(text="", origin=PromptOrigin.NONE),
        reason="asked without a prompt" if found else "nothing tells what it was trained with",
    )
    if not found or (limit == 1 and found[0].prompt.origin is PromptOrigin.NAME):
        return [none]
    if guessed and limit > 1:
        return [*found[: limit - 1], none]
    return found[:limit]


def word_of(checkpoint: Checkpoint) -> str | None:
    """What a textual inversion is called that does not say its word: by custom, as its author's file.

    The file's name here is its digest.
    """
    stem = " ".join(PurePosixPath(checkpoint.path).stem.split())
    return stem if stem and stem.isprintable() else None


def spoken(prompts: Iterable[str], words: Sequence[str], *, alone: bool) -> list[str]:
    """Prompts that say the words which a fine-tune taught its text encoders, each once.

    Args:
        words: without them a prompt asks for nothing that was learnt by them.
        alone: whether the fine-tune is nothing but words, so that even the empty prompt has to say them.
    """
    if not words:
        return list(prompts)
    said = " ".join(words[:MOST_WORDS])

    def naming(text: str) -> str:
        heard = any(word.casefold() in text.casefold() for word in words)
        if heard or not (text or alone):
            return text
        return f"{text}, {said}" if text else said

    return list(dict.fromkeys(map(naming, prompts)))


def _evidence(checkpoint: Checkpoint) -> Iterator[Candidate]:
    seen: set[str] = set()
    for candidate in (*_known(checkpoint), *_guessed(checkpoint)):
        key = candidate.prompt.text.casefold()
        if key and key not in seen:
            seen.add(key)
            yield candidate


def _known(checkpoint: Checkpoint) -> Iterator[Candidate]:
    reasons = {
        PromptOrigin.INSTANCE_PROMPT: "its card names it as the training prompt",
        PromptOrigin.KOHYA_TAGS: "its header counts it among the captions",
        PromptOrigin.TRIGGER_WORDS: "its author gives it as a trigger",
        PromptOrigin.EXAMPLE: "its author or its trainer made a picture with it",
        PromptOrigin.OPERATOR: "given by the operator",
        PromptOrigin.NAME: "guessed by the crawl",
    }
    for prompt in sorted(checkpoint.prompts, key=lambda prompt: _ORIGINS.index(prompt.origin)):
        if prompt.origin in reasons:
            yield Candidate(prompt=prompt, reason=reasons[prompt.origin])


def _guessed(checkpoint: Checkpoint) -> Iterator[Candidate]:
    """What the names say. The file's own comes first, because a repository may hold several."""
    names = {"file": PurePosixPath(checkpoint.path).stem}
    if checkpoint.hub is Hub.HUGGINGFACE:
        names["repository"] = checkpoint.repo.partition("/")[2]
    names["title"] = checkpoint.title
    for what, name in names.items():
        if text := subject(name):
            prompt = Prompt(text=text, origin=PromptOrigin.NAME)
            yield Candidate(prompt=prompt, reason=f"the words of the {what}'s name")


def subject(name: str) -> str:
    """The words of a name that may say what a file shows: "sks_dog-LoRA_v2" -> "sks dog"; "" if none does."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name)
    words = [word for word in re.split(r"[\s_\-+()\[\]{}|,;:/\\.]+", parted) if word]
    kept = [word for word in words if not _NO_SUBJECT.fullmatch(word)]
    text = " ".join(kept[:MOST_WORDS])
    return text if sum(letter.isalpha() for letter in text) >= LEAST_LETTERS else ""
