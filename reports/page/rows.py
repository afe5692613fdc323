"""The findings as the page's script reads them: JSON in columns, safe inside a <script> element."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.export.text import visible
from reports.finding import FindingState
from reports.settings import Ladder, ReportsSettings

Row = dict[str, Any]

CHECKPOINT = ("hub", "repo", "url", "family", "kind", "path", "checkpoint_sha256")
"""Written once for each checkpoint, however many findings it has."""

FINDING = (
    "id",
    "severity",
    "state",
    "rule",
    "explained_by_base",
    "explained_by_others",
    "set",
    "ref_id",
    "occurrences",
    "similarity",
    "normalised_similarity",
    "control_similarity",
    "others_similarity",
    "descriptor",
    "pdq_distance",
    "control_pdq_distance",
    "others_pdq_distance",
    "phash_distance",
    "control_phash_distance",
    "others_phash_distance",
    "phash256_distance",
    "control_phash256_distance",
    "others_phash256_distance",
    "p_value",
    "others",
    "others_same_base",
    "others_as_near",
    "mirrored",
    "cluster_size",
    "cohesion",
    "seed",
    "prompt_origin",
    "recipe_id",
    "first_seen",
    "last_seen",
    "changed",
    "label",
    "settled_by",
    "settled_why",
    "settled_at",
    "settled_until",
)
"""Of the findings frame, those that it has. Prompts are not among them, and neither are hashes."""

EXPLAINED = "explained"
STANDINGS = (
    FindingState.NEW,
    FindingState.CHANGED,
    FindingState.KNOWN,
    EXPLAINED,
    FindingState.SUPPRESSED,
    FindingState.WITHDRAWN,
    FindingState.GONE,
)
"""What a reader sorts findings by, one for each: its state, or that something else explains it.
The first three count."""

_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""What could end the element or begin another. They stand inside JSON strings only, where these mean them."""

_DIGITS = 3
"""Significant ones of a similarity or a p-value: finer than any rung."""


def findings_rows(frame: pd.DataFrame) -> list[Row]:
    """Return one row for each finding, in the frame's order, every text visible and None for what is missing.

    `places` lists the checkpoint ids with these very weights, and `standing` is one of `STANDINGS`.
    """
    rows: dict[str, Row] = {}
    wanted = ("checkpoint_id", "extraction_id", *CHECKPOINT, *FINDING)
    names = [name for name in wanted if name in frame.columns]
    for place in frame_rows(frame[names]):
        row = rows.setdefault(place["id"], {**place, "standing": standing(place), "places": []})
        row["places"].append(place)
    return list(rows.values())


def frame_rows(frame: pd.DataFrame) -> list[Row]:
    """Return a frame's rows, every text visible and None for what is missing."""
    named = {str(name): _plain(frame[name]) for name in frame.columns}
    return [dict(zip(named, values, strict=True)) for values in zip(*named.values(), strict=True)]


def standing(row: Mapping[str, Any]) -> str:
    explained = row["explained_by_base"] or row["explained_by_others"]
    alive = row["state"] in {FindingState.NEW, FindingState.CHANGED, FindingState.KNOWN}
    return EXPLAINED if explained and alive else str(row["state"])


def findings_json(rows: Sequence[Row], settings: ReportsSettings, pictures: Mapping[str, str]) -> Markup:
    """Return the rows, the checkpoints they name and the rungs in force, as JSON for a <script> element.

    Args:
        pictures: by extraction id, the element that shows it.
    """
    places = {place["checkpoint_id"]: place for row in rows for place in row["places"]}
    numbers = {name: number for number, name in enumerate(places)}
    found = [
        {
            **{name: _short(row[name]) for name in FINDING if name in row},
            "standing": row["standing"],
            "checkpoint": numbers[row["checkpoint_id"]],
            "elsewhere": ",".join(str(numbers[place["checkpoint_id"]]) for place in row["places"][1:])
            or None,
            "seed": None if row["seed"] is None else str(row["seed"]),  # 64 bits, and JavaScript has 53
            "picture": pictures.get(row["extraction_id"] or ""),
        }
        for row in rows
    ]
    descriptors = {row["descriptor"] for row in rows if row["descriptor"]}
    content = {
        "count": len(found),
        "findings": columns(found),
        "checkpoints": columns([{name: place[name] for name in CHECKPOINT} for place in places.values()]),
        "rungs": {
            "": rungs(settings.ladder, descriptors),
            **{visible(name): rungs(ladder, descriptors) for name, ladder in settings.sets.items()},
        },
        "min_others": settings.min_others,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_UNSAFE))


def rungs(ladder: Ladder, descriptors: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return the limits by measure (a column's name or a descriptor's) and severity."""
    return {
        "pdq_distance": {"critical": ladder.pdq_critical, "high": ladder.pdq_high, "low": ladder.pdq_low},
        "phash_distance": {"high": ladder.phash_high, "low": ladder.phash_low},
        "phash256_distance": {"high": ladder.phash256_high, "low": ladder.phash256_low},
        **{
            name: ladder.similarities(name).model_dump(exclude={"normalised_high"})  # another scale
            for name in sorted(descriptors)
        },
    }


def columns(rows: Sequence[Row]) -> dict[str, Any]:
    """Return rows by column: as they are, or words and which of them each row has, where words come again.

    A column with one word has no `at`; one that is empty everywhere is left out.
    """
    packed: dict[str, Any] = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        at = {word: number for number, word in enumerate(dict.fromkeys(values))}
        if len(at) == 1:
            packed |= {name: {"words": list(at)}} if values[0] is not None else {}
        elif 2 * len(at) < len(values):
            packed[name] = {"words": list(at), "at": [at[value] for value in values]}
        else:
            packed[name] = values
    return packed


def _plain(values: pd.Series[Any]) -> list[Any]:
    return [
        None if missing else visible(value) if isinstance(value, str) else value
        for value, missing in zip(values.tolist(), values.isna().tolist(), strict=True)
    ]


def _short(value: Any) -> Any:
    """Return the value in as few characters as tell it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.{_DIGITS}g}")
    return value
