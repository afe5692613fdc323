"""A model of Civitai's listing, parsed without asking the hub anything more: one row for each version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from crawler.checkpoint import (
    BaseClaim,
    Checkpoint,
    Grade,
    Hub,
    Kind,
    Layout,
    RemoteFile,
    Skip,
    SkipReason,
    Training,
)
from crawler.evidence import families
from crawler.evidence.captions import best_prompts, trigger_words
from crawler.evidence.plain_text import clean
from crawler.evidence.resolve import best_first
from crawler.evidence.training_details import details_claims, details_prompts, details_training
from crawler.evidence.wishes import wishes
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
_SUFFIX = ".safetensors"
_MAX_NAME = 255
"""Characters of a file's name, as on any disk."""
_HIGHEST = 2**53
"""Larger numbers are none that a hub counts with, and JSON does not carry them safely."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
    if not isinstance(model, dict) or not is_id(model.get("id")):
        yield _skip(_name(model), "", SkipReason.MALFORMED, "the model has no id")
        return
    versions = model.get("modelVersions")
    if not isinstance(versions, list):
        yield _skip(_name(model), "", SkipReason.MALFORMED, "the model has no list of versions")
        return
    for version in versions:
        if not isinstance(version, dict) or not is_id(version.get("id")):
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
    claim = BaseClaim(
        repo=base, family=family, source="civitai baseModel", grade=Grade.LABEL, detail=clean(label, 100)
    )
    words = trigger_words(one.version.get("trainedWords"), "civitai trainedWords")
    # Of models that the site's own trainer made, and only where a listing shows it.
    details = one.version.get("trainingDetails")
    return Checkpoint(
        hub=Hub.CIVITAI,
        repo=str(one.model["id"]),
        revision=str(one.version["id"]),
        path=file.path,
        kind=KINDS[str(one.model["type"])],
        layout=Layout.FILE,
        family=family,
        files=(file,),
        claims=best_first((*details_claims(details), claim)) if details else (claim,),
        prompts=best_prompts(*words, *details_prompts(details)) if details else words,
        title=clean(f"{_text(one.model.get('name'))} {_text(one.version.get('name'))}".strip()),
        downloads=_downloads(one),
        updated_at=written(one.version.get("publishedAt")),
        training=details_training(details) if details else Training(),
    )


def _refusal(one: _Version, settings: CrawlerSettings, now: datetime) -> Skip | None:
    """Why the version may not be touched, or None."""
    creator = one.model.get("creator")
    owner = str(creator.get("username", "")) if isinstance(creator, dict) else ""
    if opted_out(settings.opt_out, _name(one.model), owner):
        return one.skip(SkipReason.OPTED_OUT, "named in crawler.opt_out")
    if asked := wish(one.model):
        return one.skip(SkipReason.OPTED_OUT, asked)
    mode = one.model.get("mode")
    if isinstance(mode, str) and mode in _MODES:
        return one.skip(_MODES[mode], f"the hub says {mode}")
    if one.model.get("poi"):
        return one.skip(
            SkipReason.UNREACHABLE, "marked as showing a real person; the hub refuses its download"
        )
    if is_early(one.version, now):
        until = _text(one.version.get("earlyAccessDeadline"))[:40]
        return one.skip(SkipReason.EARLY_ACCESS, f"for paying members{f' until {until}' if until else ''}")
    if "Private" in (one.model.get("availability"), one.version.get("availability")):
        return one.skip(SkipReason.UNREACHABLE, "private")
    return None


def wish(model: Mapping[str, Any]) -> str | None:
    """The author's wish not to be processed, read from the tags; None for almost every model."""
    tags = model.get("tags")
    texts = (tag[:100] for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
    return next(filter(None, map(_wish, texts)), None)


@lru_cache(maxsize=16_384)
def _wish(tag: str) -> str | None:
    return wishes({}, (tag,), {})


def _unsupported(one: _Version) -> Skip | None:
    """Why the scanner has no loader for the version, or None."""
    name, label = str(one.model.get("type")), str(one.version.get("baseModel", ""))
    if name not in KINDS:
        return one.skip(SkipReason.UNSUPPORTED_KIND, f"a {name[:100]}")
    family = families.family_of_label(label)
    if not families.scannable(family):
        detail = f"{families.without_loader(family)}; base model label {label[:100]!r}"
        return one.skip(SkipReason.UNSUPPORTED_FAMILY, detail, family=family)
    special = one.version.get("baseModelType")
    if special not in (None, "Standard"):
        return one.skip(SkipReason.UNSUPPORTED_KIND, f"{str(special)[:100]}: has other inputs", family=family)
    return None


def _weights(one: _Version) -> Mapping[str, Any] | Skip:
    """The one file to scan: a safetensors file of weights, the primary one if it is such, else the smallest.

    Further builds of a version are the same weights in another precision, or pruned.
    """
    listed = one.version.get("files")
    files = [file for file in listed if isinstance(file, dict)] if isinstance(listed, list) else []
    weights = [file for file in files if file.get("type") in _WEIGHTS and is_id(file.get("id"))]
    tensors = [file for file in weights if _text(file.get("name")).casefold().endswith(_SUFFIX)]
    if not weights:
        return one.skip(SkipReason.NO_WEIGHTS, "the hub lists no weights for the version")
    if not tensors:
        formats = sorted({str(_table(file.get("metadata")).get("format"))[:40] for file in weights})[:10]
        pickled = "PickleTensor" in formats or any(
            _text(file.get("name")).casefold().endswith((".ckpt", ".pt", ".bin")) for file in weights
        )
        reason = SkipReason.PICKLE_ONLY if pickled else SkipReason.UNSUPPORTED_KIND
        return one.skip(reason, f"no .safetensors, only {', '.join(formats)}")
    chosen = min(tensors, key=lambda file: (not file.get("primary"), _bytes(file) or 0, file["id"]))
    if len(chosen["name"]) > _MAX_NAME:
        return one.skip(SkipReason.MALFORMED, f"a file name of {len(chosen['name'])} characters")
    if "Danger" in (chosen.get("virusScanResult"), chosen.get("pickleScanResult")):
        return one.skip(SkipReason.UNSAFE_FILE, "the hub's own scan found a danger", path=str(chosen["name"]))
    return chosen


def _remote(file: Mapping[str, Any], version: int, url: str) -> RemoteFile:
    return RemoteFile(
        path=str(file["name"]),
        # The address in the answer may name a file by type and format, which the hub itself cannot find.
        url=f"{url}/api/download/models/{version}?fileId={file['id']}",
        size=_bytes(file),
        sha256=digest(file),
    )


def digest(file: Mapping[str, Any]) -> str | None:
    """The file's SHA-256; None before the hub has scanned it. AutoV1 to AutoV3 are no identities."""
    found = _text(_table(file.get("hashes")).get("SHA256")).lower()
    return found if _SHA256.fullmatch(found) else None


def _bytes(file: Mapping[str, Any]) -> int | None:
    """Told in kibibytes, with a fraction that makes whole bytes; 0 for some files that do exist."""
    size = file.get("sizeKB")
    # Not so for NaN and the infinities, which Python's JSON lets pass.
    if not isinstance(size, int | float) or not 0 < size < _HIGHEST:
        return None
    return round(size * 1024) or None


def _downloads(one: _Version) -> int | None:
    return downloads(one.version) or downloads(one.model)


def downloads(row: Mapping[str, Any]) -> int | None:
    """A model's, or version's, downloads."""
    count = _table(row.get("stats")).get("downloadCount")
    return count if type(count) is int and 0 <= count < _HIGHEST else None


def is_early(version: Mapping[str, Any], now: datetime) -> bool:
    """Whether the version is sold, for now or for ever. The day it opens changes nothing else in its row."""
    deadline = moment(version.get("earlyAccessDeadline"))
    early = deadline > now if deadline else version.get("availability") == "EarlyAccess"
    return early or bool(version.get("paidAccess"))


def moment(value: Any) -> datetime | None:
    """A time as the hub writes it, with or without a zone."""
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def written(value: Any) -> str | None:
    """A time as it is kept: ISO 8601 in UTC, to the millisecond, so that texts compare as times do."""
    found = moment(value)
    if found and len(value) == 24 and value.endswith("Z") and value[10] == "T" and value[19] == ".":
        return str(value)  # So it stands in almost every answer.
    return f"{found:%Y-%m-%dT%H:%M:%S}.{found.microsecond // 1000:03}Z" if found else None


def _skip(repo: str, revision: str, reason: SkipReason, detail: str, *, path: str = "", **known: Any) -> Skip:
    return Skip(
        hub=Hub.CIVITAI, repo=repo, revision=revision, path=path, reason=reason, detail=detail, **known
    )


def _name(model: Any) -> str:
    return str(model.get("id") or "?")[:100] if isinstance(model, dict) else "?"


def is_id(value: Any) -> bool:
    """Whether it can be a model's, version's or file's id."""
    return type(value) is int and 0 < value < _HIGHEST


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
