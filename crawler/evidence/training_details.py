"""`trainingDetails` of a version that Civitai's on-site trainer made: base, size, purpose, sample prompts.

Keys as in the hub's public source (schema of the model version). Whether the API gives them to everybody is
not known; where it does not, nothing is said.
"""

from __future__ import annotations

import re

from crawler.evidence.captions import MAX_PROMPTS, best_prompts
from crawler.evidence.claims import BaseClaim, Grade
from crawler.evidence.facts import Prompt, PromptOrigin, Training
from crawler.evidence.plain_text import clean, prompt_text, shorter_side, table, whole
from crawler.evidence.training_metadata import first, with_sources

_AIR = re.compile(r"(?:urn:air:)?[\w.-]{1,40}:[\w.-]{1,40}:civitai:\d{1,12}@(\d{1,12})")
_FAMILIES = {
    "sd_1_5": "sd1",
    "anime": "sd1",
    "semi": "sd1",
    "realistic": "sd1",
    "sdxl": "sdxl",
    "pony": "sdxl",
    "illustrious": "sdxl",
    "flux_dev": "flux",
    "flux2_dev": "flux2",
    "qwen_image": "qwen-image",
    "zimageturbo": "z-image",
}
"""Short names of the bases that the trainer offers. Each is a checkpoint of Civitai's choice, not the
family's first one, so that no repository follows from it."""
_PURPOSES = ("character", "style", "concept", "effect", "clothing", "object")


def details_claims(details: object) -> tuple[BaseClaim, ...]:
    """What the trainer loaded: an AIR names the version, a short name only the family."""
    name = table(details).get("baseModel")
    if not isinstance(name, str):
        return ()
    match, family = _AIR.fullmatch(name), _FAMILIES.get(name)
    if not match and not family:
        return ()
    claim = BaseClaim(
        repo=None,
        family=family,
        source="civitai trainingDetails",
        grade=Grade.LOADED if match else Grade.LABEL,
        civitai_version=match[1] if match else None,
        detail=clean(name, 200),
    )
    return (claim,)


def details_prompts(details: object) -> tuple[Prompt, ...]:
    """What the trainer drew its samples with."""
    samples = table(details).get("samplePrompts")
    texts = samples[:MAX_PROMPTS] if isinstance(samples, list) else ()
    source, origin = "civitai trainingDetails samplePrompts", PromptOrigin.EXAMPLE
    return best_prompts(*(Prompt(text=prompt_text(text), origin=origin, source=source) for text in texts))


def details_training(details: object) -> Training:
    """Length, rank, resolution and purpose; the number of pictures is not among them."""
    fields = table(details)
    params = table(fields.get("params"))
    purpose = str(fields.get("type", ""))[:40].casefold()
    repeats = whole(params.get("numRepeats"))
    facts = {
        "steps": first((whole(params.get("targetSteps")), "targetSteps")),
        "epochs": first((whole(params.get("maxTrainEpochs")), "maxTrainEpochs")),
        "repeats": first((float(repeats) if repeats else None, "numRepeats")),
        "resolution": first((shorter_side(params.get("resolution")), "resolution")),
        "batch": first((whole(params.get("trainBatchSize")), "trainBatchSize")),
        "rank": first((whole(params.get("networkDim")), "networkDim")),
        "purpose": first((purpose if purpose in _PURPOSES else None, "type")),
    }
    return with_sources({name: fact for name, fact in facts.items() if fact}, "civitai trainingDetails ")
