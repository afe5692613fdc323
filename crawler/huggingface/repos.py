"""Looks into one repository of the Hugging Face Hub: its weights become checkpoints, or skips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crawler.checkpoint import (
    BaseClaim,
    Checkpoint,
    Hub,
    Kind,
    Layout,
    Prompt,
    PromptOrigin,
    RemoteFile,
    Skip,
    SkipReason,
    Training,
)
from crawler.evidence import families
from crawler.evidence.captions import best_prompts
from crawler.evidence.cards import card_prompts, card_training
from crawler.evidence.header_facts import HeaderFacts, Observe, cached_header, header_facts
from crawler.evidence.headers import HeaderError
from crawler.evidence.resolve import best_first, resolve
from crawler.evidence.training_metadata import merge_training
from crawler.huggingface.bases import Bases
from crawler.huggingface.candidates import Candidate, candidates
from crawler.huggingface.files import Files, HubError, Unusable, refusal
from crawler.huggingface.folder import INDEX, denoiser_config, fine_tune_files, folder_family
from crawler.huggingface.listed import Listed, declared
from crawler.settings import CrawlerSettings
from crawler.source import HeaderCache, opted_out

_CAPTIONS = (PromptOrigin.INSTANCE_PROMPT, PromptOrigin.KOHYA_TAGS, PromptOrigin.TRIGGER_WORDS)
"""Prompts that were trained with: where one is known, the card's text is not asked for."""
_NO_TOKENS = ("emb_params", "clip_l", "clip_g")
"""Names of an embedding's tensors that are not the word it stands for."""


@dataclass(slots=True)
class _Look:
    """One repository while it is looked into."""

    listed: Listed
    files: Mapping[str, RemoteFile]
    series: dict[tuple[str, int], HeaderFacts] = field(default_factory=dict)
    """What the header of one file of a training said, for the other steps of it."""
    text: str | None = None
    """README.md, once it was asked for."""


class Repositories:
    """Asks for file lists, configs and headers, only as far as the listing leaves something open.

    A hub may count the reading of a header as a download, so that of the steps of one training only the last
    is read: the others share its name and size, and are taken to share its kind, captions and pictures.

    Args:
        headers: remembers the headers of weights files between crawls.
        observe: finds what headers give away of people; None: nothing of that is kept.
    """

    def __init__(
        self,
        settings: CrawlerSettings,
        headers: HeaderCache,
        files: Files,
        bases: Bases,
        observe: Observe | None = None,
    ) -> None:
        self._settings = settings
        self._headers = headers
        self._files = files
        self._bases = bases
        self._observe = observe

    def rows(self, listed: Listed) -> Sequence[Checkpoint | Skip]:
        """Every checkpoint of the repository. What the hub refuses about it is a skip.

        Raises:
            SourceError: the hub is away: nothing is known of the repository.
        """
        if opted_out(self._settings.opt_out, listed.repo, listed.repo.split("/")[0]):
            # Listed before it was put on the list.
            return [listed.skip(SkipReason.OPTED_OUT, "named in crawler.opt_out")]
        try:
            look = _Look(listed, self._files.tree(listed.repo, listed.revision))
        except Unusable as error:
            return [listed.skip(error.reason, str(error))]
        except HubError as error:
            return [listed.skip(*refusal(error))]
        found = candidates(listed, look.files, self._settings.max_file_bytes)
        return [one if isinstance(one, Skip) else self._row(look, one) for one in found]

    def _row(self, look: _Look, candidate: Candidate) -> Checkpoint | Skip:
        try:
            if candidate.layout is Layout.FOLDER:
                return self._folder(look, candidate)
            return self._single(look, candidate)
        except HeaderError as error:
            reason, detail = error.reason, str(error)
        except HubError as error:
            reason, detail = refusal(error)
        return look.listed.skip(reason, detail, path=candidate.path, kind=candidate.kind)

    def _folder(self, look: _Look, candidate: Candidate) -> Checkpoint | Skip:
        listed = look.listed
        own = {repo.casefold() for repo in self._settings.base_models.values()}
        if families.family_of_repo(listed.repo) or listed.repo.casefold() in own:
            return listed.skip(SkipReason.BASE_MODEL, "a base model itself", kind=Kind.FULL)
        pipeline = listed.facts.pipeline or str(self._files.table(look.files[INDEX]).get("_class_name"))
        config = self._files.table(denoiser_config(look.files))
        family = folder_family(pipeline, config)
        if not families.scannable(family):
            named = family or families.UNKNOWN
            detail = f"a {pipeline}: {families.without_loader(named)}"
            return listed.skip(SkipReason.UNSUPPORTED_FAMILY, detail, kind=Kind.FULL, family=named)
        needed = fine_tune_files(look.files, family)
        if isinstance(needed, SkipReason):
            detail = "a component of the pipeline has no .safetensors"
            return listed.skip(needed, detail, kind=Kind.FULL, family=family)
        claims = best_first((*listed.claims, *_loaded_from(config.get("_name_or_path"), listed)))
        return self._checkpoint(look, replace(candidate, files=needed), Kind.FULL, family, claims, None)

    def _single(self, look: _Look, candidate: Candidate) -> Checkpoint | Skip:
        """Decide kind and family; the header is read only where the listing does not tell enough."""
        listed, file = look.listed, candidate.files[0]
        if file.sha256 and families.base_of_digest(file.sha256, {}):
            detail = "a base model itself, by its digest"
            return listed.skip(SkipReason.BASE_MODEL, detail, path=candidate.path, kind=Kind.FULL)
        prompts = card_prompts(listed.facts.card)
        told = any(prompt.origin is PromptOrigin.INSTANCE_PROMPT for prompt in prompts)
        enough = candidate.kind and told and any(claim.repo for claim in listed.claims)
        facts = self._facts(look, candidate) if self._settings.read_headers and not enough else None
        if facts and facts.wish:
            return listed.skip(SkipReason.OPTED_OUT, facts.wish, path=candidate.path, kind=facts.kind)
        kind = facts.kind if facts else candidate.kind
        if kind is None:
            detail = facts.kind_name if facts else "only its header could tell; set crawler.read_headers"
            return listed.skip(SkipReason.UNSUPPORTED_KIND, detail, path=candidate.path)
        claims = best_first((*(facts.claims if facts else ()), *listed.claims))
        family = (facts.family if facts else None) or self._claimed_family(claims)
        if family is None:
            detail = "neither the hub nor the header tells what it was fine-tuned from"
            return listed.skip(SkipReason.UNKNOWN_BASE, detail, path=candidate.path, kind=kind)
        if not families.scannable(family):
            reason, detail = SkipReason.UNSUPPORTED_FAMILY, families.without_loader(family)
            return listed.skip(reason, detail, path=candidate.path, kind=kind, family=family)
        return self._checkpoint(look, candidate, kind, family, claims, facts)

    def _facts(self, look: _Look, candidate: Candidate) -> HeaderFacts:
        """What its header says, or that of a later step of the same training."""
        if known := look.series.get(candidate.series):
            return replace(known, training=replace(known.training, steps=None, epochs=None))
        header = cached_header(candidate.files[0], self._files.reader(), self._headers)
        facts = header_facts(header, self._settings.base_models, self._observe)
        if facts.kind is Kind.TEXTUAL_INVERSION:
            words = [name for name in header.tensors if name not in _NO_TOKENS and "." not in name]
            origin, source = PromptOrigin.TRIGGER_WORDS, "header tensor name"
            tokens = (Prompt(text=word[:100], origin=origin, source=source) for word in words)
            facts = replace(facts, prompts=best_prompts(*tokens, *facts.prompts))
        look.series[candidate.series] = facts
        return facts

    def _claimed_family(self, claims: tuple[BaseClaim, ...]) -> str | None:
        """The family that the claims come to; else that of the best base that can be had from the hub."""
        if family := resolve(claims).family:
            return family
        named = (claim.repo for claim in claims if claim.repo)
        return next(filter(None, (self._bases.resolve(repo).family for repo in named)), None)

    def _checkpoint(
        self,
        look: _Look,
        candidate: Candidate,
        kind: Kind,
        family: str | None,
        claims: tuple[BaseClaim, ...],
        facts: HeaderFacts | None,
    ) -> Checkpoint:
        listed, card = look.listed, look.listed.facts.card
        prompts = best_prompts(*card_prompts(card), *(facts.prompts if facts else ()))
        training = merge_training(facts.training if facts else Training(), card_training(card))
        if not any(prompt.origin in _CAPTIONS for prompt in prompts):
            text = self._readme(look)
            prompts = best_prompts(*prompts, *card_prompts({}, text))
            training = merge_training(training, card_training({}, text))
        return Checkpoint(
            hub=Hub.HUGGINGFACE,
            repo=listed.repo,
            revision=listed.revision,
            path=candidate.path,
            kind=kind,
            layout=candidate.layout,
            family=str(family),
            files=candidate.files,
            claims=claims,
            prompts=prompts,
            training=training,
            observations=facts.observations if facts else (),
            title=listed.repo.split("/")[1],
            downloads=listed.downloads,
            updated_at=listed.updated_at,
        )

    def _readme(self, look: _Look) -> str:
        """The card's text: training scripts write the caption there."""
        if look.text is None:
            look.text = self._files.text(look.files.get("README.md"))
        return look.text


def _loaded_from(name: object, listed: Listed) -> tuple[BaseClaim, ...]:
    """The claim of a denoiser's `_name_or_path`, which diffusers fills with what the training loaded."""
    claim = declared(name, "denoiser config") if isinstance(name, str) else None
    if claim is None or any(known.repo == claim.repo for known in listed.claims):
        return ()
    return (claim,)
