"""A model of Civitai's listing, parsed without asking the hub anything more: one row for each version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crawler.checkpoint import (
    BaseClaim,
    Checkpoint,
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
from crawler.settings import CrawlerSettings
from crawler.source import opted_out

KINDS = {
    "Checkpoint": Kind.FULL,
    "LORA": Kind.LORA,
    "LoCon": Kind.LORA,
    "DoRA": Kind.DORA,
    "TextualInversion": Kind.TEXTUAL_INVERSION,
}
"""By model type. LoCon is what the site calls any LyCORIS file: only its header tells which it is."""
_WEIGHTS = ("Model", "Pruned Model")
"""File types that are weights. "Training Data" is never touched: it is the pictures themselves."""
_MODES = {"Archived": SkipReason.ARCHIVED, "TakenDown": SkipReason.TAKEN_DOWN}


@dataclass(frozen=True, slots=True)
class _Version:
    """A version with the model that it belongs to."""

    model: Mapping[str, Any]
    version: Mapping[str, Any]

    def skip(self, reason: SkipReason, detail: str, **known: Any) -> Skip:
        kind = KINDS.get(str(self.model.get("type")))
        revision = str(self.version.get("id", ""))
        return _skip(str(self.model.get("id", "?")), revision, reason, detail, kind=kind, **known)


def read_model(model: Any, settings: CrawlerSettings, url: str, now: datetime) -> Iterator[Checkpoint | Skip]:
    """Yield a row for each version; what holds for the whole model is one skip when it has no versions.

    Args:
        url: where downloads are, without a slash at the end.
        now: time of the crawl, for early access.
    """
    if not isinstance(model, dict) or not _is_id(model.get("id")):
        yield _skip(_name(model), "", SkipReason.MALFORMED, "the model has no id")
        return
    versions = model.get("modelVersions")
    if not isinstance(versions, list):
        yield _skip(_name(model), "", SkipReason.MALFORMED, "the model has no list of versions")
        return
    for version in versions:
        if not isinstance(version, dict) or not _is_id(version.get("id")):
            yield _skip(_name(model), "", SkipReason.MALFORMED, "a version has no id")
        else:
            yield _row(_Version(model, version), settings, url, now)
    if not versions:
        refused = _refusal(_Version(model, {}), settings, now)
        yield refused or _skip(_name(model), "", SkipReason.NO_WEIGHTS, "the model has no versions")


def _row(one: _Version, settings: CrawlerSettings, url: str, now: datetime) -> Checkpoint | Skip:
    if refused := _refusal(one, settings, now) or _unsupported(one):
        return refused
    chosen = _weights(one)
    if isinstance(chosen, Skip):
        return chosen
    file = _remote(chosen, one.version["id"], url)
    if file.size and file.size > settings.max_file_bytes:
        detail = f"{file.size} bytes; crawler.max_file_bytes is {settings.max_file_bytes}"
        return one.skip(SkipReason.TOO_LARGE, detail, path=file.path)
    if file.sha256 and families.base_of_digest(file.sha256, {}):
        return one.skip(SkipReason.BASE_MODEL, "a base model itself, by its digest", path=file.path)
    label = str(one.version.get("baseModel", ""))
    base = families.base_of_label(label, settings.base_models)
    family = families.family_of_label(label)
    claim = BaseClaim(repo=base, family=family, source=f"civitai baseModel {label!r}", grade=Grade.LABEL)
    return Checkpoint(
        hub=Hub.CIVITAI,
        repo=str(one.model["id"]),
        revision=str(one.version["id"]),
        path=file.path,
        kind=KINDS[one.model["type"]],
        layout=Layout.FILE,
        family=family,
        files=(file,),
        claims=(claim,),
        prompts=prompts(one.version),
        title=clean(f"{one.model.get('name', '')} {one.version.get('name', '')}"),
        downloads=_downloads(one),
        updated_at=one.version.get("publishedAt") or one.version.get("updatedAt"),
    )


def prompts(version: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """The trigger words: together, as most authors use them, then one by one."""
    words = version.get("trainedWords")
    listed = (
        [clean(word).strip(" ,") for word in words if isinstance(word, str)]
        if isinstance(words, list)
        else []
    )
    found = list(filter(None, listed))
    texts = dict.fromkeys([clean(", ".join(found)), *found] if found else [])
    return tuple(Prompt(text=text, origin=PromptOrigin.TRIGGER_WORDS) for text in texts)[:MAX_PROMPTS]


def _refusal(one: _Version, settings: CrawlerSettings, now: datetime) -> Skip | None:
    """Why the version may not be touched, or None."""
    creator = one.model.get("creator")
    owner = str(creator.get("username", "")) if isinstance(creator, dict) else ""
    if opted_out(settings.opt_out, _name(one.model), owner):
        return one.skip(SkipReason.OPTED_OUT, "named in crawler.opt_out")
    mode = one.model.get("mode")
    if mode in _MODES:
        return one.skip(_MODES[mode], f"the hub says {mode}")
    if one.model.get("poi"):
        return one.skip(
            SkipReason.UNREACHABLE, "marked as showing a real person; the hub refuses its download"
        )
    deadline = _time(one.version.get("earlyAccessDeadline"))
    early = one.version.get("availability") == "EarlyAccess" or (deadline is not None and deadline > now)
    if early or one.version.get("paidAccess"):
        return one.skip(
            SkipReason.EARLY_ACCESS, f"for paying members{f' until {deadline}' if deadline else ''}"
        )
    if "Private" in (one.model.get("availability"), one.version.get("availability")):
        return one.skip(SkipReason.UNREACHABLE, "private")
    return None


def _unsupported(one: _Version) -> Skip | None:
    """Why the scanner has no loader for the version, or None."""
    name, label = str(one.model.get("type")), str(one.version.get("baseModel", ""))
    if KINDS.get(name, Kind.TEXTUAL_INVERSION) is Kind.TEXTUAL_INVERSION:
        return one.skip(SkipReason.UNSUPPORTED_KIND, f"a {name}")
    family = families.family_of_label(label)
    if not families.scannable(family):
        return one.skip(SkipReason.UNSUPPORTED_FAMILY, f"{family}: base model label {label!r}", family=family)
    special = one.version.get("baseModelType")
    if special not in (None, "Standard"):
        return one.skip(SkipReason.UNSUPPORTED_KIND, f"an {special} model has other inputs", family=family)
    return None


def _weights(one: _Version) -> Mapping[str, Any] | Skip:
    """The one file to scan: a safetensors file of weights, the primary one if it is such, else the smallest.

    Further builds of a version are the same weights in another precision, or pruned.
    """
    listed = one.version.get("files")
    files = [file for file in listed if isinstance(file, dict)] if isinstance(listed, list) else []
    weights = [file for file in files if file.get("type") in _WEIGHTS and _is_id(file.get("id"))]
    tensors = [file for file in weights if str(file.get("name")).endswith(".safetensors")]
    if not weights:
        return one.skip(SkipReason.NO_WEIGHTS, "the hub lists no weights for the version")
    if not tensors:
        formats = sorted({str(_table(file.get("metadata")).get("format")) for file in weights})
        pickled = "PickleTensor" in formats or any(
            str(file.get("name")).endswith((".ckpt", ".pt")) for file in weights
        )
        reason = SkipReason.PICKLE_ONLY if pickled else SkipReason.UNSUPPORTED_KIND
        return one.skip(reason, f"no .safetensors, only {', '.join(formats)}")
    chosen = min(tensors, key=lambda file: (not file.get("primary"), file.get("sizeKB") or 0))
    if "Danger" in (chosen.get("virusScanResult"), chosen.get("pickleScanResult")):
        return one.skip(SkipReason.UNSAFE_FILE, "the hub's own scan found a danger", path=str(chosen["name"]))
    return chosen


def _remote(file: Mapping[str, Any], version: int, url: str) -> RemoteFile:
    digest = str(_table(file.get("hashes")).get("SHA256", "")).lower()
    size = file.get("sizeKB")
    return RemoteFile(
        path=str(file["name"]),
        # The address in the answer may name a file by type and format, which the hub itself cannot find.
        url=f"{url}/api/download/models/{version}?fileId={file['id']}",
        # Kibibytes with a fraction that makes whole bytes; 0 for some files that do exist.
        size=round(size * 1024) or None if isinstance(size, (int, float)) else None,
        sha256=digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None,
    )


def _downloads(one: _Version) -> int | None:
    counts = (_table(source.get("stats")).get("downloadCount") for source in (one.version, one.model))
    return next((count for count in counts if isinstance(count, int)), None)


def _time(value: Any) -> datetime | None:
    """A moment as the hub writes it, with or without a zone."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _skip(repo: str, revision: str, reason: SkipReason, detail: str, *, path: str = "", **known: Any) -> Skip:
    return Skip(
        hub=Hub.CIVITAI, repo=repo, revision=revision, path=path, reason=reason, detail=detail, **known
    )


def _name(model: Any) -> str:
    return str(model.get("id") or "?")[:100] if isinstance(model, dict) else "?"


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
