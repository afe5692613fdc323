"""What training tools write into a header: the base model, the captions, the size of the training set.

kohya's sd-scripts (`ss_*`, library/train_util.py), the model metadata standard (`modelspec.*`), OneTrainer
(`ot_config`) and ai-toolkit (`software`, `training_info`). All of it is text from strangers, copied from
file to file by merging tools: evidence, never instructions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from crawler.checkpoint import BaseClaim, Grade, Prompt, PromptOrigin, Training
from crawler.evidence import families

MAX_PROMPTS = 5
MAX_PROMPT_LENGTH = 500
"""Characters; a caption that is longer is cut, as every tokenizer would."""
_EMPTY_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing, which tools record when they could not read the base."""
_NAMELESS = {"img", "image", "images", "total", "train", "dataset", "data"}
"""Folder names that are no class words."""


def base_digest(metadata: Mapping[str, Any]) -> str | None:
    """SHA-256 of the base that the training tool loaded, to be looked up; None when it recorded none."""
    digest = str(metadata.get("ss_new_sd_model_hash", "")).lower()
    return digest if re.fullmatch(r"[0-9a-f]{64}", digest) and digest != _EMPTY_DIGEST else None


def family(metadata: Mapping[str, Any]) -> str | None:
    """The family that the metadata names; None when it names none, or only by default."""
    version = str(metadata.get("ss_base_model_version", ""))
    # ai-toolkit writes "sd_1.5" for every architecture it has no name for.
    if "ai-toolkit" in str(metadata.get("software", "")) and version == "sd_1.5":
        version = ""
    elif not version and "ss_v2" in metadata:
        # Written before there was SDXL, when two was the only other version.
        version = "sd_v2" if metadata["ss_v2"] == "True" else "sd_v1"
    architecture = str(metadata.get("modelspec.architecture", ""))
    model_type = str(_decoded(metadata, "ot_config").get("model_type", ""))
    return (
        families.family_of_kohya(version)
        or families.family_of_modelspec(architecture)
        or families.family_of_onetrainer(model_type)
    )


def base_claims(metadata: Mapping[str, Any], base_models: Mapping[str, str]) -> tuple[BaseClaim, ...]:
    """Every statement about the base, best first.

    Args:
        base_models: the operator's own bases by digest or label (see `families.base_of_digest`).
    """
    claims = []
    digest, named = base_digest(metadata), family(metadata)
    if digest and (repo := families.base_of_digest(digest, base_models)):
        claims.append(_claim(repo, families.family_of_repo(repo) or named, "header digest", Grade.DIGEST))
    loaded = metadata.get("ss_sd_model_name") or _decoded(metadata, "ot_config").get("base_model_name") or ""
    if repo := families.repo_name(loaded):
        known = families.family_of_repo(repo) or named
        claims.append(_claim(repo, known, "header model name", Grade.DECLARED))
    elif repo := families.base_of_file_name(str(loaded)):
        claims.append(_claim(repo, families.family_of_repo(repo), "header model name", Grade.LABEL))
    if named:
        claims.append(_claim(None, named, "header base version", Grade.LABEL))
    return tuple(claims)


def _claim(repo: str | None, family: str | None, source: str, grade: Grade) -> BaseClaim:
    return BaseClaim(repo=repo, family=family, source=source, grade=grade)


def training(metadata: Mapping[str, Any]) -> Training:
    """Size and length of the training. `ss_num_train_images` counts repeats, so that it is not used."""
    images = sum(_image_counts(metadata).values()) or None
    info = _decoded(metadata, "training_info")
    steps = _whole(metadata.get("ss_steps")) or _whole(metadata.get("ss_max_train_steps"))
    size = metadata.get("ss_resolution") or metadata.get("modelspec.resolution") or ""
    resolution = min((int(side[:6]) for side in re.findall(r"\d+", str(size))), default=0) or None
    accumulated = _whole(metadata.get("ss_gradient_accumulation_steps")) or 1
    each = _whole(metadata.get("ss_total_batch_size")) or _whole(metadata.get("ss_batch_size_per_device"))
    known = Training(
        images=images,
        steps=steps or _whole(info.get("step")),
        resolution=resolution,
        batch=each * accumulated if each else None,
        rank=_whole(metadata.get("ss_network_dim")),
    )
    return known


def prompts(metadata: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """Captions, most frequent first.

    kohya splits captions at commas before it counts them, so that a caption without commas is there as a
    whole. Of others only the tags are known: those that most pictures have stand for the caption. Last come
    the class words of the folders, such as "sks dog" of "10_sks dog", the caption where there is none.
    """
    counts, texts = _image_counts(metadata), []
    for folder, tags in _tag_tables(metadata).items():
        pictures = counts.get(folder, 0)
        if pictures == 0 and list(tags.values()) == [1]:
            continue  # Some tools write such a table so that user interfaces show a trigger word.
        ordered = sorted(tags, key=lambda tag: -tags[tag])
        if _whole_captions(tags, pictures):
            texts += ordered
        else:
            frequent = [tag for tag in ordered if tags[tag] * 2 >= (pictures or tags[ordered[0]])]
            texts.append(", ".join((frequent or ordered)[:10]))
    texts += filter(None, map(_class_words, counts))
    unique = dict.fromkeys(filter(None, map(clean, texts)))
    return tuple(Prompt(text=text, origin=PromptOrigin.KOHYA_TAGS) for text in list(unique)[:MAX_PROMPTS])


def clean(text: str) -> str:
    """One line of printable text, at most `MAX_PROMPT_LENGTH` characters."""
    line = " ".join(text.split())
    return "".join(letter for letter in line if letter.isprintable())[:MAX_PROMPT_LENGTH].strip()


def _whole_captions(tags: Mapping[str, int], pictures: int) -> bool:
    """Whether a picture has one entry at most, or, if their number is unknown, the entries are sentences."""
    if pictures:
        return sum(tags.values()) <= pictures
    return sum(len(tag.split()) for tag in tags) >= 5 * len(tags)


def _class_words(folder: str) -> str:
    words = re.sub(r"^\d+_", "", folder).replace("_", " ").strip()
    return "" if words.casefold() in _NAMELESS or words == folder else words


def _datasets(metadata: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = metadata.get("ss_datasets")
    if isinstance(found, str):
        found = _json(found)
    for dataset in found if isinstance(found, list) else ():
        if isinstance(dataset, dict):
            yield dataset


def _subsets(metadata: Mapping[str, Any], *, regularising: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for dataset in _datasets(metadata):
        subsets = dataset.get("subsets")
        for subset in subsets if isinstance(subsets, list) else ():
            if isinstance(subset, dict) and bool(subset.get("is_reg")) is regularising:
                yield str(subset.get("image_dir") or ""), subset


def _image_counts(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Distinct pictures by folder; regularisation folders are left out."""
    folders = _decoded(metadata, "ss_dataset_dirs")
    counts = {
        folder: _whole(entry.get("img_count")) or 0
        for folder, entry in folders.items()
        if isinstance(entry, dict)
    }
    if not counts:
        for folder, subset in _subsets(metadata, regularising=False):
            counts[folder] = counts.get(folder, 0) + (_whole(subset.get("img_count")) or 0)
    return counts


def _tag_tables(metadata: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Counted tags by folder, regularisation folders left out. Older versions kept the space before a tag."""
    raw: dict[str, Any] = dict(_decoded(metadata, "ss_tag_frequency"))
    for dataset in () if raw else _datasets(metadata):
        tables = dataset.get("tag_frequency")
        raw |= tables if isinstance(tables, dict) else {}
    regular = set(_decoded(metadata, "ss_reg_dataset_dirs"))
    regular |= {folder for folder, _ in _subsets(metadata, regularising=True)}
    tables = {}
    for folder, table in raw.items():
        if folder in regular or not isinstance(table, dict):
            continue
        tags: dict[str, int] = {}
        for tag, count in table.items():
            if (number := _whole(count)) and (name := str(tag).strip()):
                tags[name] = tags.get(name, 0) + number
        if tags:
            tables[folder] = tags
    return tables


def _decoded(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table kept as JSON text, or decoded, as metadata viewers store it; empty when it is neither."""
    value = metadata.get(key)
    if isinstance(value, str):
        value = _json(value)
    return value if isinstance(value, dict) else {}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _whole(value: Any) -> int | None:
    """A positive whole number, as such or as text; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value).strip() if isinstance(value, str) or abs(value) < 2**53 else ""
    return int(text) or None if re.fullmatch(r"\d{1,15}", text) else None
