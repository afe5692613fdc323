"""The columns of the three exported tables: name, type and meaning. docs/exports.md is printed from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from crawler.checkpoint import Grade, Hub, Kind
from reports.coverage import UNPLANNED
from reports.finding import FindingState, Severity
from scanner.job import State

Type = Literal["string", "int64", "double", "bool"]

COLUMNS_VERSION = 2
"""Raised when a column changes its name, type or meaning; a new column does not raise it."""
COLUMNS_MINOR = 0
"""Raised when there is a new column; 0 again with every new `COLUMNS_VERSION`."""

PANDAS: dict[Type, str] = {"string": "string", "int64": "Int64", "double": "Float64", "bool": "boolean"}
ARROW: dict[Type, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an exported table."""

    name: str
    type: Type
    meaning: str
    always: bool = False
    """Never null. Every other column may be null where its meaning does not apply."""
    values: tuple[str, ...] = ()
    """All that it can hold; empty: anything of its type."""
    pattern: str = ""
    """Regular expression (ECMA 262) that its text matches."""


_CHECKPOINT = (
    Column("checkpoint_id", "string", "Hub, repository, revision and path: the same from run to run.", True),
    Column("hub", "string", "`huggingface` or `civitai`.", values=tuple(map(str, Hub))),
    Column("repo", "string", "`owner/name` on Hugging Face, the model's number on Civitai."),
    Column("revision", "string", "Commit on Hugging Face, the version's number on Civitai."),
    Column("path", "string", "The weights file in the repository; empty for a folder or a whole repository."),
    Column("url", "string", "Page of the checkpoint on its hub; null where the hub has no public page."),
    Column("family", "string", "Model family, such as `sd1`."),
    Column(
        "kind",
        "string",
        "`full`, `lora`, `dora`, `lokr`, `loha`, `difference` or `textual_inversion`.",
        values=tuple(map(str, Kind)),
    ),
)

_SEVERITIES = tuple(severity.label for severity in reversed(Severity))

FINDINGS = (
    Column("id", "string", "16 hex digits, the same from run to run.", True, pattern="^[0-9a-f]{16}$"),
    Column("severity", "string", "`critical`, `high`, `medium` or `low`.", True, _SEVERITIES),
    Column(
        "state",
        "string",
        "`new`, `known`, `changed`, `gone`, `suppressed` or `withdrawn`.",
        True,
        tuple(map(str, FindingState)),
    ),
    Column("changed", "string", "What differs from the run before, for a person; null but for `changed`."),
    Column("rule", "string", "The rule of the severity ladder that applied, with its threshold."),
    Column(
        "counts", "bool", "Seen by the last run, not set aside, explained by neither base nor others.", True
    ),
    Column("explained_by_base", "bool", "The base model alone comes as near: shown, never counted."),
    Column("explained_by_others", "bool", "Half of the wrong checkpoints come as near: never counted."),
    *_CHECKPOINT,
    Column("places", "int64", "Checkpoints with these very weights that gave the picture; each has a row."),
    Column("checkpoint_sha256", "string", "Digest of the weights, where the hub tells it."),
    Column("set", "string", "Name of the reference set.", True),
    Column("ref_id", "string", "The reference in its set: a file name, or its place in a hash list.", True),
    Column("extraction_id", "string", "The nearest extraction; see the extractions table.", True),
    Column("occurrences", "int64", "How many extractions match this reference."),
    Column("similarity", "double", "Cosine of extraction and reference, -1 to 1. Higher is nearer."),
    Column("normalised_similarity", "double", "The same less what it reaches on the background set."),
    Column("control_similarity", "double", "Cosine of the control (the base alone) and the reference."),
    Column("descriptor", "string", "What measured the similarity, with its maker. Never compare two makers."),
    Column("pdq_distance", "int64", "PDQ distance in bits of 256, of picture or mirror. Lower is nearer."),
    Column("phash_distance", "int64", "pHash distance in bits of 64, of picture or mirror. Lower is nearer."),
    Column("phash256_distance", "int64", "The same of 256-bit pHash, in bits of 256."),
    Column("control_pdq_distance", "int64", "PDQ distance of control and reference, bits of 256."),
    Column("control_phash_distance", "int64", "pHash distance of control and reference, bits of 64."),
    Column("control_phash256_distance", "int64", "The same of 256-bit pHash, in bits of 256."),
    Column("p_value", "double", "(1 + `others_as_near`) / (`others` + 1); null: too few, not calibrated."),
    Column("others", "int64", "Wrong checkpoints that were held against the reference."),
    Column("others_same_base", "bool", "Whether all of these have the same base model."),
    Column("others_as_near", "int64", "As many of these come as near or nearer."),
    Column("others_similarity", "double", "Median over these of their best cosine to the reference."),
    Column("others_pdq_distance", "double", "Median over these of their best PDQ distance."),
    Column("others_phash_distance", "double", "Median over these of their best pHash distance."),
    Column("others_phash256_distance", "double", "Median over these of their best 256-bit pHash distance."),
    Column("mirrored", "bool", "Whether the mirror was nearer than the picture."),
    Column("cluster_size", "int64", "How many generations came out nearly the same."),
    Column("cohesion", "double", "Mean cosine of the extraction to its cluster, -1 to 1. Higher is tighter."),
    Column("seed", "int64", "Seed of the extraction: with the recipe it gives the picture again."),
    Column("prompt_origin", "string", "Where the prompt was found; itself it is in the extractions table."),
    Column("recipe_id", "string", "12 hex digits: everything that decides a result."),
    Column("first_seen", "string", "The run that found it first, ISO 8601, UTC."),
    Column("last_seen", "string", "The last run that found it, ISO 8601, UTC."),
    Column("first_run", "int64", "Number of the run that found it first."),
    Column("last_run", "int64", "Number of the last run that found it."),
    Column(
        "settled_by", "string", "Who suppressed it or withdrew its reference; `set NAME`: a negative set."
    ),
    Column("settled_why", "string", "The reason that was given."),
    Column("settled_at", "string", "When, ISO 8601, UTC."),
    Column("settled_until", "string", "When the suppression ends, ISO 8601, UTC; null: it does not."),
    Column(
        "label",
        "string",
        "`confirmed`, `false_positive`, `unsure` or `escalate`, as reviewers settled it.",
    ),
)

EXTRACTIONS = (
    Column("extraction_id", "string", "The same from run to run.", True),
    *_CHECKPOINT,
    Column("recipe_id", "string", "12 hex digits: everything that decides a result."),
    Column("rank", "int64", "0 is the best of its checkpoint."),
    Column("seed", "int64", "Seed of the extraction: with the recipe it gives the picture again."),
    Column("prompt", "string", "The prompt, as the hub or the operator gave it. May name a person."),
    Column("prompt_origin", "string", "Where the prompt was found."),
    Column("cluster_size", "int64", "How many generations came out nearly the same."),
    Column("cohesion", "double", "Mean cosine of the extraction to its cluster, -1 to 1. Higher is tighter."),
    Column("score", "double", "What it was ranked by; comparable within one recipe only."),
    Column(
        "control_similarity", "double", "Cosine of extraction and control. Near 1: the base gives it too."
    ),
    Column("likelihood_ratio", "double", "How much better the tuned model predicts it than the base."),
    Column("nearest_other", "string", "The nearest extraction of another place with the same base model."),
    Column("nearest_other_similarity", "double", "Cosine of the two, -1 to 1."),
    Column("shared", "bool", "They are one picture: from the base, or from a training set that both had."),
    Column("recipes", "int64", "Other recipes that the checkpoint was scanned with."),
    Column("recipes_agreeing", "int64", "Of these, how many gave the same picture."),
    Column("descriptor", "string", "What measured cohesion and control, with its maker."),
    Column("findings", "int64", "Findings that rest on this extraction and count."),
)

CHECKPOINTS = (
    *_CHECKPOINT,
    Column("title", "string", "The name that its author gave it."),
    Column("base_repo", "string", "Base model it is compared with."),
    Column("evidence_source", "string", "Who names the base, such as `header digest` or `card`."),
    Column(
        "evidence_grade",
        "string",
        "How far that can be trusted: `digest`, `declared` or `label`.",
        values=tuple(grade.name.lower() for grade in Grade),
    ),
    Column(
        "state",
        "string",
        "Of the scan: `done`, `skipped`, `failed`, `quarantined`, `leased`, `queued`, `unplanned`.",
        True,
        (*map(str, State), UNPLANNED),
    ),
    Column("reason", "string", "Why it was skipped, from a fixed list, or the name of the error."),
    Column("detail", "string", "The same for a person."),
    Column("jobs", "int64", "Scans planned for it: one for each recipe and prompt."),
    Column("jobs_done", "int64", "Of these, how many are done."),
    Column("attempts", "int64", "Attempts over all jobs."),
    Column("generations", "int64", "Pictures that were generated to find the extractions."),
    Column("extractions", "int64", "Extractions over all jobs."),
    Column("findings", "int64", "Findings that count: neither gone nor explained."),
    Column("worst", "string", "Highest severity among these.", values=_SEVERITIES),
    Column("seconds", "double", "Time on a worker, over all jobs."),
    Column("scanned_at", "string", "When the ledger last changed, ISO 8601, UTC."),
)

TABLES = {"findings": FINDINGS, "extractions": EXTRACTIONS, "checkpoints": CHECKPOINTS}


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Return the columns as an Arrow schema with each meaning in its field's `description`."""
    fields = [
        pa.field(each.name, ARROW[each.type], metadata={"description": each.meaning}) for each in columns
    ]
    return pa.schema(fields, metadata={"leaksweep.columns_version": str(COLUMNS_VERSION)})


def markdown(columns: tuple[Column, ...]) -> str:
    """Return the columns as a Markdown table."""
    rows = [f"| `{column.name}` | {column.type} | {column.meaning} |" for column in columns]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows]) + "\n"
