"""What training tools write into a header of the model that they loaded.

Each source says less than it seems to. kohya's `ss_new_sd_model_hash` is the SHA-256 of the file, or that
of nothing when it could not be read. `ss_sd_model_name` is a file's name, a repository or a path as it was
typed; Civitai's on-site trainer writes the version's id there ("290640.safetensors"). ai-toolkit says
"sd_1.5" of every architecture that it has no name for. OneTrainer's base stands in its config only. Merging
tools copy it all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from crawler.evidence import families
from crawler.evidence.claims import BaseClaim, Grade
from crawler.evidence.plain_text import clean, table, without_folders

EMPTY_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing, which tools record when they could not read the base."""
MAX_DETAIL = 200
"""Characters of what was read that are kept with a claim."""
_VERSION_FILE = re.compile(r"([1-9]\d{2,9})\.safetensors")
"""What the on-site trainer calls the base: the version's id on Civitai."""
_WORDS = (
    (re.compile(r"chroma", re.I), "chroma"),
    (re.compile(r"flux[._ -]?2", re.I), "flux2"),
    (re.compile(r"flux[._ -]?1", re.I), "flux"),
    (re.compile(r"sd[_ -]?xl", re.I), "sdxl"),
    (re.compile(r"(?<![a-z])(pony|illustrious|noobai)", re.I), "sdxl"),
    (re.compile(r"qwen[_ -]?image", re.I), "qwen-image"),
    (re.compile(r"z[_ -]?image", re.I), "z-image"),
    (re.compile(r"(stable diffusion |sd[_ -]?v?)1[._]?[45](?!\d)", re.I), "sd1"),
    (re.compile(r"(stable diffusion |sd[_ -]?v?)2[._]?[01](?!\d)", re.I), "sd2"),
)
"""Words of titles that name a family."""


def base_digest(metadata: Mapping[str, Any]) -> str | None:
    """SHA-256 of the base that the training tool loaded, to be looked up; None when it recorded none."""
    digest = str(metadata.get("ss_new_sd_model_hash", ""))[:100].strip().lower()
    return digest if re.fullmatch(r"[0-9a-f]{64}", digest) and digest != EMPTY_DIGEST else None


def family(metadata: Mapping[str, Any]) -> str | None:
    """The family that the metadata names; None when it names none, or only by default."""
    claim = next(_family_labels(metadata), None)
    return claim.family if claim else None


def base_claims(metadata: Mapping[str, Any], base_models: Mapping[str, str]) -> tuple[BaseClaim, ...]:
    """Every statement about the base, best first.

    Args:
        base_models: the operator's own bases by digest or label (see `families.base_of_digest`).
    """
    claims: list[BaseClaim] = []
    if digest := base_digest(metadata):
        repo = families.base_of_digest(digest, base_models)
        known = families.family_of_repo(repo) if repo else None
        claims.append(_claim(repo, known, "header digest", Grade.DIGEST, digest, digest=digest))
    claims += _loaded(metadata)
    claims += _family_labels(metadata)
    claims += _words(metadata)
    return tuple(claims)


def _loaded(metadata: Mapping[str, Any]) -> Iterator[BaseClaim]:
    """Yield what the tools say that they loaded: a repository, a version on Civitai, a known file's name."""
    config = table(metadata.get("ot_config"))
    adapter = table(metadata.get("lora_adapter_metadata"))
    nested = (adapter[key] for key in adapter if key.rsplit(".", 1)[-1] == "base_model_name_or_path")
    sources: list[tuple[str, object]] = [
        ("header model name", metadata.get("ss_sd_model_name")),
        ("header ot_config", config.get("base_model_name")),
        *(("header adapter metadata", text) for text in nested),
    ]
    for source, text in sources:
        if not isinstance(text, str):
            continue
        name = without_folders(text[:1000].strip())
        if repo := families.repo_name(name):
            yield _claim(repo, families.family_of_repo(repo), source, Grade.LOADED, name)
        elif version := _VERSION_FILE.fullmatch(name):
            yield _claim(None, None, source, Grade.LOADED, name, civitai_version=version[1])
        elif repo := families.base_of_file_name(name):
            yield _claim(repo, families.family_of_repo(repo), source, Grade.DECLARED, name)


def _family_labels(metadata: Mapping[str, Any]) -> Iterator[BaseClaim]:
    """Yield what the tools say of the family, without the defaults that they fall back to."""
    version = str(metadata.get("ss_base_model_version", ""))[:200]
    if "ai-toolkit" in str(metadata.get("software", ""))[:1000] and version == "sd_1.5":
        version = ""
    elif not version and "ss_v2" in metadata:
        # Written before there was SDXL, when two was the only other version.
        version = "sd_v2" if metadata["ss_v2"] == "True" else "sd_v1"
    architecture = str(metadata.get("modelspec.architecture", ""))[:200]
    model_type = str(table(metadata.get("ot_config")).get("model_type", ""))[:200]
    for source, text, found in (
        ("header base version", version, families.family_of_kohya(version)),
        ("header architecture", architecture, families.family_of_modelspec(architecture)),
        ("header model type", model_type, families.family_of_onetrainer(model_type)),
    ):
        if found:
            yield _claim(None, found, source, Grade.LABEL, text)


def _words(metadata: Mapping[str, Any]) -> Iterator[BaseClaim]:
    """Yield the families that title and author of the model metadata standard name, and no other one."""
    for key in ("modelspec.title", "modelspec.author"):
        text = str(metadata.get(key, ""))[:1000]
        found = {name for words, name in _WORDS if words.search(text)}
        if len(found) == 1:
            yield _claim(None, found.pop(), f"header {key}", Grade.NAME, without_folders(text))


def _claim(
    repo: str | None, family: str | None, source: str, grade: Grade, detail: str, **named: str
) -> BaseClaim:
    return BaseClaim(
        repo=repo, family=family, source=source, grade=grade, detail=clean(detail, MAX_DETAIL), **named
    )
