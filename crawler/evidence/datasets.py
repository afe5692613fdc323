"""The training set as kohya's sd-scripts count it in a header: folders, pictures, repeats, tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crawler.evidence.plain_text import parsed, table, whole

MAX_FOLDERS = 10_000
MAX_TAGS = 200_000
"""Of all folders together; what is beyond is not read. Real headers hold some thousands."""


@dataclass(slots=True, kw_only=True)
class Folder:
    """One folder of training pictures; regularisation folders are never among them."""

    pictures: int = 0
    """Distinct ones; 0 when the header does not tell."""
    repeats: int | None = None
    """How often one epoch shows each."""
    tags: dict[str, int] = field(default_factory=dict)
    """How many captions hold each tag. Whole captions where they have no commas."""

    @property
    def dummy(self) -> bool:
        """Whether its tags stand for no caption.

        Some tools write one tag counted once, so that user interfaces show a trigger word.
        """
        return self.pictures == 0 and list(self.tags.values()) == [1]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """All that a header tells of the pictures."""

    folders: Mapping[str, Folder]
    """By name, without the path."""
    counted_in: str
    """The key that the pictures were counted under; "" when they were not."""
    tags_in: str
    resolution: Any = None

    @property
    def pictures(self) -> int | None:
        """N_0: `img_count` over all folders. `ss_num_train_images` counts repeats, and is never used."""
        return sum(folder.pictures for folder in self.folders.values()) or None

    @property
    def repeats(self) -> float | None:
        """Average over the pictures."""
        known = [folder for folder in self.folders.values() if folder.repeats and folder.pictures]
        shown = sum(folder.pictures * (folder.repeats or 0) for folder in known)
        return round(shown / sum(folder.pictures for folder in known), 3) if known else None


def read_dataset(metadata: Mapping[str, Any]) -> DataSet:
    """Read `ss_dataset_dirs` and `ss_tag_frequency`, or `ss_datasets` of runs with a config file."""
    datasets = _dicts(parsed(metadata.get("ss_datasets")))
    subsets = [subset for dataset in datasets for subset in _dicts(dataset.get("subsets"))]
    regular = {base_name(name) for name in table(metadata.get("ss_reg_dataset_dirs"))}
    regular |= {base_name(subset.get("image_dir")) for subset in subsets if subset.get("is_reg")}
    folders: dict[str, Folder] = {}
    counted = "ss_dataset_dirs"
    for name, entry in table(metadata.get(counted)).items():
        if base_name(name) not in regular and isinstance(entry, dict):
            _add(folders, base_name(name), entry.get("img_count"), entry.get("n_repeats"))
    if not folders:
        counted = "ss_datasets"
        for subset in subsets:
            if not subset.get("is_reg"):
                name = base_name(subset.get("image_dir"))
                _add(folders, name, subset.get("img_count"), subset.get("num_repeats"))
    told = any(folder.pictures for folder in folders.values())
    tags_in = _add_tags(folders, metadata, datasets, regular)
    resolution = next((dataset["resolution"] for dataset in datasets if dataset.get("resolution")), None)
    return DataSet(
        folders=folders, counted_in=counted if told else "", tags_in=tags_in, resolution=resolution
    )


def base_name(folder: object) -> str:
    """The last part of a folder's path: what is before it says nothing of the pictures."""
    return str(folder or "")[-1000:].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def class_words(folder: str) -> str:
    """The caption that a folder's name is: "sks dog" of "10_sks dog"; "" of a name that is none."""
    words = re.sub(r"^\d+_", "", folder).replace("_", " ").strip()
    return "" if words.casefold() in _NAMELESS or words == folder else words


_NAMELESS = {"img", "image", "images", "total", "train", "dataset", "data", "trigger"}
"""Folder names that are no class words."""


def _add(folders: dict[str, Folder], name: str, pictures: object, repeats: object) -> None:
    if len(folders) < MAX_FOLDERS:
        folder = folders.setdefault(name, Folder())
        folder.pictures += whole(pictures) or 0
        folder.repeats = whole(repeats) or folder.repeats


def _add_tags(
    folders: dict[str, Folder],
    metadata: Mapping[str, Any],
    datasets: list[Mapping[str, Any]],
    regular: set[str],
) -> str:
    """Count tags into the folders; returns the key that they stood under."""
    tables, key = [table(metadata.get("ss_tag_frequency"))], "ss_tag_frequency"
    if not tables[0]:
        tables, key = [table(dataset.get("tag_frequency")) for dataset in datasets], "ss_datasets"
    left, found = MAX_TAGS, False
    for name, tags in ((name, tags) for one in tables for name, tags in one.items()):
        name = base_name(name)
        if name in regular or not isinstance(tags, dict) or len(folders) >= MAX_FOLDERS:
            continue
        counts = folders.setdefault(name, Folder()).tags
        for tag, number in _counted(tags):
            if left <= 0:
                return key
            left, found = left - 1, True
            counts[tag] = counts.get(tag, 0) + number
    return key if found else ""


def _counted(tags: Mapping[Any, Any]) -> Iterator[tuple[str, int]]:
    """Yield tags with their counts. Older versions kept the space before a tag."""
    for tag, count in tags.items():
        if (number := whole(count)) and (name := str(tag).strip()):
            yield name, number


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
