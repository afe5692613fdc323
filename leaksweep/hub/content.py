"""What the local hub serves: frozen records of repositories and models, written down by hand or by the zoo.

What the hubs compute themselves (digests, sizes, commit hashes, object ids, tags and relations that follow
from the card) is computed from these records, so that the same content always gives the same answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Content = bytes | Path | Callable[[], bytes]
"""A file's bytes, or the place on disk they are read from, or what makes them, when they are served."""

EPOCH = "2024-01-01T00:00:00.000Z"
"""When everything was made that does not say when."""


class ContentError(ValueError):
    """A record that neither hub could hold."""


def milliseconds(iso: str) -> int:
    """Return a time, such as EPOCH, in milliseconds since 1970; UTC where it has no zone."""
    time = datetime.fromisoformat(iso)
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def files_in(folder: Path) -> dict[str, Content]:
    """Return every file under a folder by its path inside it, with forward slashes, hidden files left out."""
    names = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    hidden = {name for name in names if any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): path for name, path in names.items() if name not in hidden}


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepo:
    """A model repository on the Hugging Face Hub with one commit on one branch, main.

    Raises:
        ContentError: the id is not of the form owner/name, or a path could not be in a repository.
    """

    id: str
    files: Mapping[str, Content]
    """By path inside the repository. README.md is made from the card when it is not among them."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """The front matter of README.md: base_model, base_model_relation, instance_prompt, tags, license, ..."""
    tags: tuple[str, ...] = ()
    """Besides those that follow from the card, the library, the pipeline and the files."""
    pipeline_tag: str | None = "text-to-image"
    library_name: str | None = "diffusers"
    gated: Literal[False, "auto", "manual"] = False
    disabled: bool = False
    """Taken down by the hub: metadata is answered, files are not."""
    private: bool = False
    created_at: str = EPOCH
    """ISO 8601 with milliseconds and Z, as on the wire."""
    last_modified: str = EPOCH
    downloads: int = 0
    likes: int = 0
    trending_score: int = 0
    renamed_from: tuple[str, ...] = ()
    """Former ids, each answered with a redirect."""
    replaces: tuple[str, ...] = ()
    """Ids of other, vanished repositories, answered with a redirect to this one, whose `_id` differs."""
    object_id: str | None = None
    """The `_id`, 24 hex digits; made from the time of creation and the first id when it is not given."""
    sha: str | None = None
    """The commit, 40 hex digits; made from the files when it is not given."""
    former_shas: tuple[str, ...] = ()
    """Commits before the present one. Their files are answered with as those of the present one."""
    stated_sizes: Mapping[str, int] = field(default_factory=dict)
    """Path to the size in bytes that the hub states of it, where that is a lie."""
    stated_hashes: Mapping[str, str] = field(default_factory=dict)
    """Path to the SHA-256 that the hub states of it, where that is a lie."""
    scans_done: bool = True
    """Whether the hub's security scan has finished. An unfinished one lists no issues."""
    file_issues: Mapping[str, str] = field(default_factory=dict)
    """Path to the level the security scan gives it: "unsafe", "suspicious" or "caution"."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it is found by, its present id first."""
        return (self.id, *self.renamed_from, *self.replaces)

    def __post_init__(self) -> None:
        for name in self.names:
            owner, _, rest = name.partition("/")
            if not owner or not rest or "/" in rest:
                raise ContentError(f"{name!r} is no repository id; it must be of the form owner/name")
        for path in self.files:
            if path.startswith("/") or not path or ".." in path.split("/"):
                raise ContentError(f"{self.id}: {path!r} cannot be the path of a file in a repository")


@dataclass(frozen=True, slots=True, kw_only=True)
class CivitaiFile:
    """A file of a model version on Civitai."""

    id: int
    name: str
    content: Content
    type: str = "Model"
    """"Model", "Pruned Model", "VAE", "Training Data", "Config", "Negative", ..."""
    format: str = "SafeTensor"
    """"SafeTensor", "PickleTensor", "Diffusers", "Other", ..."""
    fp: str | None = "fp16"
    size: Literal["full", "pruned"] | None = None
    primary: bool = True
    """In lists the key is left out, not false, for a file that is not."""
    hashed: bool = True
    """False before the hub's scan: no hashes at all, and results that are pending."""
    pickle_scan: Literal["Pending", "Success", "Danger", "Error"] = "Success"


@dataclass(frozen=True, slots=True, kw_only=True)
class CivitaiVersion:
    """A version of a model on Civitai: what is downloaded."""

    id: int
    name: str
    base_model: str
    """A label such as "SD 1.5", picked by the author."""
    files: tuple[CivitaiFile, ...] = ()
    """A version without files appears in no list."""
    trained_words: tuple[str, ...] = ()
    published_at: str = EPOCH
    availability: Literal["Public", "Unsearchable", "Private", "EarlyAccess"] = "Public"
    status: Literal["Published", "Draft", "Unpublished"] = "Published"
    usage_control: Literal["Download", "Generation", "InternalGeneration"] = "Download"
    """Anything but "Download" refuses downloads."""
    nsfw_level: int = 1
    """Bit mask: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX; 0 is unrated and answers 404."""
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CivitaiModel:
    """A model on Civitai."""

    id: int
    name: str
    type: str
    """One of `leaksweep.hub.civitai_vocabulary.MODEL_TYPES`."""
    versions: tuple[CivitaiVersion, ...]
    """Newest first, as the hub lists them."""
    nsfw: bool = False
    nsfw_level: int = 1
    """Bit mask as of a version. Without the PG bit a model is listed only on demand; with 0 it never is."""
    poi: bool = False
    """Flagged as showing a real person: never listed, never downloadable."""
    minor: bool = False
    mode: Literal["Archived", "TakenDown"] | None = None
    availability: Literal["Public", "Unsearchable", "Private", "EarlyAccess"] = "Public"
    tags: tuple[str, ...] = ()
    creator: str | None = "someone"
    description: str | None = None
    downloads: int = 0
    thumbs_up: int = 0
    allow_commercial_use: tuple[str, ...] = ("Image", "RentCivit")

    @property
    def last_version_at(self) -> str:
        """When the newest published version came out: what Newest and Oldest sort by; no answer shows it."""
        return max((v.published_at for v in self.versions if v.status == "Published"), default=EPOCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubContent:
    """All that both hubs hold.

    Raises:
        ContentError: two repositories, models, versions or files share an id.
    """

    repos: tuple[HubRepo, ...] = ()
    civitai: tuple[CivitaiModel, ...] = ()

    def __post_init__(self) -> None:
        versions = [version for model in self.civitai for version in model.versions]
        ids: dict[str, list[str | int]] = {
            "repository": [name for repo in self.repos for name in repo.names],
            "Civitai model": [model.id for model in self.civitai],
            "Civitai version": [version.id for version in versions],
            "Civitai file": [file.id for version in versions for file in version.files],
        }
        for what, names in ids.items():
            for name, count in Counter(names).items():
                if count > 1:
                    raise ContentError(f"{what} id {name} is used {count} times; give each its own")
