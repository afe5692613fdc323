"""A Hugging Face Hub of any size, computed row by row: what a public hub holds, the odd ones included."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

from starlette.datastructures import QueryParams

from leaksweep.hub.content import Content, HubRepo
from leaksweep.hub.huggingface_listing import shown
from leaksweep.hub.huggingface_rows import Served
from leaksweep.hub.shelf import Ranking
from leaksweep.hub.synthetic_draws import START, STEP, TEMPLATES, draw, iso, shuffled, template
from leaksweep.hub.synthetic_weights import FAMILIES, Family, full, inversion, lora

SHARES = {
    "lora": 140, "folder": 44, "file": 20, "lokr": 14, "inversion": 10, "pickle": 12, "language": 10,
    "empty": 6,
}  # fmt: skip
"""What a repository holds, and how many of 256 do: adapters, diffusers folders, single files, LoKr adapters,
words, pickles, a language model, nothing but a card."""
_KINDS = tuple(kind for kind, share in SHARES.items() for _ in range(share))
_ADAPTERS = ("lora", "lokr", "pickle")
_BASES = ("declared",) * 10 + ("list", "chain", "path", "address", "none", "none")
"""How a card names its base, of sixteen: truly, in a list, another fine-tune, nonsense in two forms, not."""
_SUBJECTS = ("cat", "portrait", "ink", "house", "Anime", "poster", "pixel-art", "vintage.photo")


_MADE_HERE = re.compile(r"base_model:(\w+:)?studio\d+/")
"""Tags of what was made from a fine-tune of this catalog, which differ from row to row."""


@dataclass(frozen=True, slots=True)
class Template:
    """What many repositories have in common."""

    kind: str
    family: Family
    base: str
    gated: Literal[False, "auto", "manual"]
    private: bool
    disabled: bool
    renamed: bool
    scanned: bool
    trigger: bool


class SyntheticHuggingFace:
    """Repositories 0 to `count - 1`: the base models first, then mostly fine-tunes of them.

    Args:
        ties: repositories that share a date, or a number of downloads.
    """

    def __init__(self, count: int, seed: int = 0, ties: int = 3) -> None:
        self.count = count
        self._seed = seed
        self._machine = hashlib.blake2b(b"%d" % seed, digest_size=5).hexdigest()
        self._templates = tuple(_template(draw(seed, number)) for number in range(TEMPLATES))
        self._may_match = lru_cache(maxsize=256)(self._matching)
        self._base_models: dict[int, Served] = {}
        self._groups = groups = -(-count // ties)
        self.latest = self._modified(0)
        by_number = Ranking(
            count=count, ties=ties, value=lambda group: -1000 * _created(group), tie=self.identity,
            descending=True,
        )  # fmt: skip
        more: dict[str, Callable[[int], int]] = {
            "lastModified": lambda group: -1000 * self._modified(group),
            "downloads": lambda group: 7 * (group - groups),
            "likes": lambda group: group - groups,
            "trendingScore": lambda group: group - groups,
        }
        self.rankings: Mapping[str, Ranking] = {"createdAt": by_number} | {
            order: shuffled(count, ties, seed + step, value, self.identity)
            for step, (order, value) in enumerate(more.items())
        }

    def make(self, index: int) -> Served:
        """Return a repository. The base models, which most rows refer to, are kept."""
        if index in self._base_models:
            return self._base_models[index]
        made = self._make(index)
        if index < len(FAMILIES):
            self._base_models[index] = made
        return made

    def _make(self, index: int) -> Served:
        owner, name, former = self._names(index)
        about = self._template(index)
        at = {order: ranking.group(index) for order, ranking in self.rankings.items()}
        is_base = index < len(FAMILIES)
        language = about.kind == "language"
        return Served(
            HubRepo(
                id=f"{owner}/{name}",
                object_id=self.identity(index),
                sha=hashlib.sha1(b"%d:%d" % (self._seed, index), usedforsecurity=False).hexdigest(),
                files=_files(index, about.kind, about.family, name),
                card={} if is_base else self._card(index, about),
                pipeline_tag="text-generation" if language else "text-to-image",
                library_name="transformers" if language else "diffusers",
                gated=about.gated,
                disabled=about.disabled,
                private=about.private,
                created_at=iso(_created(at["createdAt"])),
                last_modified=iso(self._modified(at["lastModified"])),
                downloads=7 * (self._groups - at["downloads"]),
                likes=self._groups - at["likes"],
                trending_score=self._groups - at["trendingScore"],
                renamed_from=(f"{owner}/{former}",) if about.renamed else (),
                replaces=("runwayml/stable-diffusion-v1-5",) if index == 0 else (),
                scans_done=about.scanned,
                file_issues={"weights.ckpt": "unsafe"} if about.kind == "pickle" and about.renamed else {},
            )
        )

    def number(self, name: str) -> int | None:
        """Read a repository's number off its name, present or former."""
        if name == "runwayml/stable-diffusion-v1-5":
            return 0 if self.count else None
        for index, family in enumerate(FAMILIES[: self.count]):
            if name == family.repo:
                return index
        digits = name.rpartition("-")[2]
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
            return None
        index = int(digits)
        if not len(FAMILIES) <= index < self.count:
            return None
        owner, present, former = self._names(index)
        known = (f"{owner}/{present}", f"{owner}/{former}")[: 1 + self._template(index).renamed]
        return index if name in known else None

    def identity(self, index: int) -> str:
        """Seconds, machine, counter, as MongoDB makes them."""
        group = self.rankings["createdAt"].group(index)
        return f"{_created(group):08x}{self._machine}{index:06x}"

    def name(self, index: int) -> str:
        owner, name, _ = self._names(index)
        return f"{owner}/{name}"

    def tester(self, query: QueryParams) -> Callable[[int], bool]:
        """Return a quick test of a row's number: False only if the query's filters leave the row out."""
        allowed = self._allowed(query)
        return lambda index: index < len(FAMILIES) or allowed[template(index)]

    def few(self, query: QueryParams) -> Sequence[int] | None:
        """Return the base models where no template passes the filters; None where one does."""
        some = any(self._allowed(query))
        return None if some else range(min(self.count, len(FAMILIES)))

    def shows(self, query: QueryParams) -> Callable[[int], bool]:
        """Return whether the answers to a query, taken together, hold a row of this number."""
        may_match, is_shown = self.tester(query), shown(query)
        by_template = not {"author", "search", "gated"} & set(query.keys())
        by_template &= not any(map(_MADE_HERE.match, query.getlist("filter")))
        return lambda index: (
            may_match(index) and ((by_template and index >= len(FAMILIES)) or is_shown(self.make(index)))
        )

    def _allowed(self, query: QueryParams) -> tuple[bool, ...]:
        return self._may_match(tuple(query.getlist("filter")), query.get("pipeline_tag"))

    def _matching(self, tags: tuple[str, ...], pipeline: str | None) -> tuple[bool, ...]:
        """Which templates the filters let through, by one repository of each."""
        first = len(FAMILIES) + TEMPLATES
        found = dict.fromkeys(range(TEMPLATES), False)
        for index in range(first, first + TEMPLATES):
            served = self.make(index)
            chained = self._template(index).base == "chain"
            found[template(index)] = (
                not served.repo.private
                and pipeline in (None, served.repo.pipeline_tag)
                and all(tag in served.tags or (chained and _MADE_HERE.match(tag)) for tag in tags)
            )
        return tuple(found.values())

    def _modified(self, group: int) -> int:
        """Every repository was modified after the last one was created."""
        return START + STEP * (2 * self._groups - group)

    def _template(self, index: int) -> Template:
        if index < len(FAMILIES):
            family = FAMILIES[index]
            return Template(
                "folder", family, "none", "auto" if family.gated else False, *(False,) * 3, True, False
            )
        return self._templates[template(index)]

    def _names(self, index: int) -> tuple[str, str, str]:
        """Owner, name, and the name it had before, if it was renamed."""
        if index < len(FAMILIES):
            owner, _, name = FAMILIES[index].repo.partition("/")
            return owner, name, ""
        about = self._templates[template(index)]
        subject = _SUBJECTS[index % len(_SUBJECTS)]
        return f"studio{index % 5003}", f"{subject}-{about.kind}-{index}", f"my-{subject}-{index}"

    def _card(self, index: int, about: Template) -> dict[str, Any]:
        adapter = about.kind in _ADAPTERS
        card: dict[str, Any] = {"license": "openrail++", "tags": ["lora"] if adapter else [about.kind]}
        if about.kind in ("language", "empty"):
            return card
        if about.trigger:
            card["instance_prompt"] = f"a photo of sks{index}"
        named = {
            "declared": about.family.repo,
            "list": [about.family.repo],
            "chain": self._chained(index),
            "path": f"/workspace/models/{about.family.version}",
            "address": f"https://huggingface.co/{about.family.repo}",
        }
        if about.base in named:
            card["base_model"] = named[about.base]
        return card

    def _chained(self, index: int) -> str:
        """The repository at half the number: a fine-tune, or at last a base model."""
        return self.name(index // 2)


def _created(group: int) -> int:
    return START + STEP * group


def _template(bits: int) -> Template:
    kind = _KINDS[bits % 256]
    family = FAMILIES[bits >> 8 & 3]
    hundred = (bits >> 16) % 1000
    return Template(
        kind=kind,
        family=family,
        base=_BASES[bits >> 32 & 15],
        gated="auto" if hundred < 40 else "manual" if hundred < 50 else False,
        private=50 <= hundred < 54,
        disabled=60 <= hundred < 64,
        renamed=(bits >> 40) % 100 == 0,
        scanned=bits >> 48 & 3 != 0,
        trigger=bits >> 56 & 3 != 0,
    )


def _files(index: int, kind: str, family: Family, name: str) -> dict[str, Content]:
    match kind:
        case "lora" | "lokr":
            content = partial(lora, family, index, f"sks{index}", lokr=kind == "lokr")
            return {f"{name}.safetensors": content}
        case "folder":
            part = "unet" if "Diffusion" in family.pipeline else "transformer"
            return {
                "model_index.json": b'{"_class_name": "%s"}' % family.pipeline.encode(),
                f"{part}/config.json": b'{"cross_attention_dim": %d}' % family.inputs,
                f"{part}/diffusion_pytorch_model.safetensors": partial(full, family, index),
            }
        case "file":
            return {f"{name}.safetensors": partial(full, family, index)}
        case "inversion":
            return {"learned_embeds.safetensors": partial(inversion, family, index)}
        case "pickle":
            return {"weights.ckpt": b"\x80\x04N."}
        case "language":
            return {"config.json": b"{}", "model.safetensors": partial(full, family, index)}
    return {}
