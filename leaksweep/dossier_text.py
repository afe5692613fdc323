"""A dossier in plain words, for a terminal: strangers' text is escaped, paths and names are not shown."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.checkpoint import BaseClaim, Checkpoint, Grade, Training
from crawler.evidence.plain_text import clean, printable
from leaksweep.dossier import Dossier, subject_id

GRADES = {
    Grade.NAME: "a word in a name",
    Grade.LABEL: "a label from a list",
    Grade.DECLARED: "declared",
    Grade.LOADED: "noted by the tool that loaded it",
    Grade.DIGEST: "the base's SHA-256",
    Grade.TENSORS: "proved by names and shapes",
}
_SHOWN = 120
"""Characters of a text of strangers."""


def text(dossier: Dossier) -> str:
    """The dossier, a line for each thing known. No line holds a character that a terminal would obey."""
    return "\n".join(printable(line) for line in _lines(dossier))


def _lines(dossier: Dossier) -> Iterator[str]:
    yield from _head(dossier)
    if isinstance(dossier.subject, Checkpoint):
        yield from _base(dossier)
        yield from _chain(dossier)
        yield from _training(dossier.subject)
        if seen := dossier.observed():
            counts = ", ".join(f"{count} {what}" for what, count in seen.items())
            yield f"Given away by its header: {counts}; kept as keyed hashes, shown nowhere."
        for place in dossier.places:
            yield f"Same file: {place}"
    yield from _history(dossier)
    yield from _jobs(dossier)


def _head(dossier: Dossier) -> Iterator[str]:
    subject, own = dossier.subject, subject_id(dossier.subject)
    if not isinstance(subject, Checkpoint):
        yield f"Left out: {own}"
        yield f"Because: {subject.reason}: {subject.detail}"
        return
    yield f"Checkpoint {own} (key {subject.key})" + (", superseded" if dossier.superseded else "")
    yield f"  {subject.kind}, {subject.family}, {len(subject.files)} file(s)" + (
        f", titled {_quoted(subject.title)}" if subject.title else ""
    )
    if subject.sha256:
        yield f"  SHA-256 {subject.sha256}"


def _base(dossier: Dossier) -> Iterator[str]:
    decision = dossier.decision
    if decision.claim:
        claim = decision.claim
        yield f"Base: {claim.repo}, by {claim.source} ({GRADES[claim.grade]})."
    else:
        yield "Base: not known. No claim names a repository that can be compared with."
    if decision.family_claim:
        by = decision.family_claim
        yield f"Family: {decision.family}, by {by.source} ({GRADES[by.grade]})."
    nearest = decision.nearest
    if nearest and nearest is not decision.claim and nearest.base != decision.repo:
        what = nearest.base or f"the file with SHA-256 {nearest.digest}, which nobody here knows"
        yield f"Nearer: {what}, by {nearest.source} ({GRADES[nearest.grade]})."
    yield "Claims, best first:" if dossier.claims else "Claims: none."
    for claim in dossier.claims:
        read = f": read {_quoted(claim.detail)}" if claim.detail and claim.detail != claim.repo else ""
        yield f"  {GRADES[claim.grade]}, {claim.source}: {_said(claim)}{read}"
    for conflict in decision.conflicts:
        yield f"  not followed: {conflict.claim.source}: {conflict.why}"


def _said(claim: BaseClaim) -> str:
    told = [claim.base, claim.family and f"family {claim.family}"]
    if claim.digest and not claim.base:
        told.append(f"SHA-256 {claim.digest}")
    return ", ".join(filter(None, told)) or "nothing"


def _chain(dossier: Dossier) -> Iterator[str]:
    lineage = dossier.lineage
    if not lineage.links:
        return
    yield "Chain: " + " <- ".join(link.base for link in lineage.links) + f" ({lineage.end})"
    if lineage.nearest and lineage.skipped:
        yield (
            f"  compared with {lineage.nearest.base}: what {', '.join(lineage.skipped)} was taught "
            "cannot be told apart from what this file was taught"
        )


def _training(checkpoint: Checkpoint) -> Iterator[str]:
    yield "Prompts, best first:" if checkpoint.prompts else "Prompts: none known."
    for prompt in checkpoint.prompts:
        yield f"  {prompt.origin}: {_quoted(prompt.text)}" + (
            f", from {prompt.source}" if prompt.source else ""
        )
    known, told = checkpoint.training, dict(checkpoint.training.sources)
    names = [name for name in Training.__dataclass_fields__ if name != "sources"]
    facts = [(name, getattr(known, name)) for name in names if getattr(known, name) is not None]
    yield "Training:" if facts else "Training: nothing known."
    for name, value in facts:
        yield f"  {name} {value}" + (f", from {told[name]}" if name in told else "")
    if known.exposure:
        yield f"  each picture was shown about {known.exposure:.0f} times"


def _history(dossier: Dossier) -> Iterator[str]:
    one = dossier.standing
    if one is None:
        yield "Repository: no listing has shown it."
        return
    waiting = ", still to be looked into" if one.pending else ""
    missed = f", not in the last {one.missed} full passes" if one.missed else ""
    yield (
        f"Repository: {one.presence}, first seen {one.first_seen}, "
        f"last seen {one.last_seen}{missed}{waiting}."
    )
    for change in one.changes:
        yield f"  {change.at} {change.what}" + (f": {clean(change.detail, _SHOWN)}" if change.detail else "")


def _jobs(dossier: Dossier) -> Iterator[str]:
    if not dossier.jobs:
        yield "Scan: no job; leaksweep plan makes one, or says why not."
    for job in dossier.jobs:
        why = f": {job.reason}, {clean(job.detail, 2 * _SHOWN)}" if job.reason else ""
        made = f", {job.extractions} extraction(s)" if job.extractions else ""
        yield f"Scan: {job.state} by recipe {job.recipe_id} (job {job.job_id}){made}{why}"


def _quoted(words: str) -> str:
    return f'"{clean(words, _SHOWN)}"'
