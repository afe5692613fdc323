"""What is known of a checkpoint before it is scanned: its evidence, its base, its places, its history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crawler.catalog.finding import named, places
from crawler.catalog.history import Standing, standing
from crawler.catalog.lineage import claims_of, identities
from crawler.checkpoint import BaseClaim, Checkpoint, Skip
from crawler.evidence.chain import Chain, chain
from crawler.evidence.identity import unknown_digests, with_identity
from crawler.evidence.resolve import Decision, resolve
from scanner.job import LedgerRow

if TYPE_CHECKING:
    from crawler.catalog import Catalog
    from scanner.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """One checkpoint, or one thing that was left out."""

    subject: Checkpoint | Skip
    superseded: bool
    """Whether its hub shows another revision now, or nothing."""
    claims: tuple[BaseClaim, ...]
    """Best first; digests that the catalog knows are named."""
    decision: Decision
    lineage: Chain
    places: tuple[str, ...]
    """Ids of other checkpoints that are the same file."""
    standing: Standing | None
    jobs: tuple[LedgerRow, ...]
    """Of all recipes; what the plan left out is among them, as skipped without an attempt."""

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain tables."""
        subject = asdict(self.subject)
        subject.pop("claims", None)
        subject.pop("observations", None)
        return {
            "id": subject_id(self.subject),
            "key": self.subject.key if isinstance(self.subject, Checkpoint) else None,
            "what": "checkpoint" if isinstance(self.subject, Checkpoint) else "skip",
            "superseded": self.superseded,
            "subject": subject,
            "claims": list(map(_claim, self.claims)),
            "decision": {
                "repo": self.decision.repo,
                "family": self.decision.family,
                "grade": _grade(self.decision.claim),
                "source": self.decision.claim.source if self.decision.claim else None,
                "nearest": _claim(self.decision.nearest) if self.decision.nearest else None,
                "conflicts": [
                    {"why": one.why, "claim": _claim(one.claim)} for one in self.decision.conflicts
                ],
            },
            "chain": {
                "links": [
                    {"base": link.base, "loadable": link.loadable, "grade": _grade(link.claim)}
                    for link in self.lineage.links
                ],
                "compared_with": self.lineage.nearest.base if self.lineage.nearest else None,
                "not_seen_apart": self.lineage.skipped,
                "behind": self.lineage.behind,
                "end": self.lineage.end,
            },
            "observations": self.observed(),
            "places": self.places,
            "repository": asdict(self.standing) if self.standing else None,
            "jobs": [
                {
                    "job_id": job.job_id,
                    "recipe_id": job.recipe_id,
                    "state": str(job.state),
                    "reason": job.reason,
                    "detail": job.detail,
                    "extractions": job.extractions,
                }
                for job in self.jobs
            ],
        }

    def observed(self) -> dict[str, int]:
        """How many observations there are of each kind. What they say is shown nowhere."""
        found = self.subject.observations if isinstance(self.subject, Checkpoint) else ()
        return dict(sorted(Counter(one.what for one in found).items()))


def dossiers(catalog: Catalog, ledger: Ledger, name: str) -> Iterator[Dossier]:
    """Yield a dossier for each checkpoint and each skip that goes by a name, checkpoints first."""
    found = named(catalog.engine, name)
    missing = catalog.bases.missing()
    for checkpoint in found.checkpoints:
        yield _dossier(catalog, ledger, checkpoint, missing, superseded=found.superseded)
    for skip in found.skips:
        yield _dossier(catalog, ledger, skip, missing, superseded=False)


def subject_id(subject: Checkpoint | Skip) -> str:
    """The id of a checkpoint, or what would be that of a skip."""
    if isinstance(subject, Checkpoint):
        return subject.id
    return f"{subject.hub}:{subject.repo}@{subject.revision}:{subject.path}"


def _dossier(
    catalog: Catalog, ledger: Ledger, subject: Checkpoint | Skip, missing: Container[str], *, superseded: bool
) -> Dossier:
    own, engine = subject_id(subject), catalog.engine
    claims = subject.claims if isinstance(subject, Checkpoint) else ()
    claims = with_identity(claims, identities(engine, unknown_digests(claims)))
    sha256 = subject.sha256 if isinstance(subject, Checkpoint) else None
    return Dossier(
        subject=subject,
        superseded=superseded,
        claims=claims,
        decision=resolve(claims),
        lineage=chain(
            own,
            lambda name: claims if name == own else claims_of(engine, name),
            lambda base: not base.startswith("civitai:") and base not in missing,
        ),
        places=tuple(one.id for one in places(engine, sha256) if one.id != own) if sha256 else (),
        standing=standing(engine, subject.hub, subject.repo),
        jobs=tuple(ledger.rows(checkpoint_id=own)),
    )


def _claim(claim: BaseClaim) -> dict[str, Any]:
    return {**asdict(claim), "grade": _grade(claim)}


def _grade(claim: BaseClaim | None) -> str | None:
    return claim.grade.name.lower() if claim else None
