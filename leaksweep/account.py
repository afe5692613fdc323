"""An extraction's evidence in plain words: what was found, what speaks for it, what it does not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crawler.evidence.plain_text import printable
from reports.finding import ExtractionEvidence, Finding, Match
from reports.findings.ladder import Verdict, counts, same_picture
from reports.settings import ReportsSettings

MOST_MATCHES = 10
"""Matches in the words; --json has all."""

NOT_SHOWN = (
    "It does not show that this very file was in the training set: a copy, a crop or another picture of the "
    "same moment may have been. It does not show who put it there, or on what right. A small p says that "
    "other checkpoints seldom come as near; it is not the probability that this one is innocent."
)

ORIGINS: Mapping[str, str] = {
    "instance_prompt": "its training configuration",
    "kohya_tags": "the captions in its header",
    "trigger_words": "its trigger words",
    "example": "a prompt that its author or its trainer made a picture with",
    "operator": "the command line",
    "name": "a guess by its title or its file's name",
    "none": "nowhere: nothing was known, so the prompt was empty",
}

"""Where a prompt was found, by `crawler.checkpoint.PromptOrigin`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Everything that is stored of one extraction, but pixels, hashes and vectors."""

    extraction: Mapping[str, Any]
    """Its row; see `scanner.extraction_rows.EXTRACTION_SCHEMA`."""
    generations: int | None
    """How many were drawn to find it."""
    evidence: ExtractionEvidence | None
    """None before it was matched for the first time."""
    matches: tuple[tuple[Match, Verdict], ...]
    """Gravest first."""
    findings: tuple[Finding, ...]
    """Those that rest on it."""
    settings: ReportsSettings

    def to_json(self) -> dict[str, Any]:
        return {
            "extraction": dict(self.extraction),
            "generations": self.generations,
            "evidence": asdict(self.evidence) if self.evidence else None,
            "matches": [
                {**asdict(match), **asdict(verdict), "severity": verdict.severity.label}
                for match, verdict in self.matches
            ],
            "findings": [
                {"id": one.id, "counts": counts(one), "state": str(one.state)} for one in self.findings
            ],
            "does_not_show": NOT_SHOWN,
        }

    def text(self) -> str:
        """The account for a person, a paragraph a question."""
        parts = [
            self._found(),
            self._prompt(),
            self._base(),
            self._others(),
            self._recipes(),
            *self._matches(),
            f"Again: leaksweep verify {self.extraction['id']} makes the picture once more and compares.",
            NOT_SHOWN,
        ]
        return "\n".join(part for part in parts if part)

    def _found(self) -> str:
        row = self.extraction
        of = f" of {self.generations}" if self.generations else ""
        agreed = (
            f"{row['cluster_size']}{of} generations came out nearly alike (mean likeness to their centre "
            f"{row['cohesion']:.2f}): seeds {', '.join(map(str, row['cluster']))}, centre {row['seed']}"
            if row["cluster_size"] > 1
            else f"one generation{of}, seed {row['seed']}, which no other resembles: weak evidence by itself"
        )
        return (
            f"Extraction {row['id']}, {row['width']} x {row['height']} px, from "
            f"{printable(row['checkpoint_id'])}, a fine-tune of {printable(row['base_repo'])}, by recipe "
            f"{row['recipe_id']}.\nFound: {agreed}."
        )

    def _prompt(self) -> str:
        row = self.extraction
        origin = ORIGINS.get(row["prompt_origin"], row["prompt_origin"])
        return f'Prompt: "{printable(row["prompt"])}", from {origin}.'

    def _base(self) -> str:
        row = self.extraction
        near = row["control_similarity"] >= same_picture(row["descriptor_name"], self.settings)
        says = "the same picture, so the fine-tune did not add it" if near else "another picture"
        text = (
            f"The base alone: from the same prompt and noise it makes {says} "
            f"(likeness {row['control_similarity']:.2f})."
        )
        ratio = row["likelihood_ratio"]
        if ratio is not None:
            better = "better" if ratio > 0 else "no better"
            text += (
                f" The tuned model predicts it {better} than the base does (likelihood ratio {ratio:+.3f})."
            )
        return text

    def _others(self) -> str:
        one = self.evidence
        if one is None:
            return "Other checkpoints: not compared yet; leaksweep match does."
        if one.nearest_other is None:
            return "Other checkpoints: none of the same base was scanned, so there is nothing to compare."
        says = (
            "one picture: it comes from the base, or from training pictures that both had (shared)"
            if one.shared
            else "another picture"
        )
        return (
            f"Other checkpoints: the nearest extraction of another place with the same base is "
            f"{one.nearest_other}, {says} (likeness {one.nearest_other_similarity:.2f})."
        )

    def _recipes(self) -> str:
        one = self.evidence
        if one is None:
            return ""
        if not one.recipes:
            return "Other recipes: the checkpoint was scanned with no other."
        return f"Other recipes: {len(one.recipes_agreeing)} of {one.recipes} gave the same picture."

    def _matches(self) -> list[str]:
        if not self.matches:
            return ["References: it matches none."]
        lines = [
            f"Reference {printable(match.ref_id)} of {match.set_name}: {self._match(match, verdict)}"
            for match, verdict in self.matches[:MOST_MATCHES]
        ]
        left = len(self.matches) - MOST_MATCHES
        return [*lines, f"... and {left} more matches; --json has all."] if left > 0 else lines

    def _match(self, match: Match, verdict: Verdict) -> str:
        near = _measures(match.similarity, match.pdq_distance, match.phash_distance)
        base = _measures(match.control_similarity, match.control_pdq_distance, match.control_phash_distance)
        return (
            f"{verdict.severity.label} by {verdict.rule}; {near}{', mirrored' if match.mirrored else ''}. "
            f"The base alone: {base}. {_wrong(match, self.settings.min_others)}{_explained(verdict)}"
        )


def _measures(similarity: float | None, pdq: int | None, phash: int | None) -> str:
    given = (
        None if similarity is None else f"likeness {similarity:.2f}",
        None if pdq is None else f"PDQ distance {pdq}",
        None if phash is None else f"pHash distance {phash}",
    )
    return ", ".join(one for one in given if one) or "not comparable"


def _wrong(match: Match, least: int) -> str:
    of = "of the same base" if match.others_same_base else "of any base"
    held = f"{match.others} wrong checkpoints {of}: {match.others_as_near} as near"
    if match.p_value is None:
        return f"{held}; not calibrated, which takes {least}."
    return f"{held}, p = {match.p_value:.3g} (n = {match.others})."


def _explained(verdict: Verdict) -> str:
    why = [
        name
        for name, explained in (
            ("the base", verdict.explained_by_base),
            ("other checkpoints", verdict.explained_by_others),
        )
        if explained
    ]
    return f" Explained by {' and '.join(why)}, so it is no finding that counts." if why else ""
