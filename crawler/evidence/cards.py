"""What a model card on Hugging Face tells of prompts and training. All of it is the author's word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from crawler.evidence.captions import MAX_PROMPTS, best_prompts, trigger_words
from crawler.evidence.facts import Prompt, PromptOrigin, Training
from crawler.evidence.plain_text import MAX_TEXT, prompt_text, shorter_side, whole
from crawler.evidence.training_metadata import Fact, with_sources

FIELDS = (
    "instance_prompt", "trigger_words", "trigger_word", "trigger", "trigger_phrase", "widget",
    "max_train_steps", "training_steps", "num_images", "num_training_images", "resolution",
)  # fmt: skip
"""The fields of a card's metadata that are read here: all that a crawl has to keep of one."""
_TRAINED_ON = re.compile(r"weights were trained on (?!the\b)(.{2,300}?)\s+using\s+\[?DreamBooth")
"""The sentence of diffusers' DreamBooth scripts, which holds the training prompt."""
_TRIGGERS = (
    re.compile(r"[Yy]ou should use ([^\n]{2,500}?) to trigger the image generation"),
    re.compile(r"(?im)^\W{0,6}trigger(?: ?words?| phrase)?\**\s?[:=]\**\s?(\S[^\n]{0,500})$"),
)
_NUMBERS = {
    "steps": re.compile(r"(?i)(?:training |train |max_train_)steps\W{1,8}(\d[\d,]{0,8})(?![\d.])"),
    "epochs": re.compile(r"(?i)\bepochs\W{1,8}(\d{1,6})(?![\d.,]\d)"),
    "images": re.compile(
        r"(?i)(?:number of (?:training )?images|training images|dataset size)\W{1,8}(\d[\d,]{0,8})"
        r"|\btrained (?:on|with) (\d[\d,]{0,8}) (?:training )?(?:images|pictures|photos)\b"
    ),
    "repeats": re.compile(r"(?i)\brepeats\W{1,8}(\d{1,5})(?![\d.,]\d)"),
    "resolution": re.compile(r"(?i)\bresolution\W{1,8}(\d{2,5}(?: ?[x×] ?\d{2,5})?)"),
    "rank": re.compile(r"(?i)\b(?:network dim|lora rank|rank)\W{1,8}(\d{1,4})(?![\d.,]\d)"),
    "batch": re.compile(r"(?i)\b(?:train )?batch size\W{1,8}(\d{1,5})(?![\d.,]\d)"),
}
"""How scripts and authors write a number behind its name: in lists and in tables."""


def card_prompts(card: object, text: str = "") -> tuple[Prompt, ...]:
    """The training prompt, trigger words and example prompts of a card.

    Args:
        card: its metadata (`cardData`); anything that is no table is an empty one.
        text: what stands below the metadata.
    """
    return best_prompts(*_prompts(card if isinstance(card, dict) else {}, text[:MAX_TEXT]))


def card_training(card: object, text: str = "") -> Training:
    """Numbers of the training, from the text and the few fields that some trainers fill in."""
    found: dict[str, Fact] = {}
    for name, pattern in _NUMBERS.items():
        match = pattern.search(text[:MAX_TEXT])
        digits = next(filter(None, match.groups()), "").replace(",", "") if match else ""
        value = shorter_side(digits) if name == "resolution" else whole(digits)
        if value is not None:
            found[name] = (float(value) if name == "repeats" else value, "text")
    fields = card if isinstance(card, dict) else {}
    for name, keys in _FIELDS.items():
        read = shorter_side if name == "resolution" else whole
        for key in keys:
            if (value := read(fields.get(key))) is not None:
                found[name] = (value, key)
    return with_sources(found, "card ")


_FIELDS = {
    "steps": ("max_train_steps", "training_steps"),
    "images": ("num_images", "num_training_images"),
    "resolution": ("resolution",),
}


def _prompts(card: Mapping[str, Any], text: str) -> Iterator[Prompt]:
    given = card.get("instance_prompt")
    for one in islice(given if isinstance(given, list) else [given], MAX_PROMPTS):
        yield _prompt(one, PromptOrigin.INSTANCE_PROMPT, "card instance_prompt")
    if match := _TRAINED_ON.search(text):
        yield _prompt(match[1], PromptOrigin.INSTANCE_PROMPT, "card text")
    for key in ("trigger_words", "trigger_word", "trigger", "trigger_phrase"):
        yield from trigger_words(card.get(key), f"card {key}")
    for pattern in _TRIGGERS:
        for words in islice(pattern.finditer(text), MAX_PROMPTS):
            yield _prompt(words[1].strip("`*_\"' "), PromptOrigin.TRIGGER_WORDS, "card text")
    widget = card.get("widget")
    for example in widget[:MAX_PROMPTS] if isinstance(widget, list) else ():
        shown = example.get("text") if isinstance(example, dict) else example
        yield _prompt(shown, PromptOrigin.EXAMPLE, "card widget")


def _prompt(text: object, origin: PromptOrigin, source: str) -> Prompt:
    return Prompt(text=prompt_text(text), origin=origin, source=source)
