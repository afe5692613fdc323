"""What a listing tells of a version's training, and of what may be done with a model, as its author put it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from crawler.evidence.captions import MAX_PROMPTS
from crawler.evidence.facts import Prompt, PromptOrigin, Training
from crawler.evidence.plain_text import clean

_MAX_WORDS = 50
"""Trigger words that are looked at; the longest lists of real ones have some twenty."""
_PURPOSES = ("character", "style", "concept", "clothing", "object", "effect")
_HIGHEST = 10**9


def trigger_words(version: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """The trigger words: together, as most authors use them, then one by one."""
    words = version.get("trainedWords")
    if not isinstance(words, list):
        return ()
    found = [clean(word).strip(" ,") for word in islice(words, _MAX_WORDS) if isinstance(word, str)]
    found = [word for word in found if word]
    texts = dict.fromkeys([clean(", ".join(found)), *found] if found else [])
    return _prompts(texts, PromptOrigin.TRIGGER_WORDS, "civitai trainedWords")


def sample_prompts(version: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """What the site's own trainer drew its samples with, where a listing says so."""
    details = version.get("trainingDetails")
    samples = details.get("samplePrompts") if isinstance(details, dict) else None
    if not isinstance(samples, list):
        return ()
    texts = dict.fromkeys(clean(text) for text in islice(samples, _MAX_WORDS) if isinstance(text, str))
    return _prompts(texts, PromptOrigin.EXAMPLE, "civitai samplePrompts")


def training(version: Mapping[str, Any]) -> Training:
    """The settings of the site's own trainer, where a listing shows them; nothing for other uploads."""
    details = version.get("trainingDetails")
    if not isinstance(details, dict):
        return Training()
    given = details.get("params")
    params = given if isinstance(given, dict) else {}
    numbers = {
        "steps": _whole(params.get("targetSteps")),
        "epochs": _whole(params.get("maxTrainEpochs")),
        "repeats": _whole(params.get("numRepeats")),
        "resolution": _whole(params.get("resolution")),
        "batch": _whole(params.get("trainBatchSize")),
        "rank": _whole(params.get("networkDim")),
    }
    purpose = str(details.get("type")).casefold()
    known: dict[str, Any] = {name: number for name, number in numbers.items() if number}
    known |= {"purpose": purpose} if purpose in _PURPOSES else {}
    return Training(**known, sources=tuple((name, "civitai trainingDetails") for name in known))


def license_of(model: Mapping[str, Any]) -> str | None:
    """What the author allows, in one line; None where the hub says nothing of it."""
    # Text of a database array, a real array, or one word, by the age of the answer.
    uses = model.get("allowCommercialUse")
    if isinstance(uses, str):
        uses = uses.strip("{}").split(",")
    named = (
        [clean(use)[:40] for use in uses if isinstance(use, str) and use][:8]
        if isinstance(uses, list)
        else []
    )
    parts = [f"commercial: {' '.join(sorted(named)) or 'no'}"] if uses is not None else []
    rights = {
        "derivatives": "allowDerivatives",
        "other licence": "allowDifferentLicense",
        "without credit": "allowNoCredit",
    }
    for name, key in rights.items():
        if isinstance(model.get(key), bool):
            parts.append(f"{name}: {'yes' if model[key] else 'no'}")
    return "; ".join(parts) or None


def _prompts(texts: Mapping[str, None], origin: PromptOrigin, source: str) -> tuple[Prompt, ...]:
    given = islice(filter(None, texts), MAX_PROMPTS)
    return tuple(Prompt(text=text, origin=origin, source=source) for text in given)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < _HIGHEST else None
