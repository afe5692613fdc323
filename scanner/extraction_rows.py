"""What is stored of an extraction: its columns, its id, its picture as a file. No torch."""

from __future__ import annotations

import io
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa
from PIL import Image

from extraction.extraction import Extraction, Pixels
from scanner.job import Job, Outcome

_ROUND = pa.struct([pa.field("first", pa.int64()), pa.field("avoided", pa.list_(pa.int64()))])

EXTRACTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("job_id", pa.string(), nullable=False),
        pa.field("checkpoint_id", pa.string(), nullable=False),
        pa.field("checkpoint_key", pa.string(), nullable=False),
        pa.field("base_repo", pa.string(), nullable=False),
        pa.field("weights", pa.string(), nullable=False),
        pa.field("base_weights", pa.string(), nullable=False),
        pa.field("machine", pa.string(), nullable=False),
        pa.field("recipe_id", pa.string(), nullable=False),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("prompt_origin", pa.string(), nullable=False),
        pa.field("rounds", pa.list_(_ROUND), nullable=False),
        pa.field("cluster", pa.list_(pa.int64()), nullable=False),
        pa.field("cluster_size", pa.int32(), nullable=False),
        pa.field("cohesion", pa.float32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("likelihood_ratio", pa.float32()),
        pa.field("descriptor", pa.list_(pa.float32()), nullable=False),
        pa.field("descriptor_name", pa.string(), nullable=False),
        pa.field("control_descriptor", pa.list_(pa.float32()), nullable=False),
        pa.field("control_similarity", pa.float32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""`id` is "<job_id>-<rank, three digits>"; `recipe` is JSON; `cluster` holds the members' seeds; `weights`
and `base_weights` are the names that the download store gives by content, `machine` is what it was made on
(`scanner.machine`); the other fields are those of `Extraction` and `Checkpoint`, sides in pixels. On the disk
the descriptors are sealed (`scanner.sealed_vectors`)."""


def extraction_row(job: Job, outcome: Outcome, extraction: Extraction, now: datetime) -> dict[str, Any]:
    height, width, _ = extraction.pixels.shape
    made = outcome.measures or {}
    origins = {prompt.text: prompt.origin for prompt in job.prompts}
    return {
        "id": extraction_id(job.id, extraction),
        "job_id": job.id,
        "checkpoint_id": job.checkpoint.id,
        "checkpoint_key": job.checkpoint.key,
        "base_repo": job.base_repo,
        **{name: str(made.get(name, "")) for name in ("weights", "base_weights", "machine")},
        "recipe_id": job.recipe.id,
        "recipe": job.recipe.model_dump_json(),
        "rank": extraction.rank,
        "seed": extraction.seed,
        "prompt": extraction.prompt,
        "prompt_origin": str(origins.get(extraction.prompt, job.prompt.origin)),
        "rounds": [asdict(one) for one in extraction.rounds],
        "cluster": list(extraction.cluster),
        "cluster_size": len(extraction.cluster),
        "cohesion": extraction.cohesion,
        "score": extraction.score,
        "likelihood_ratio": extraction.likelihood_ratio,
        "descriptor": extraction.descriptor,
        "descriptor_name": outcome.descriptor,
        "control_descriptor": extraction.control_descriptor,
        "control_similarity": extraction.control_similarity,
        "width": width,
        "height": height,
        "created_at": now,
    }


def extraction_id(job_id: str, extraction: Extraction) -> str:
    """The id that a job's extraction is stored under."""
    return f"{job_id}-{extraction.rank:03d}"


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
