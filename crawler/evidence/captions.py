"""Prompts that a checkpoint was, or may have been, trained with: from its header and its trigger words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from crawler.evidence.datasets import DataSet, Folder, class_words, read_dataset
from crawler.evidence.facts import Prompt, PromptOrigin
from crawler.evidence.plain_text import MAX_TEXT, clean, parsed, prompt_text, table

MAX_PROMPTS = 5
"""Of one origin."""
_MAX_WORDS = 100
"""Trigger words that are looked at."""


def prompts(metadata: Mapping[str, Any], dataset: DataSet | None = None) -> tuple[Prompt, ...]:
    """All that a header tells: captions first, then what authors wrote of how to use it.

    Args:
        dataset: the same metadata's, where it has been read already.
    """
    return best_prompts(
        *_captions(dataset or read_dataset(metadata)),
        *_hints(metadata),
        *_samples(table(metadata.get("ot_config"))),
    )


def trigger_words(words: object, source: str) -> tuple[Prompt, ...]:
    """Trigger words of a list: together, as most authors use them, then one by one."""
    listed = words if isinstance(words, (list, tuple)) else [words]
    found = list(filter(None, (prompt_text(word).strip(" ,") for word in islice(listed, _MAX_WORDS))))
    texts = [clean(", ".join(found)), *found] if found else []
    return best_prompts(*(_prompt(text, PromptOrigin.TRIGGER_WORDS, source) for text in texts))


def best_prompts(*prompts: Prompt) -> tuple[Prompt, ...]:
    """The best `MAX_PROMPTS` of each origin, best origin first; each text once, where it is best."""
    order = list(PromptOrigin)
    kept: dict[str, Prompt] = {}
    counts: dict[PromptOrigin, int] = {}
    for prompt in sorted(prompts, key=lambda prompt: order.index(prompt.origin)):
        if prompt.text and prompt.text not in kept and counts.get(prompt.origin, 0) < MAX_PROMPTS:
            kept[prompt.text] = prompt
            counts[prompt.origin] = counts.get(prompt.origin, 0) + 1
    return tuple(kept.values())


def _captions(dataset: DataSet) -> Iterator[Prompt]:
    """Yield captions, most frequent first.

    kohya splits captions at commas before it counts them, so that a caption without commas is there as a
    whole. Of others only the tags are known: those that most pictures have stand for the caption. Last come
    the class words of the folders, the caption where there is none.
    """
    source = f"header {dataset.tags_in}"
    for folder in dataset.folders.values():
        if folder.dummy:
            word = "".join(folder.tags)
            if word.casefold() != "trigger":
                yield _prompt(word, PromptOrigin.TRIGGER_WORDS, f"{source}, a dummy")
            continue
        for text in islice(_texts(folder), MAX_PROMPTS):
            yield _prompt(text, PromptOrigin.KOHYA_TAGS, source)
    for name, folder in dataset.folders.items():
        if folder.pictures:
            yield _prompt(class_words(name), PromptOrigin.KOHYA_TAGS, f"header {dataset.counted_in}, folder")


def _texts(folder: Folder) -> Iterator[str]:
    tags = folder.tags
    if not tags:
        return
    ordered = sorted(tags, key=lambda tag: -tags[tag])
    if _whole_captions(folder):
        yield from ordered
        return
    frequent = [tag for tag in ordered if tags[tag] * 2 >= (folder.pictures or tags[ordered[0]])]
    yield ", ".join(tag[:MAX_TEXT] for tag in (frequent or ordered)[:10])


def _whole_captions(folder: Folder) -> bool:
    """Whether a picture has one entry at most, or, if their number is unknown, the entries are sentences."""
    if folder.pictures:
        return sum(folder.tags.values()) <= folder.pictures
    return sum(len(tag.split()) for tag in folder.tags) >= 5 * len(folder.tags)


def _hints(metadata: Mapping[str, Any]) -> Iterator[Prompt]:
    """Yield what the model metadata standard has for users: a trigger phrase, a hint, tags."""
    phrase = metadata.get("modelspec.trigger_phrase")
    yield _prompt(phrase, PromptOrigin.TRIGGER_WORDS, "header modelspec.trigger_phrase")
    hint = metadata.get("modelspec.usage_hint")
    for text in _quoted(hint if isinstance(hint, str) else ""):
        yield _prompt(text, PromptOrigin.TRIGGER_WORDS, "header modelspec.usage_hint")
    yield _prompt(metadata.get("modelspec.tags"), PromptOrigin.NAME, "header modelspec.tags")


def _quoted(text: str) -> Iterable[str]:
    """What stands in quotation marks: the rest of a hint is a sentence about the file."""
    found = re.findall(r"`([^`\n]{2,500})`|\"([^\"\n]{2,500})\"|“([^”\n]{2,500})”", text[:MAX_TEXT])
    return list(islice(("".join(groups) for groups in found), MAX_PROMPTS))


def _samples(config: Mapping[str, Any]) -> Iterator[Prompt]:
    """Yield the prompts that OneTrainer drew its own samples with."""
    samples = parsed(config.get("samples"))
    for sample in samples[:MAX_PROMPTS] if isinstance(samples, list) else ():
        if isinstance(sample, dict):
            yield _prompt(sample.get("prompt"), PromptOrigin.EXAMPLE, "header ot_config samples")


def _prompt(text: object, origin: PromptOrigin, source: str) -> Prompt:
    return Prompt(text=prompt_text(text), origin=origin, source=source)
