"""A Civitai of any size, computed model by model: what the public API holds, the odd ones included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from starlette.datastructures import QueryParams

from leaksweep.hub.civitai_listing import filtered
from leaksweep.hub.civitai_rows import is_listed
from leaksweep.hub.civitai_vocabulary import version_name
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion
from leaksweep.hub.shelf import Ranking
from leaksweep.hub.synthetic_draws import START, STEP, TEMPLATES, draw, iso, shuffled, template
from leaksweep.hub.synthetic_weights import FAMILIES, Family, full, inversion, lora

SHARES = {
    "LORA": 150, "Checkpoint": 40, "LoCon": 20, "DoRA": 6, "TextualInversion": 16, "Poses": 8, "VAE": 8,
    "Wildcards": 8,
}  # fmt: skip
"""Types of models, and how many of 256 have each."""
_TYPES = tuple(name for name, share in SHARES.items() for _ in range(share))
ODDITIES = {
    "none": 880, "no versions": 6, "archived": 20, "taken down": 6, "early access": 20, "unhashed": 20,
    "real person": 12, "unrated": 6, "explicit": 20, "private": 4, "generation only": 6,
}  # fmt: skip
"""What is odd about a model, and how many of 1000 are so."""
_ODD = tuple(name for name, share in ODDITIES.items() for _ in range(share))
_BY_TEMPLATE = ("types", "baseModels", "nsfw", "archived")
"""Parameters of a listing that do not tell models of one template apart."""
FIRST_ID = 1000
"""Id of the first model; of a model's k-th version `10 * id + k`, and of that one's file the same."""
VERSIONS = (1, 1, 1, 1, 1, 2, 2, 3)
"""Versions of a model, of eight: as many as on the site, 1.5 on average."""
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Template:
    """What many models have in common."""

    type: str
    family: Family
    odd: str
    versions: int
    trigger: bool


class SyntheticCivitai:
    """Models 0 to `count - 1`.

    Args:
        ties: models that share the date of their newest version, or their statistics. Above 100, the largest
            page, Civitai's order `Oldest` leads in a circle.
    """

    def __init__(self, count: int, seed: int = 0, ties: int = 3) -> None:
        self.count = count
        self._ties = ties
        self._templates = tuple(_template(draw(seed, number)) for number in range(TEMPLATES))
        self._may_match = lru_cache(maxsize=256)(self._matching)
        groups = -(-count // ties)
        self.latest = START + STEP * groups

        def time(group: int) -> int:
            return 1000 * (START + STEP * group)

        stats = (count, ties, seed + 5)
        rated = shuffled(*stats, lambda group: (group - groups, 9 * (group - groups)), _id)
        downloaded = shuffled(*stats, lambda group: (9 * (group - groups), group - groups), _id)
        by_time: Mapping[str, Ranking] = {
            "Oldest": Ranking(count=count, ties=ties, value=time, tie=_id),
            "Newest": Ranking(
                count=count, ties=ties, value=lambda group: -time(group), tie=lambda index: -_id(index),
                descending=True,
            ),
        }  # fmt: skip
        others = ("Highest Rated", "Most Liked", "Most Discussed", "Most Collected", "Most Images")
        self.rankings: Mapping[str, Ranking] = {
            **by_time,
            "Most Downloaded": downloaded,
            **dict.fromkeys(others, rated),
        }

    def make(self, index: int) -> CivitaiModel:
        """Return a model."""
        about = self._templates[template(index)]
        number = _id(index)
        rated = self.rankings["Highest Rated"]
        liked = rated.groups - rated.group(index)
        levels = {"unrated": 0, "explicit": 24}
        return CivitaiModel(
            id=number,
            name=f"{about.family.version} {about.type} {number}",
            type=about.type,
            versions=tuple(self._version(index, about, age) for age in range(about.versions)),
            nsfw=about.odd == "explicit",
            nsfw_level=levels.get(about.odd, 1),
            poi=about.odd == "real person",
            mode="Archived"
            if about.odd == "archived"
            else "TakenDown"
            if about.odd == "taken down"
            else None,
            availability="Private" if about.odd == "private" else "Public",
            tags=(about.type.lower(), f"subject {index % 997}"),
            creator=f"maker{index % 5003}",
            downloads=9 * liked,
            thumbs_up=liked,
        )

    def number(self, name: str) -> int | None:
        """Read a model's number off its id, or that of one of its versions."""
        digits = name.removeprefix(version_name(""))
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 12):
            return None
        of_version, rest = divmod(int(digits), 10)
        index = int(digits) - FIRST_ID if digits == name else of_version - FIRST_ID
        if not 0 <= index < self.count:
            return None
        known = digits == name or rest < self._templates[template(index)].versions
        return index if known else None

    def identity(self, index: int) -> str:
        return str(_id(index))

    def name(self, index: int) -> str:
        return str(_id(index))

    def tester(self, query: QueryParams) -> Callable[[int], bool]:
        """Return a quick test of a model's number: False only if the query's filters leave it out."""
        allowed = self._allowed(query)
        return lambda index: allowed[template(index)]

    def few(self, query: QueryParams) -> Sequence[int] | None:
        """Return no row where no template passes the filters; None where one does."""
        return None if any(self._allowed(query)) else ()

    def shows(self, query: QueryParams) -> Callable[[int], bool]:
        """Return whether the answers to a query, taken together, hold a model of this number."""
        allowed = self._allowed(query, after_cut=True)
        keep, by_template = filtered(query), not {"username", "tag", "ids"} & set(query.keys())
        return lambda index: allowed[template(index)] and (by_template or keep(self.make(index)))

    def _allowed(self, query: QueryParams, *, after_cut: bool = False) -> tuple[bool, ...]:
        """Which templates the query's filters let through, worked out once for all its pages."""
        kept = tuple(pair for pair in query.multi_items() if pair[0] in _BY_TEMPLATE)
        return self._may_match(kept, after_cut=after_cut)

    def _matching(self, items: tuple[tuple[str, str], ...], *, after_cut: bool) -> tuple[bool, ...]:
        """As `_allowed`, by one model of each template.

        Args:
            after_cut: leave out, too, what the hub drops from a page after it was cut.
        """
        keep = filtered(QueryParams(list(items)))
        found = dict.fromkeys(range(TEMPLATES), False)
        for index in range(TEMPLATES):
            model = self.make(index)
            found[template(index)] = keep(model) and (not after_cut or is_listed(model))
        return tuple(found.values())

    def _version(self, index: int, about: Template, age: int) -> CivitaiVersion:
        """A version; the one of age 0 is the newest."""
        number = about.versions - 1 - age
        version_id = 10 * _id(index) + number
        return CivitaiVersion(
            id=version_id,
            name=f"v{number + 1}",
            base_model=about.family.label,
            files=(_file(version_id, about),),
            trained_words=(f"sks{index}",) if about.trigger else (),
            published_at=iso(START + STEP * (index // self._ties) - age * 30 * _DAY),
            availability="EarlyAccess" if about.odd == "early access" and age == 0 else "Public",
            usage_control="Generation" if about.odd == "generation only" else "Download",
            nsfw_level=0 if about.odd == "unrated" else 1,
        )


def _id(index: int) -> int:
    return FIRST_ID + index


def _template(bits: int) -> Template:
    odd = _ODD[(bits >> 16) % 1000]
    return Template(
        type=_TYPES[bits % 256],
        family=FAMILIES[bits >> 8 & 3],
        odd=odd,
        versions=0 if odd == "no versions" else VERSIONS[bits >> 32 & 7],
        trigger=bits >> 40 & 3 != 0,
    )


def _file(version_id: int, about: Template) -> CivitaiFile:
    match about.type:
        case "LORA" | "LoCon" | "DoRA":
            content = partial(lora, about.family, version_id, f"sks{version_id}", lokr=about.type == "LoCon")
        case "TextualInversion":
            content = partial(inversion, about.family, version_id)
        case "Checkpoint" | "VAE":
            content = partial(full, about.family, version_id)
        case _:
            content = partial(_archive, version_id)
    archive = about.type in ("Poses", "Wildcards")
    return CivitaiFile(
        id=version_id,
        name=f"{about.type.lower()}_{version_id}.{'zip' if archive else 'safetensors'}",
        content=content,
        type="Archive" if archive else "Model",
        format="Other" if archive else "SafeTensor",
        hashed=about.odd != "unhashed",
    )


def _archive(version_id: int) -> bytes:
    return b"PK\x05\x06" + version_id.to_bytes(8) + bytes(10)
