"""Triage in a scan: which checkpoints come first, and which are set aside. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from crawler.checkpoint import Checkpoint, Kind
from extraction.triage.exposure import Exposure
from extraction.triage.reading import Reading, Rung, reading
from scanner.job import Job
from scanner.settings import TriageSettings

UNKNOWN_SCORE = 0.5
"""What a checkpoint whose header tells nothing is taken to promise: the middle, so that it neither waits
for all others nor goes before them."""

TFLOP = {
    "sd1": 0.80,
    "sd2": 0.80,
    "sdxl": 6.8,
    "sd3": 8.9,
    "flux": 74.4,
    "qwen-image": 69.3,
    "z-image": 55.6,
}
"""One forward of one picture at the size that the family was trained at, counted on diffusers' modules on
the meta device, 1 multiply-add as 2. They order bases and decide nothing else."""

OTHER_TFLOP = 20.0
"""A family that is not in the table: between SD 3 and FLUX, as most diffusion transformers are."""

TFLOP_PER_SECOND = 250.0
"""Eager 16-bit arithmetic in batches on one large GPU. Only its proportion to the overheads matters."""

OVERHEAD_SECONDS = {Kind.FULL: 3.0}
"""Reading and swapping in a checkpoint; adapters take about one second."""

BASE_SECONDS = 20.0
"""Loading a base twice, which a base with few checkpoints has to be worth."""


def header_reading(checkpoint: Checkpoint) -> Reading:
    """The first rung, from what the crawl knows."""
    training = checkpoint.training
    facts = Exposure(
        kind=str(checkpoint.kind),
        pictures=training.images,
        steps=training.steps,
        batch=training.batch,
        rank=training.rank,
    )
    return reading(Rung.HEADER, facts)


def reason_to_set_aside(readings: Iterable[Reading], settings: TriageSettings) -> str | None:
    """The first reading that is below its threshold, in words; None when there is none."""
    for one in readings:
        threshold = settings.thresholds.get(one.rung)
        if one.below(threshold):
            return (
                f"rung '{one.rung}': score {one.score:.3g} is below scanner.triage.{one.rung}_below = "
                f"{threshold:g}; {one.why}. Lower the threshold or set scanner.triage.mode to scan it"
            )
    return None


def recorded(readings: Iterable[Reading]) -> list[dict[str, Any]]:
    """Readings as the ledger keeps them among a job's measures, under "triage"."""
    return [asdict(one) for one in readings]


def stands(measures: Mapping[str, Any], settings: TriageSettings) -> bool:
    """Whether a job that was set aside would be set aside by the settings of today.

    What cannot be read would not: a job comes back rather than staying away for a reason nobody knows.
    """
    rows = measures.get("triage")
    try:
        return reason_to_set_aside([_read(row) for row in rows or ()], settings) is not None
    except (TypeError, ValueError):
        return False


def by_value(jobs: Iterable[Job]) -> list[Job]:
    """Jobs in the order of expected findings per second of device time, those of one base together."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.base_repo, []).append(job)

    def group_value(repo: str) -> tuple[float, str]:
        found = sum(expected_findings(job) for job in groups[repo])
        return -found / (BASE_SECONDS + sum(expected_seconds(job) for job in groups[repo])), repo

    def value(job: Job) -> tuple[float, str]:
        return -expected_findings(job) / expected_seconds(job), job.checkpoint.id

    return [job for repo in sorted(groups, key=group_value) for job in sorted(groups[repo], key=value)]


def expected_findings(job: Job) -> float:
    """Pictures of the training set, each with the header's score as its chance. A ranking, no forecast."""
    score = header_reading(job.checkpoint).score
    return job.pictures * (UNKNOWN_SCORE if score is None else score)


def expected_seconds(job: Job) -> float:
    """Device time of a full run: the recipe's forwards, and the overhead."""
    forwards = job.recipe.forwards_per_image * job.generations
    arithmetic = forwards * TFLOP.get(job.checkpoint.family, OTHER_TFLOP) / TFLOP_PER_SECOND
    return arithmetic + OVERHEAD_SECONDS.get(job.checkpoint.kind, 1.0)


def _read(row: Mapping[str, Any]) -> Reading:
    return Reading(**{**row, "rung": Rung(row["rung"])})
