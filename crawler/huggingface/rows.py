"""One row of the Hugging Face Hub's listing, parsed without asking the hub anything more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from crawler.checkpoint import (
    BaseClaim,
    Grade,
    Hub,
    Kind,
    Layout,
    Prompt,
    PromptOrigin,
    RemoteFile,
    Skip,
    SkipReason,
)
from crawler.evidence import families
from crawler.evidence.training_metadata import MAX_PROMPTS, clean
from crawler.huggingface.folder import INDEX, PICKLES, folder_files, weights_bytes
from crawler.source import opted_out

EXPAND = (
    "author", "baseModels", "cardData", "config", "disabled", "downloads", "gated", "lastModified",
    "pipeline_tag", "private", "sha", "siblings", "tags",
)  # fmt: skip
"""Fields of the listing. Without `expand` the hub leaves out `gated`, and a gated repository looks open."""
MAX_FILES = 50
"""Weights files of one repository that become checkpoints."""
_TASKS = (None, "text-to-image", "image-to-image")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
_SIDE_FOLDERS = (
    "unet",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "safety_checker",
    "image_encoder",
    "controlnet",
)
_ADAPTER_NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A repository that may hold checkpoints, as far as the listing tells."""

    repo: str
    revision: str
    adapter: bool
    """Whether the tags or the relation to the base say that it holds adapters."""
    pipeline: str | None
    """Class name of the diffusers pipeline."""
    claims: tuple[BaseClaim, ...]
    prompts: tuple[Prompt, ...]
    downloads: int | None
    updated_at: str | None

    def skip(
        self,
        reason: SkipReason,
        detail: str,
        *,
        path: str = "",
        kind: Kind | None = None,
        family: str | None = None,
    ) -> Skip:
        return _skip(self.repo, self.revision, reason, detail, path=path, kind=kind, family=family)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Weights that become a checkpoint as soon as kind and family are known."""

    path: str
    layout: Layout
    kind: Kind | None
    """None when only the header can tell."""
    files: tuple[RemoteFile, ...]


def read_row(row: Any, opt_out: Sequence[str]) -> Listed | Skip:
    """Check a row and leave out at once what needs no further request."""
    match row:
        case {"id": str(repo), "tags": [*tags]} if families.repo_name(repo) == repo:
            pass
        case _:
            name = row.get("id") if isinstance(row, dict) else None
            return _skip(str(name or "?")[:200], "", SkipReason.MALFORMED, "the row has no usable id or tags")
    revision = _text(row.get("sha")) or ""
    paths = [str(file.get("rfilename", "")) for file in _dicts(row.get("siblings"))]
    if reason := _refusal(row, repo, revision, opt_out) or _uselessness(row, paths):
        return _skip(repo, revision, *reason)
    pipeline = pipeline_class(row)
    family = families.family_of_pipeline(pipeline or "")
    if pipeline and pipeline not in families.AMBIGUOUS_PIPELINES and not families.scannable(family):
        detail = f"{family or 'no family that is known'}, by its {pipeline}"
        return _skip(repo, revision, SkipReason.UNSUPPORTED_FAMILY, detail, family=family or families.UNKNOWN)
    relation = _table(row.get("baseModels")).get("relation")
    return Listed(
        repo=repo,
        revision=revision,
        adapter="lora" in tags or relation == "adapter",
        pipeline=pipeline,
        claims=base_claims(row),
        prompts=prompts(row),
        downloads=row["downloads"] if isinstance(row.get("downloads"), int) else None,
        updated_at=_text(row.get("lastModified")),
    )


def pipeline_class(row: Mapping[str, Any]) -> str | None:
    """Class name of the repository's pipeline: from its config, else from its tags."""
    config = _table(_table(row.get("config")).get("diffusers"))
    named = config.get("_class_name") or config.get("class_name")
    tagged = (
        tag.removeprefix("diffusers:") for tag in _strings(row.get("tags")) if tag.startswith("diffusers:")
    )
    return _text(named) or next(tagged, None)


def base_claims(row: Mapping[str, Any]) -> tuple[BaseClaim, ...]:
    """Who says what about the base: the hub's relation, the card, the tags; each repository once."""
    card, config = _table(row.get("cardData")), _table(row.get("config"))
    named: list[tuple[Any, str]] = [
        (_table(config.get("peft")).get("base_model_name_or_path"), "adapter config")
    ]
    named += [
        (model.get("id"), "hub relation") for model in _dicts(_table(row.get("baseModels")).get("models"))
    ]
    named += [(text, "card") for text in _strings(card.get("base_model"))]
    tags = (tag.rsplit(":", 1)[-1] for tag in _strings(row.get("tags")) if tag.startswith("base_model:"))
    claims: dict[str, BaseClaim] = {}
    for text, source in [*named, *((tag, "tag") for tag in tags)]:
        if repo := families.repo_name(text):
            claim = BaseClaim(
                repo=repo, family=families.family_of_repo(repo), source=source, grade=Grade.DECLARED
            )
            claims.setdefault(repo.casefold(), claim)
    return tuple(claims.values())


def prompts(row: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """The card's instance_prompt, which training scripts fill in."""
    texts = filter(None, map(clean, _strings(_table(row.get("cardData")).get("instance_prompt"))))
    return tuple(Prompt(text=text, origin=PromptOrigin.INSTANCE_PROMPT) for text in texts)[:MAX_PROMPTS]


def candidates(
    listed: Listed, files: Mapping[str, RemoteFile], max_file_bytes: int
) -> Iterator[Candidate | Skip]:
    """Yield the weights of a repository: its pipeline folder, and every single file that is no copy of it.

    Args:
        files: the repository's files by path, with sizes and digests.
    """
    copy_bytes: float = float("inf")
    found = 0
    if INDEX in files:
        needed = folder_files(files)
        if isinstance(needed, SkipReason):
            yield listed.skip(needed, "a component of the pipeline has no .safetensors", kind=Kind.FULL)
        else:
            copy_bytes, found = weights_bytes(needed) / 2, 1
            yield _within(
                listed, Candidate(path="", layout=Layout.FOLDER, kind=Kind.FULL, files=needed), max_file_bytes
            )
    singles = [file for path, file in sorted(files.items()) if _is_single(path)]
    for file in singles[:MAX_FILES]:
        if (file.size or 0) < copy_bytes:
            found += 1
            yield _within(listed, _single(listed, file, files), max_file_bytes)
    if len(singles) > MAX_FILES:
        yield listed.skip(
            SkipReason.TOO_LARGE, f"{len(singles)} weights files; the first {MAX_FILES} are taken"
        )
    elif not found and INDEX not in files:
        yield listed.skip(SkipReason.NO_WEIGHTS, "only parts of a pipeline, no adapter and no whole model")


def _single(listed: Listed, file: RemoteFile, files: Mapping[str, RemoteFile]) -> Candidate | Skip:
    path = PurePosixPath(file.path)
    if "learned_embeds" in path.name:
        kind = Kind.TEXTUAL_INVERSION
        return listed.skip(
            SkipReason.UNSUPPORTED_KIND, "a textual inversion, by its name", path=file.path, kind=kind
        )
    adapter = listed.adapter or path.name in _ADAPTER_NAMES or "lora" in path.name.casefold()
    config = files.get(str(path.with_name("adapter_config.json")))
    beside = (config,) if config and path.name == "adapter_model.safetensors" else ()
    return Candidate(
        path=file.path, layout=Layout.FILE, kind=Kind.LORA if adapter else None, files=(file, *beside)
    )


def _within(listed: Listed, candidate: Candidate | Skip, max_file_bytes: int) -> Candidate | Skip:
    if isinstance(candidate, Skip):
        return candidate
    largest = max(file.size or 0 for file in candidate.files)
    if largest <= max_file_bytes:
        return candidate
    detail = f"{largest} bytes; crawler.max_file_bytes is {max_file_bytes}"
    return listed.skip(SkipReason.TOO_LARGE, detail, path=candidate.path, kind=candidate.kind)


def _is_single(path: str) -> bool:
    parts = PurePosixPath(path).parts
    side = len(parts) > 1 and parts[0] in _SIDE_FOLDERS and parts[-1] not in _ADAPTER_NAMES
    return path.endswith(".safetensors") and not side and not _SHARD.search(path)


def _refusal(
    row: Mapping[str, Any], repo: str, revision: str, opt_out: Sequence[str]
) -> tuple[SkipReason, str] | None:
    """Why the repository may not be touched, or None."""
    if opted_out(opt_out, repo, repo.split("/")[0]):
        return SkipReason.OPTED_OUT, "named in crawler.opt_out"
    if row.get("disabled"):
        return SkipReason.DISABLED, "disabled by the hub"
    if row.get("gated"):
        return (
            SkipReason.GATED,
            f"access has to be asked for ({row['gated']}); leaksweep accepts no terms for you",
        )
    if row.get("private") or not revision:
        return SkipReason.UNREACHABLE, "private" if row.get("private") else "the hub names no revision"
    return None


def _uselessness(row: Mapping[str, Any], paths: Sequence[str]) -> tuple[SkipReason, str] | None:
    """Why nothing in the repository can be scanned, or None."""
    task = _text(row.get("pipeline_tag"))
    if task not in _TASKS:
        return SkipReason.UNSUPPORTED_KIND, f"made for {task}"
    if not any(path.endswith(".safetensors") for path in paths):
        if any(path.endswith(PICKLES) for path in paths):
            return SkipReason.PICKLE_ONLY, "only pickles; a pickle can run code and is never loaded"
        return SkipReason.NO_WEIGHTS, "no .safetensors file"
    if _table(row.get("baseModels")).get("relation") == "quantized":
        return SkipReason.UNSUPPORTED_KIND, "a quantised copy"
    return None


def _skip(repo: str, revision: str, reason: SkipReason, detail: str, path: str = "", **known: Any) -> Skip:
    return Skip(
        hub=Hub.HUGGINGFACE, repo=repo, revision=revision, path=path, reason=reason, detail=detail, **known
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> list[str]:
    """The texts in a field that holds one text or a list of them."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
