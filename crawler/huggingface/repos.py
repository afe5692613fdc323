"""Looks into one repository of the Hugging Face Hub: its weights become checkpoints, or skips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crawler.checkpoint import BaseClaim, Checkpoint, Hub, Kind, Layout, Prompt, Skip, SkipReason, Training
from crawler.evidence import families
from crawler.evidence.header_facts import HeaderFacts, cached_header, header_facts, merge_claims
from crawler.evidence.headers import HeaderError
from crawler.huggingface.bases import Bases
from crawler.huggingface.candidates import Candidate, candidates
from crawler.huggingface.files import Files, HubError, Unusable, refusal
from crawler.huggingface.folder import INDEX, denoiser_config, fine_tune_files, folder_family
from crawler.huggingface.listed import Listed, declared
from crawler.settings import CrawlerSettings
from crawler.source import HeaderCache, opted_out

Series = dict[tuple[str, int], HeaderFacts]
"""What the header of one file of a training said, for the other steps of it."""


class Repositories:
    """Asks for file lists, configs and headers, only as far as the listing leaves something open.

    A hub may count the reading of a header as a download, so that of the steps of one training only the last
    is read: the others share its name and size, and are taken to share its kind, captions and pictures.

    Args:
        headers: remembers the headers of weights files between crawls.
    """

    def __init__(self, settings: CrawlerSettings, headers: HeaderCache, files: Files, bases: Bases) -> None:
        self._settings = settings
        self._headers = headers
        self._files = files
        self._bases = bases

    def rows(self, listed: Listed) -> Sequence[Checkpoint | Skip]:
        """Every checkpoint of the repository. What the hub refuses about it is a skip.

        Raises:
            SourceError: the hub is away: nothing is known of the repository.
        """
        if opted_out(self._settings.opt_out, listed.repo, listed.repo.split("/")[0]):
            # Listed before it was put on the list.
            return [listed.skip(SkipReason.OPTED_OUT, "named in crawler.opt_out")]
        try:
            files = self._files.tree(listed.repo, listed.revision)
        except Unusable as error:
            return [listed.skip(error.reason, str(error))]
        except HubError as error:
            return [listed.skip(*refusal(error))]
        series: Series = {}
        found = candidates(listed, files, self._settings.max_file_bytes)
        return [one if isinstance(one, Skip) else self._row(listed, one, series) for one in found]

    def _row(self, listed: Listed, candidate: Candidate, series: Series) -> Checkpoint | Skip:
        try:
            if candidate.layout is Layout.FOLDER:
                return self._folder(listed, candidate)
            return self._single(listed, candidate, series)
        except HeaderError as error:
            reason, detail = error.reason, str(error)
        except HubError as error:
            reason, detail = refusal(error)
        return listed.skip(reason, detail, path=candidate.path, kind=candidate.kind)

    def _folder(self, listed: Listed, candidate: Candidate) -> Checkpoint | Skip:
        own = {repo.casefold() for repo in self._settings.base_models.values()}
        if families.family_of_repo(listed.repo) or listed.repo.casefold() in own:
            return listed.skip(SkipReason.BASE_MODEL, "a base model itself", kind=Kind.FULL)
        files = {file.path: file for file in candidate.files}
        pipeline = listed.facts.pipeline or str(self._files.table(files[INDEX]).get("_class_name"))
        config = self._files.table(denoiser_config(files))
        family = folder_family(pipeline, config)
        if not families.scannable(family):
            detail = f"a {pipeline}: {families.without_loader(family or families.UNKNOWN)}"
            named = family or families.UNKNOWN
            return listed.skip(SkipReason.UNSUPPORTED_FAMILY, detail, kind=Kind.FULL, family=named)
        needed = fine_tune_files(files, family)
        if not isinstance(needed, SkipReason):
            candidate = replace(candidate, files=needed)
        claims = merge_claims(listed.claims, _loaded_from(config.get("_name_or_path"), listed))
        return _row(listed, candidate, Kind.FULL, family, claims, None)

    def _single(self, listed: Listed, candidate: Candidate, series: Series) -> Checkpoint | Skip:
        """Decide kind and family; the header is read only where the listing does not tell enough."""
        digest = candidate.files[0].sha256
        if digest and families.base_of_digest(digest, {}):
            detail = "a base model itself, by its digest"
            return listed.skip(SkipReason.BASE_MODEL, detail, path=candidate.path, kind=Kind.FULL)
        enough = candidate.kind and listed.prompts and any(claim.repo for claim in listed.claims)
        facts = None if enough or not self._settings.read_headers else self._facts(candidate, series)
        kind = facts.kind if facts else candidate.kind
        if kind is None:
            detail = facts.kind_name if facts else "only its header could tell; set crawler.read_headers"
            return listed.skip(SkipReason.UNSUPPORTED_KIND, detail, path=candidate.path, kind=kind)
        claims = merge_claims(facts.claims if facts else (), listed.claims)
        family = (facts.family if facts else None) or self._claimed_family(claims)
        return _row(listed, candidate, kind, family, claims, facts)

    def _facts(self, candidate: Candidate, series: Series) -> HeaderFacts:
        """What its header says, or that of a later step of the same training."""
        if known := series.get(candidate.series):
            return replace(known, training=replace(known.training, steps=None))
        header = cached_header(candidate.files[0], self._files.reader(), self._headers)
        facts = header_facts(header, self._settings.base_models)
        series[candidate.series] = facts
        return facts

    def _claimed_family(self, claims: Sequence[BaseClaim]) -> str | None:
        """The family of the best claim whose base is known, or can be had from the hub."""
        for claim in claims:
            family = claim.family
            if family is None and claim.repo:
                family = self._bases.resolve(claim.repo).family
            if family:
                return family
        return None


def _loaded_from(name: object, listed: Listed) -> tuple[BaseClaim, ...]:
    """The claim of a U-Net's `_name_or_path`, which diffusers fills with what the training loaded."""
    claim = declared(name, "unet config") if isinstance(name, str) else None
    if claim is None or any(known.repo == claim.repo for known in listed.claims):
        return ()
    return (claim,)


def _row(
    listed: Listed,
    candidate: Candidate,
    kind: Kind,
    family: str | None,
    claims: tuple[BaseClaim, ...],
    facts: HeaderFacts | None,
) -> Checkpoint | Skip:
    if family is None:
        detail = "neither the hub nor the header tells what it was fine-tuned from"
        return listed.skip(SkipReason.UNKNOWN_BASE, detail, path=candidate.path, kind=kind)
    if not families.scannable(family):
        detail = families.without_loader(family)
        return listed.skip(
            SkipReason.UNSUPPORTED_FAMILY, detail, path=candidate.path, kind=kind, family=family
        )
    prompts: tuple[Prompt, ...] = (*listed.prompts, *(facts.prompts if facts else ()))
    return Checkpoint(
        hub=Hub.HUGGINGFACE,
        repo=listed.repo,
        revision=listed.revision,
        path=candidate.path,
        kind=kind,
        layout=candidate.layout,
        family=family,
        files=candidate.files,
        claims=claims,
        prompts=prompts,
        training=facts.training if facts else Training(),
        title=listed.repo.split("/")[1],
        downloads=listed.downloads,
        updated_at=listed.updated_at,
    )
