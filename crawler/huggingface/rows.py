"""One row of the Hugging Face Hub's listing: a Listing, and a Skip where the row alone decides.

Nothing is asked of the hub here. A million rows come this way, so that what only a look needs (such as the
families of the bases that are named) is not worked out yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from crawler.checkpoint import Hub, Listing, Presence, Skip, SkipReason
from crawler.evidence import families
from crawler.evidence.captions import MAX_PROMPTS
from crawler.evidence.cards import FIELDS
from crawler.evidence.plain_text import clean
from crawler.evidence.wishes import wishes
from crawler.huggingface.folder import PICKLES
from crawler.huggingface.listed import Facts
from crawler.source import opted_out

EXPAND = (
    "baseModels", "cardData", "config", "createdAt", "disabled", "downloads", "gated", "lastModified",
    "library_name", "pipeline_tag", "private", "sha", "siblings", "tags",
)  # fmt: skip
"""Fields of a listing. Without `expand` the hub leaves out `gated`, and a gated repository looks open."""
BARE = ("createdAt", "disabled", "gated", "lastModified", "private", "sha")
"""Fields for a row that the hub fails to give with all of them."""
MAX_FIELD = 600
"""Characters that are kept of a card's field; prompts are cut to fewer."""
MAX_NAMED = 20
"""Statements about bases that are kept of one row; a card can hold thousands."""
_TASKS = (None, "text-to-image", "image-to-image")
_REPO = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_NUMBER = re.compile(r"[0-9A-Za-z_-]{1,64}")
_REVISION = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_WEIGHTS = ".safetensors"


def read_row(row: Any, opt_out: Sequence[str]) -> tuple[Listing | None, Skip | None]:
    """Read a row of a listing, or the answer about one repository with the same fields.

    Returns:
        Its listing, and why nothing of it can be scanned, where the row tells. No listing can be made of a
        malformed row without a number or a name.
    """
    match row:
        case {"_id": str(number), "id": str(repo)} if _NUMBER.fullmatch(number) and _REPO.fullmatch(repo):
            pass
        case _:
            name = row.get("id") if isinstance(row, dict) else None
            detail = "the row has no usable _id or id"
            return None, _skip(clean(str(name or "?"))[:200], "", SkipReason.MALFORMED, detail)
    revision = row.get("sha")
    if not isinstance(revision, str) or not _REVISION.fullmatch(revision):
        revision = ""
    presence = _presence(row)
    skip = _refusal(row, repo, revision, presence, opt_out)
    skip = skip or _uselessness(row, repo, revision) or _foreign(row, repo, revision)
    downloads = row.get("downloads")
    return (
        Listing(
            hub=Hub.HUGGINGFACE,
            number=number,
            repo=repo,
            revision=revision,
            presence=presence,
            created_at=_time(row.get("createdAt")),
            updated_at=_time(row.get("lastModified")),
            downloads=downloads if type(downloads) is int and 0 <= downloads < 2**62 else None,
            license=_license(row),
            look=skip is None,
            # A row that is left out for another reason than before is another row.
            facts=f'"{skip.reason}"' if skip else _facts(row).to_json(),
        ),
        skip,
    )


def updated(row: Any) -> datetime | None:
    """When a row says that it was last changed; None when it does not say so readably."""
    return _moment(row.get("lastModified")) if isinstance(row, dict) else None


def pipeline_class(row: Mapping[str, Any]) -> str | None:
    """Class name of the repository's pipeline: from its config, else from its tags."""
    config = _table(_table(row.get("config")).get("diffusers"))
    named = config.get("_class_name") or config.get("class_name")
    if isinstance(named, str):
        return _word(named)
    tags = row.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and tag.startswith("diffusers:"):
            return _word(tag[len("diffusers:") :])
    return None


def named_bases(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Bases as the adapter's config, the hub's relation, the card and the tags write them, each once."""
    named: dict[str, str] = {}

    def add(names: Iterable[Any], source: str) -> None:
        for name in names:
            if isinstance(name, str) and 3 <= len(name) <= 200 and len(named) < MAX_NAMED:
                named.setdefault(name, source)

    peft = _table(_table(row.get("config")).get("peft"))
    add([peft.get("base_model_name_or_path")], "adapter config")
    models = _table(row.get("baseModels")).get("models")
    add((_table(model).get("id") for model in (models if isinstance(models, list) else ())), "hub relation")
    add(_texts(_table(row.get("cardData")).get("base_model")), "card")
    tags = (tag for tag in _texts(row.get("tags")) if tag.startswith("base_model:"))
    add((tag[tag.rindex(":") + 1 :] for tag in tags), "tag")
    return tuple(named.items())


def _facts(row: Mapping[str, Any]) -> Facts:
    relation = _table(row.get("baseModels")).get("relation")
    adapter = relation == "adapter" or "lora" in row["tags"] or row.get("library_name") == "peft"
    told = _table(row.get("cardData"))
    card = {name: cut for name in FIELDS if name in told and (cut := _cut(told[name])) is not None}
    return Facts(adapter=adapter, pipeline=pipeline_class(row), named=named_bases(row), card=card)


def _cut(value: Any, *, depth: int = 0) -> Any:
    """A card's field, bounded: texts, numbers, and what widgets hold; None for anything else."""
    if isinstance(value, str):
        return value[:MAX_FIELD]
    if isinstance(value, int):
        return value if -(2**53) < value < 2**53 else None
    if isinstance(value, list) and depth < 2:
        cuts = (_cut(item, depth=depth + 1) for item in value[:MAX_PROMPTS])
        return [cut for cut in cuts if cut is not None] or None
    if isinstance(value, dict) and depth and isinstance(text := value.get("text"), str):
        return {"text": text[:MAX_FIELD]}
    return None


def _presence(row: Mapping[str, Any]) -> Presence:
    """A disabled repository keeps its gate, so that the order counts."""
    if row.get("disabled"):
        return Presence.DISABLED
    if row.get("gated"):
        return Presence.GATED
    return Presence.UNREACHABLE if row.get("private") else Presence.PRESENT


def _refusal(
    row: Mapping[str, Any], repo: str, revision: str, presence: Presence, opt_out: Sequence[str]
) -> Skip | None:
    """Why the repository may not be touched, or None."""
    if opt_out and opted_out(opt_out, repo, repo.split("/")[0]):
        return _skip(repo, revision, SkipReason.OPTED_OUT, "named in crawler.opt_out")
    if presence is Presence.DISABLED:
        return _skip(repo, revision, SkipReason.DISABLED, "disabled by the hub")
    if presence is Presence.GATED:
        gate = clean(str(row["gated"]))[:20]
        detail = f"access has to be asked for ({gate}); leaksweep accepts no terms for you"
        return _skip(repo, revision, SkipReason.GATED, detail)
    if presence is Presence.UNREACHABLE or not revision:
        detail = "private" if row.get("private") else "the hub names no revision"
        return _skip(repo, revision, SkipReason.UNREACHABLE, detail)
    if not isinstance(row.get("tags"), list):
        return _skip(repo, revision, SkipReason.MALFORMED, "the hub gives this repository's row without tags")
    if wish := _wish(row):
        return _skip(repo, revision, SkipReason.OPTED_OUT, wish)
    return None


def _wish(row: Mapping[str, Any]) -> str | None:
    """The author's wish not to be processed. Almost no row has one: the words are looked at once each."""
    card = _table(row.get("cardData"))
    for word in (*row["tags"], *_texts(card.get("tags"))):
        if isinstance(word, str) and _is_wish(word[:100]):
            return wishes(card, row["tags"], {})
    if any(_is_wish_field(name[:100]) for name in card):
        return wishes(card, (), {})
    return None


@lru_cache(maxsize=16_384)
def _is_wish(tag: str) -> bool:
    return wishes({}, (tag,), {}) is not None


@lru_cache(maxsize=4096)
def _is_wish_field(name: str) -> bool:
    return wishes({name: ["none", "true"]}, (), {}) is not None


def _uselessness(row: Mapping[str, Any], repo: str, revision: str) -> Skip | None:
    """Why nothing in the repository can be scanned, or None. Without its list of files only a look tells."""
    task = row.get("pipeline_tag")
    if isinstance(task, str) and task not in _TASKS:
        return _skip(repo, revision, SkipReason.UNSUPPORTED_KIND, f"made for {clean(task)[:50]}")
    siblings = row.get("siblings")
    if isinstance(siblings, list):
        named = (file.get("rfilename") for file in siblings if isinstance(file, dict))
        paths = [name for name in named if isinstance(name, str)]
        if not any(path.endswith(_WEIGHTS) for path in paths):
            if any(path.endswith(PICKLES) for path in paths):
                detail = "only pickles; a pickle can run code and is never loaded"
                return _skip(repo, revision, SkipReason.PICKLE_ONLY, detail)
            return _skip(repo, revision, SkipReason.NO_WEIGHTS, "no .safetensors file")
    if _table(row.get("baseModels")).get("relation") == "quantized":
        return _skip(repo, revision, SkipReason.UNSUPPORTED_KIND, "a quantised copy")
    return None


def _foreign(row: Mapping[str, Any], repo: str, revision: str) -> Skip | None:
    """Whether its pipeline's class belongs to a family without a loader."""
    pipeline = pipeline_class(row)
    family = _without_loader(pipeline) if pipeline else None
    if family is None:
        return None
    detail = f"a {pipeline}: {families.without_loader(family)}"
    return _skip(repo, revision, SkipReason.UNSUPPORTED_FAMILY, detail, family=family)


@lru_cache(maxsize=1024)
def _without_loader(pipeline: str) -> str | None:
    """The family of a pipeline's class where there is no loader for it."""
    if pipeline in families.AMBIGUOUS_PIPELINES:
        return None
    family = families.family_of_pipeline(pipeline)
    return None if families.scannable(family) else family or families.UNKNOWN


def _license(row: Mapping[str, Any]) -> str | None:
    """The licence's short name, from the tags, which the hub has checked against its list."""
    for tag in _texts(row.get("tags")):
        if tag.startswith("license:"):
            return _word(tag[len("license:") :])
    return None


def _time(value: Any) -> str | None:
    """A date as the hub writes it, so that dates compare as texts do."""
    if type(value) is str and len(value) == 24 and value[10] == "T" and value[-1] == "Z" and value.isascii():
        return value if _moment(value) else None
    moment = _moment(value)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z" if moment else None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=4096)
def _word(text: str) -> str | None:
    """A name of which there are few, fit to be shown."""
    return clean(text[:1000], 100) or None


def _skip(repo: str, revision: str, reason: SkipReason, detail: str, family: str | None = None) -> Skip:
    return Skip(
        hub=Hub.HUGGINGFACE,
        repo=repo,
        revision=revision,
        path="",
        reason=reason,
        detail=detail,
        family=family,
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    """The texts in a field that holds one text or a list of them."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
