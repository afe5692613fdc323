"""A repository as the Hugging Face API writes it down: list rows, model info, tree entries, scan verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Any

from huggingface_hub import ModelCardData

from leaksweep.hub.blob import Blob
from leaksweep.hub.content import HubRepo

Json = dict[str, Any]

EXPANDABLE = (
    "author", "baseModels", "cardData", "childrenModelCount", "config", "createdAt", "disabled", "downloads",
    "downloadsAllTime", "evalResults", "gated", "gguf", "inference", "inferenceProviderMapping",
    "lastModified", "library_name", "likes", "mask_token", "model-index", "pipeline_tag", "private",
    "resourceGroup", "safetensors", "sha", "siblings", "spaces", "tags", "transformersInfo", "trendingScore",
    "usedStorage", "widgetData", "xetEnabled",
)  # fmt: skip
"""Names that `expand` accepts; any other makes the whole request a 400."""

LIST_FIELDS = (
    "likes", "trendingScore", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt",
    "modelId",
)  # fmt: skip
"""What a list row holds when nothing is asked for: notably neither gated nor sha."""

FULL_FIELDS = (*LIST_FIELDS, "author", "sha", "lastModified", "gated", "disabled", "siblings")

INFO_FIELDS = (
    "private", "pipeline_tag", "library_name", "tags", "downloads", "likes", "modelId", "author", "sha",
    "lastModified", "gated", "disabled", "model-index", "config", "cardData", "siblings", "spaces",
    "createdAt", "usedStorage",
)  # fmt: skip

_PICKLE_SUFFIXES = {".ckpt", ".bin", ".pt", ".pth"}
_LARGE = 10 * 1024 * 1024
_LFS_SUFFIXES = {".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".onnx", ".gguf", ".h5", ".npz", ".zip"}


class Served:
    """A repository with all that the hub computes of it."""

    def __init__(self, repo: HubRepo) -> None:
        self.repo = repo

    @cached_property
    def blobs(self) -> Mapping[str, Blob]:
        """Every file by its path, sorted."""
        readme = partial(_readme, self.repo.card)
        return {path: Blob(self.repo.files.get(path, readme)) for path in self.paths}

    @cached_property
    def paths(self) -> list[str]:
        """Every file's path, sorted. The README is there when there is a card."""
        files = self.repo.files
        return sorted({*files, "README.md"} if self.repo.card else files)

    @cached_property
    def object_id(self) -> str:
        """24 hex digits that outlive a rename: the time of creation, then a hash, as MongoDB makes them."""
        if self.repo.object_id:
            return self.repo.object_id
        seconds = int(datetime.fromisoformat(self.repo.created_at).timestamp())
        first_id = (*self.repo.renamed_from, self.repo.id)[0]
        return f"{seconds:08x}{hashlib.sha256(first_id.encode()).hexdigest()[:16]}"

    @cached_property
    def sha(self) -> str:
        """The commit: 40 hex digits that change when any file does."""
        if self.repo.sha:
            return self.repo.sha
        names = (f"{path} {self.oid(path)}\n" for path in self.blobs)
        return hashlib.sha1("".join([self.repo.id, "\n", *names]).encode(), usedforsecurity=False).hexdigest()

    @property
    def revisions(self) -> tuple[str, ...]:
        """What names a commit."""
        return ("main", self.sha, *self.repo.former_shas)

    @cached_property
    def class_name(self) -> str | None:
        """The pipeline's class, from model_index.json."""
        content = self.repo.files.get("model_index.json")
        return None if content is None else json.loads(Blob(content).read()).get("_class_name")

    @property
    def declared_bases(self) -> tuple[str, ...]:
        """What the card calls the base models, unchecked."""
        declared = self.repo.card.get("base_model") or ()
        return (declared,) if isinstance(declared, str) else tuple(declared)

    @property
    def relation(self) -> str:
        """How the repository stands to its bases: as the card says, else inferred from the tags."""
        inferred = "adapter" if "lora" in self._own_tags or self.repo.library_name == "peft" else "finetune"
        return str(self.repo.card.get("base_model_relation") or inferred)

    @cached_property
    def tags(self) -> list[str]:
        """All tags, in the hub's order, each once."""
        repo, weights = self.repo, any(path.endswith(".safetensors") for path in self.paths)
        tags = [repo.library_name, "safetensors" if weights else None, *self._own_tags, repo.pipeline_tag]
        for base in self.declared_bases:
            tags += [f"base_model:{base}", f"base_model:{self.relation}:{base}"]
        tags.append(f"license:{repo.card['license']}" if "license" in repo.card else None)
        tags += [f"diffusers:{self.class_name}" if self.class_name else None, "region:us"]
        return list(dict.fromkeys(tag for tag in tags if tag))

    @property
    def _own_tags(self) -> tuple[str, ...]:
        return (*self.repo.tags, *self.repo.card.get("tags", ()))

    def size(self, path: str) -> int:
        """Bytes of a file, as the hub states them."""
        return self.repo.stated_sizes.get(path, self.blobs[path].size)

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, as the hub states it."""
        return self.repo.stated_hashes.get(path) or self.blobs[path].sha256

    def is_lfs(self, path: str) -> bool:
        """Tell whether git keeps only a pointer to this file."""
        return PurePosixPath(path).suffix in _LFS_SUFFIXES or self.size(path) > _LARGE

    def oid(self, path: str) -> str:
        """Return a file's git object id: that of its pointer for a large file."""
        blob = self.blobs[path]
        return blob.lfs_oid if self.is_lfs(path) else blob.git_oid

    def siblings(self, *, blobs: bool) -> list[Json]:
        """Return the files as model info lists them, with sizes and digests if `blobs`."""
        rows: list[Json] = [{"rfilename": path} for path in self.paths]
        for row in rows if blobs else ():
            path = row["rfilename"]
            row |= {"blobId": self.oid(path), "size": self.size(path)}
            if self.is_lfs(path):
                row["lfs"] = {"sha256": self.sha256(path), **self._pointer(path)}
        return rows

    def entries(self, folder: str = "", *, recursive: bool, expand: bool) -> list[Json]:
        """Return the tree entries under a folder, none when there is no such folder."""
        prefix = f"{folder}/" if folder else ""
        rows: dict[str, Json] = {}
        for path in self.blobs:
            if path.startswith(prefix):
                inside = path.removeprefix(prefix).split("/")
                parents = [prefix + "/".join(inside[:depth]) for depth in range(1, len(inside))]
                for parent in parents if recursive else parents[:1]:
                    rows.setdefault(parent, self._directory(parent))
                if recursive or not parents:
                    rows[path] = self._file(path, expand=expand)
        return list(rows.values())

    def entry(self, path: str, *, expand: bool) -> Json | None:
        """Return one tree entry; None when nothing has this path."""
        if path not in self.blobs:
            return self._directory(path) if any(name.startswith(f"{path}/") for name in self.blobs) else None
        return self._file(path, expand=expand)

    def _file(self, path: str, *, expand: bool) -> Json:
        row: Json = {"type": "file", "oid": self.oid(path), "size": self.size(path), "path": path}
        if self.is_lfs(path):
            row["lfs"] = {"oid": self.sha256(path), **self._pointer(path)}
        if expand:
            row["lastCommit"] = {"id": self.sha, "title": "Upload", "date": self.repo.last_modified}
            row["securityFileStatus"] = self._security(path)
        return row

    def _pointer(self, path: str) -> Json:
        return {"size": self.size(path), "pointerSize": len(self.blobs[path].lfs_pointer)}

    def _directory(self, path: str) -> Json:
        inside = (f"{name} {self.oid(name)}\n" for name in self.blobs if name.startswith(f"{path}/"))
        oid = hashlib.sha1("".join(inside).encode(), usedforsecurity=False).hexdigest()
        return {"type": "directory", "oid": oid, "size": 0, "path": path}

    def _security(self, path: str) -> Json:
        level = self.repo.file_issues.get(path, "safe") if self.repo.scans_done else "unscanned"
        pickled = PurePosixPath(path).suffix in _PICKLE_SUFFIXES
        return {
            "status": level,
            "avScan": {"status": level, "virusFound": False, "virusNames": None},
            "pickleImportScan": {"status": level, "pickleImports": []} if pickled else None,
        }

    def scan(self) -> Json:
        """Return the security scan's verdict. Unfinished, it lists nothing, which does not mean clean."""
        issues = self.repo.file_issues if self.repo.scans_done else {}
        found = [{"path": path, "level": level} for path, level in issues.items()]
        return {"scansDone": self.repo.scans_done, "filesWithIssues": found}


Find = Callable[[str], Served | None]
_ABSENT = object()
"""In place of a value, where the hub leaves a field out of its answer."""

_FIELDS: Mapping[str, Callable[[Served], Any]] = {
    "author": lambda served: served.repo.id.partition("/")[0],
    "modelId": lambda served: served.repo.id,
    "sha": lambda served: served.sha,
    "lastModified": lambda served: served.repo.last_modified,
    "createdAt": lambda served: served.repo.created_at,
    "private": lambda served: served.repo.private,
    "gated": lambda served: served.repo.gated,
    "disabled": lambda served: served.repo.disabled,
    "downloads": lambda served: served.repo.downloads,
    "downloadsAllTime": lambda served: served.repo.downloads,
    "likes": lambda served: served.repo.likes,
    "trendingScore": lambda served: served.repo.trending_score,
    "tags": lambda served: served.tags,
    "library_name": lambda served: served.repo.library_name or _ABSENT,
    "pipeline_tag": lambda served: served.repo.pipeline_tag or _ABSENT,
    "cardData": lambda served: dict(served.repo.card) or _ABSENT,
    "config": lambda served: (
        {"diffusers": {"_class_name": served.class_name}} if served.class_name else _ABSENT
    ),
    "siblings": lambda served: served.siblings(blobs=False),
    "usedStorage": lambda served: sum(blob.size for blob in served.blobs.values()),
    "model-index": lambda served: None,
    "spaces": lambda served: [],
}


def row(served: Served, fields: Iterable[str], find: Find, *, blobs: bool = False) -> Json:
    """Return `_id`, `id` and the named fields; a field without a value is left out.

    Args:
        find: the repository that has, or had, a name: to resolve `baseModels` with.
        blobs: list files with their sizes and digests.
    """
    values: Json = {"_id": served.object_id, "id": served.repo.id}
    for name in fields:
        if (read := _FIELDS.get(name)) is not None:
            if (value := read(served)) is not _ABSENT:
                values[name] = value
        elif name == "baseModels" and (known := list(filter(None, map(find, served.declared_bases)))):
            models = [{"_id": base.object_id, "id": base.repo.id} for base in known]
            values[name] = {"relation": served.relation, "models": models}
    if blobs and "siblings" in values:
        values["siblings"] = served.siblings(blobs=True)
    return values


def _readme(card: Mapping[str, Any]) -> bytes:
    text = ModelCardData(ignore_metadata_errors=True, **card).to_yaml()
    return f"---\n{text}\n---\n".encode()
