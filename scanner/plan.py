"""From the catalog to jobs: what is to be scanned, what is not, and why not. Pure; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from types import MappingProxyType

from crawler.checkpoint import Base, BaseClaim, Checkpoint, Hub, Kind, PromptOrigin, Skip, SkipReason
from crawler.evidence.chain import chain
from extraction.recipe import Recipe
from scanner.job import Job
from scanner.prompts import candidates
from scanner.settings import ScannerSettings
from scanner.triage import by_value, header_reading, reason_to_set_aside

TakenDown = Callable[[Checkpoint], str | None]
"""Why a checkpoint is held down here (`crawler.store.takedowns`); None when it is not."""

ClaimsOf = Callable[[str], Sequence[BaseClaim]]

_ORIGINS = list(PromptOrigin)
"""Best first, as the enumeration is written."""


def plan(
    checkpoints: Iterable[Checkpoint],
    recipe: Recipe,
    bases: Callable[[str], Base | None],
    done: Container[str],
    *,
    missing: Mapping[str, Skip] = MappingProxyType({}),
    selected: Container[str] | None = None,
    settings: ScannerSettings | None = None,
) -> Iterator[Job | Skip]:
    """Yield one Job or Skip for each checkpoint, but nothing for a job whose id is in `done`.

    Jobs come grouped by their base, so that a worker's base model stays in memory, those that promise
    most for their time first (`scanner.triage`), and in the same order for the same catalog in whatever
    order it is read. Weights that several places hold are scanned
    once: where they were scanned before, else where base and prompt are best known; the other places
    are skips of their own kind. Reads all of `checkpoints` before the first yield.

    What is not selected decides still where weights are scanned and what is a base model, so that a
    selection leaves jobs out and never changes one.

    Args:
        bases: the base model's folder for a repository's name, None where the crawl did not find it.
        missing: why the crawl did not, by the repository's name.
        selected: contents (`content_of`) that jobs and skips are wanted for; None is all.
        settings: how many prompts a job has, and its triage; None is the default.
    """
    settings = settings or ScannerSettings()
    everything = {checkpoint.id: checkpoint for checkpoint in checkpoints}
    claimed = {checkpoint.base.repo for checkpoint in everything.values() if checkpoint.base}
    claims_of = partial(_claims_of, _by_repo(everything.values()))
    rows = [
        (checkpoint, _job_or_skip(checkpoint, recipe, bases, claimed, missing, claims_of, settings.prompts))
        for _, checkpoint in sorted(everything.items())
    ]
    jobs, skips = _one_place_for_each_content(rows, done, selected)
    yield from skips
    jobs = sorted(jobs, key=lambda job: (job.base_repo, job.checkpoint.id))
    # Ordered before what is done is left out, so that a plan made again goes on where it was.
    for job in jobs if settings.triage.mode == "off" else by_value(jobs):
        if job.id in done:
            continue
        why = reason_to_set_aside([header_reading(job.checkpoint)], settings.triage)
        yield _skip(job.checkpoint, SkipReason.SET_ASIDE_BY_TRIAGE, why) if why else job


@dataclass(slots=True)
class HeldDown:
    """Parts checkpoints into those that may be planned and those that were taken down here."""

    checkpoints: Iterable[Checkpoint]
    taken_down: TakenDown
    selected: Container[str] | None = None
    """As for `plan`."""
    skips: list[Skip] = field(default_factory=list)
    """The latter, as far as `others` has been read and they are selected."""

    def others(self) -> Iterator[Checkpoint]:
        """The former."""
        for checkpoint in self.checkpoints:
            if why := self.taken_down(checkpoint):
                if self.selected is None or content_of(checkpoint) in self.selected:
                    self.skips.append(_skip(checkpoint, SkipReason.TAKEN_DOWN, f"taken down here, {why}"))
            else:
                yield checkpoint


def content_of(checkpoint: Checkpoint) -> str:
    """What is the same wherever the same weights lie, as `crawler.catalog.selection.Place.content`."""
    return checkpoint.sha256 or checkpoint.id


def _job_or_skip(
    checkpoint: Checkpoint,
    recipe: Recipe,
    bases: Callable[[str], Base | None],
    claimed: Container[str | None],
    missing: Mapping[str, Skip],
    claims_of: ClaimsOf,
    most_prompts: int,
) -> Job | Skip:
    claim = checkpoint.base
    if _is_base_model(checkpoint, claim, claimed):
        return _skip(checkpoint, SkipReason.BASE_MODEL, "fine-tunes name it as their base")
    if claim is None or claim.repo is None:
        detail = f"no statement names its base model; its family is {checkpoint.family or 'unknown'}"
        return _skip(checkpoint, SkipReason.UNKNOWN_BASE, detail)
    nearest = claim.repo if bases(claim.repo) else _behind(checkpoint, bases, claims_of)
    if nearest is None:
        why = missing.get(claim.repo)
        detail = f"{why.reason}, {why.detail}" if why else "it is not in the catalog; crawl again"
        detail = f"its base {claim.repo} (by {claim.source}): {detail}"
        return _skip(checkpoint, SkipReason.MISSING_BASE, detail)
    pictures = checkpoint.training.images
    prompt, *more = (candidate.prompt for candidate in candidates(checkpoint, most_prompts))
    return Job(
        checkpoint=checkpoint,
        recipe=recipe,
        prompt=prompt,
        more_prompts=tuple(more),
        base_repo=nearest,
        generations=recipe.generations(pictures),
        pictures=pictures or recipe.pictures,
    )


def _behind(checkpoint: Checkpoint, bases: Callable[[str], Base | None], claims_of: ClaimsOf) -> str | None:
    """The first base behind the claimed one that can be loaded: a LoRA on a fine-tune that is a single file.

    What the fine-tune between them was taught is then part of the difference; `leaksweep explain` says so.
    """
    own = checkpoint.id
    found = chain(
        own,
        lambda name: checkpoint.claims if name == own else claims_of(name),
        lambda base: bases(base) is not None,
    )
    return found.nearest.base if found.nearest else None


def _by_repo(checkpoints: Iterable[Checkpoint]) -> dict[str, list[Checkpoint]]:
    found: dict[str, list[Checkpoint]] = defaultdict(list)
    for checkpoint in checkpoints:
        found[checkpoint.repo].append(checkpoint)
    return found


def _claims_of(places: Mapping[str, Sequence[Checkpoint]], repo: str) -> tuple[BaseClaim, ...]:
    """What is claimed of the base of a repository's checkpoints, all together."""
    return tuple(dict.fromkeys(claim for one in places.get(repo, ()) for claim in one.claims))


def _is_base_model(checkpoint: Checkpoint, claim: BaseClaim | None, claimed: Container[str | None]) -> bool:
    """Full weights in a repository that is its own base, or that others name and that names none itself."""
    if checkpoint.kind is not Kind.FULL or checkpoint.hub is not Hub.HUGGINGFACE:
        return False
    return claim.repo == checkpoint.repo if claim else checkpoint.repo in claimed


def _one_place_for_each_content(
    rows: Iterable[tuple[Checkpoint, Job | Skip]], done: Container[str], selected: Container[str] | None
) -> tuple[list[Job], list[Skip]]:
    def content(row: tuple[Checkpoint, Job | Skip]) -> str:
        return content_of(row[0])

    jobs: list[Job] = []
    skips: list[Skip] = []
    for one, places in groupby(sorted(rows, key=content), key=content):
        if selected is not None and one not in selected:
            continue
        rest = list(places)
        candidates = [row for _, row in rest if isinstance(row, Job)]
        if not candidates:
            skips.extend(row for _, row in rest if isinstance(row, Skip))
            continue
        chosen = min(candidates, key=lambda job: _preference(job, done))
        jobs.append(chosen)
        detail = f"the same file as {chosen.checkpoint.id}, which stands for it"
        skips.extend(
            row
            if isinstance(row, Skip) and row.reason is SkipReason.BASE_MODEL
            else _skip(checkpoint, SkipReason.SAME_CONTENT, detail)
            for checkpoint, row in rest
            if row is not chosen
        )
    return jobs, skips


def _preference(job: Job, done: Container[str]) -> tuple[bool, int, int, str]:
    claim = job.checkpoint.base
    grade = claim.grade if claim else 0
    return job.id not in done, -grade, _ORIGINS.index(job.prompt.origin), job.checkpoint.id


def _skip(checkpoint: Checkpoint, reason: SkipReason, detail: str) -> Skip:
    return Skip(
        hub=checkpoint.hub,
        repo=checkpoint.repo,
        revision=checkpoint.revision,
        path=checkpoint.path,
        reason=reason,
        detail=detail,
        kind=checkpoint.kind,
        family=checkpoint.family,
    )
