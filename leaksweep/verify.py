"""An extraction made again from its recipe on this machine, and held against what is stored."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from crawler.checkpoint import Hub
from extraction.extraction import Pixels, Round
from leaksweep.downloads import store_of
from leaksweep.lookup import Found
from leaksweep.run import Run
from leaksweep.stages import open_descriptor_of
from leaksweep.stores import Stores, opened
from reports.matching.hashes import Hasher, canonical, open_hasher
from scanner.job import Job, Outcome
from scanner.ledger import Ledger
from scanner.machine import machine_of
from scanner.prefetch import Fetcher, Ready
from scanner.prompts import word_of
from scanner.remake import RemakeError, make_again, recipe_of
from scanner.tolerance import Tolerance, tolerance
from scanner.worker import choose_device


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How near the picture came that was made again."""

    extraction_id: str
    made_on: str
    here: str
    tolerance: Tolerance
    similarity: float
    """Cosine of the descriptors, stored and made again."""
    control_similarity: float
    """The same of the control: the base alone."""
    pdq_distance: int | None
    """Bits of 256; None where one of the two has no hash, or another version made it."""
    phash_distance: int | None
    """Bits of 64."""
    picture_kept: bool
    """The stored picture itself is still there; descriptor and hashes outlive it."""

    @property
    def passed(self) -> bool:
        lower = min(self.similarity, self.control_similarity)
        return self.tolerance.holds(lower, self.pdq_distance, self.phash_distance)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}

    def text(self) -> str:
        """For a person."""
        least = self.tolerance
        hashes = [
            f"{name} distance {'not comparable' if value is None else f'{value} (at most {most})'}"
            for name, value, most in (
                ("PDQ", self.pdq_distance, least.pdq),
                ("pHash", self.phash_distance, least.phash),
            )
        ]
        kept = "kept" if self.picture_kept else "erased; its descriptor and hashes were kept"
        return "\n".join(
            [
                f"{'PASS' if self.passed else 'FAIL'}: {self.extraction_id}, made again from its recipe",
                f"similarity of the descriptors {self.similarity:.4f} (at least {least.similarity:g})",
                f"the same of its control, the base alone: {self.control_similarity:.4f}",
                *hashes,
                f"tolerance: {least.title}. {least.why}",
                f"made on: {self.made_on or 'not recorded'}",
                f"here: {self.here}",
                f"stored picture: {kept}",
            ]
        )


def verify(run: Run, found: Found) -> Verified:
    """Make an extraction's picture again and compare.

    What it needs is downloaded when it is not in the store any more.

    Raises:
        RemakeError: it cannot be made as it was: no job or recipe, other or missing weights, or
            another descriptor.
        CrawlError, ExtractionError, ScanError, ReportError: a store cannot be used, or no descriptor.
    """
    row = found.row
    recipe = recipe_of(row["recipe"], row["recipe_id"])
    describe = open_descriptor_of(run.settings.model_copy(update={"recipe": recipe}))
    if describe.name != row["descriptor_name"]:
        raise RemakeError(
            f"{row['id']}: described by {row['descriptor_name']}, but there is {describe.name} here; the two "
            "cannot be compared. Set scanner.sscd_path as it was for the scan"
        )
    device = choose_device(run.settings.scanner.device)
    rounds = [Round(first=one["first"], avoided=tuple(one["avoided"])) for one in row["rounds"]]
    with opened(run) as stores, _fetched(run, row, stores) as ready:
        pictures = make_again(
            ready.base,
            ready.weights,
            recipe,
            row["prompt"],
            row["seed"],
            rounds,
            device=device,
            word=word_of(ready.job.checkpoint),
        )
        pdq, phash = _distances(stores, row["id"], pictures[0], open_hasher())
        kept = row["id"] in stores.extractions.image_ids()
    described = describe(pictures)
    here = machine_of(device)
    return Verified(
        extraction_id=row["id"],
        made_on=row["machine"],
        here=here,
        tolerance=tolerance(row["machine"], here, recipe.dtype),
        similarity=float(described[0] @ np.asarray(row["descriptor"], np.float32)),
        control_similarity=float(described[1] @ np.asarray(row["control_descriptor"], np.float32)),
        pdq_distance=pdq,
        phash_distance=phash,
        picture_kept=kept,
    )


@contextmanager
def _fetched(run: Run, row: dict[str, Any], stores: Stores) -> Iterator[Ready]:
    """The very files that were scanned; a scan that runs meanwhile does not remove them to make room."""
    catalog = stores.catalog
    job, store = _job(row, stores.ledger), store_of(run, catalog)
    base = catalog.bases.get(job.base_repo)
    with ExitStack() as stack:
        stack.enter_context(store.using(job.checkpoint.files, job.checkpoint.hub))
        stack.enter_context(store.using(base.files if base else (), Hub.HUGGINGFACE))
        yield _as_scanned(row, Fetcher(store, catalog.bases.get)(job))


def _as_scanned(row: dict[str, Any], got: Ready | Outcome) -> Ready:
    if isinstance(got, Outcome):
        raise RemakeError(f"{row['id']}: its files cannot be had: {got.reason}: {got.detail}")
    for what, stored, now in (
        (f"the weights of {row['checkpoint_id']}", row["weights"], got.weights.name),
        (f"the base model {row['base_repo']}", row["base_weights"], got.base.name),
    ):
        if stored and stored != now:
            raise RemakeError(
                f"{row['id']}: {what} are not those that were scanned: {stored} by content then, {now} now"
            )
    return got


def _job(row: dict[str, Any], ledger: Ledger) -> Job:
    try:
        job = ledger.job(row["job_id"])
    except ValidationError as error:
        raise RemakeError(
            f"{row['id']}: another version of leaksweep wrote its job {row['job_id']}; use that version"
        ) from error
    if job is None:
        raise RemakeError(
            f"{row['id']}: its job {row['job_id']} is not in the ledger, which says where the weights are; "
            "use the database it was scanned with"
        )
    return job


def _distances(stores: Stores, name: str, pixels: Pixels, hasher: Hasher) -> tuple[int | None, int | None]:
    """(PDQ, pHash) distance to the stored hashes, or to those of the stored picture."""
    made = hasher(canonical(Image.fromarray(pixels)))
    pictures = [png for _, png, _ in stores.extractions.images([name])]
    if pictures:
        with Image.open(io.BytesIO(pictures[0])) as image:
            kept = hasher(canonical(image))
        return _bits(kept.pdq, made.pdq), _bits(kept.phash, made.phash)
    for row in stores.hashes.hashes([name]).to_pylist():
        if row["hasher"] == hasher.name:
            return _bits(row["pdq"], made.pdq), _bits(row["phash"], made.phash)
    return None, None


def _bits(stored: bytes | None, made: bytes | None) -> int | None:
    if stored is None or made is None:
        return None
    return (int.from_bytes(stored, "big") ^ int.from_bytes(made, "big")).bit_count()
