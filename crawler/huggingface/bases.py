"""Base models on the Hugging Face Hub: their pipeline folder and their family, asked for once each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from crawler.checkpoint import Base, Hub, Skip, SkipReason
from crawler.evidence import families
from crawler.huggingface.files import Files, HubError, Unusable, refusal
from crawler.huggingface.folder import INDEX, denoiser_config, folder_family, folder_files
from crawler.huggingface.rows import pipeline_class

KEPT = 1000
"""Answers that are kept in memory; authors name many thousand bases, most of them a few."""


class Bases:
    """Resolves base models, each once as long as it lives and `KEPT` others have not been asked for since."""

    def __init__(self, api: HfApi, files: Files) -> None:
        self._api = api
        self._files = files
        self._resolved = lru_cache(maxsize=KEPT)(self._resolve)

    def resolve(self, repo: str) -> Base | Skip:
        """The folder at its current commit. A renamed repository is followed, and named as it is now.

        A base may be a fine-tune itself: what others made of it is compared with it, not with its own base.

        Raises:
            SourceError: the hub is away; nothing is remembered.
        """
        return self._resolved(repo)

    def _resolve(self, repo: str) -> Base | Skip:
        try:
            return self._ask(repo)
        except Unusable as error:
            return _skip(repo, "", error.reason, str(error))
        except HubError as error:
            reason, detail = refusal(error)
            if reason is SkipReason.UNREACHABLE:
                reason = SkipReason.MISSING_BASE
            return _skip(repo, "", reason, detail)

    def _ask(self, asked: str) -> Base | Skip:
        info = self._api.model_info(asked, expand=["config", "disabled", "gated", "sha", "tags"])
        # The library types these fields loosely, and a hub may leave any of them out.
        repo, revision = str(info.id), str(info.sha or "")
        if info.disabled:
            return _skip(repo, revision, SkipReason.DISABLED, "disabled by the hub")
        if info.gated and not self._granted(repo):
            detail = f"ask for access at {self._api.endpoint}/{repo}, then crawl with that account's token"
            return _skip(repo, revision, SkipReason.GATED, detail)
        family = families.family_of_repo(repo)
        pipeline = pipeline_class({"config": info.config, "tags": info.tags})
        if refused := _unsupported(repo, revision, family, pipeline):
            return refused
        files = self._files.tree(repo, revision)
        if INDEX not in files:
            return _skip(repo, revision, SkipReason.MISSING_BASE, _what_instead(files), family)
        if pipeline is None:
            pipeline = str(self._files.table(files[INDEX]).get("_class_name"))
            if refused := _unsupported(repo, revision, family, pipeline):
                return refused
        needed = folder_files(files)
        if isinstance(needed, SkipReason):
            return _skip(repo, revision, needed, "a component of the pipeline has no .safetensors", family)
        family = family or folder_family(pipeline, self._files.table(denoiser_config(files)))
        if not families.scannable(family):
            named = family or families.UNKNOWN
            detail = f"its {pipeline}, by the denoiser's config: {families.without_loader(named)}"
            return _skip(repo, revision, SkipReason.UNSUPPORTED_FAMILY, detail, named)
        return Base(repo=repo, revision=revision, family=str(family), files=needed)

    def _granted(self, repo: str) -> bool:
        try:
            self._api.auth_check(repo)
        except HfHubHTTPError:
            return False
        return True


def _what_instead(paths: Iterable[str]) -> str:
    """What a repository without a pipeline folder offers, which the scanner cannot compare with."""
    single = next((path for path in sorted(paths) if path.endswith(".safetensors")), None)
    only = f"only single files such as {single}" if single else "no weights"
    return f"no {INDEX} but {only}: a base model has to be a diffusers folder"


def _unsupported(repo: str, revision: str, family: str | None, pipeline: str | None) -> Skip | None:
    """Why the scanner has no loader for the base, as far as it is known what it is."""
    if family is None and pipeline and pipeline not in families.AMBIGUOUS_PIPELINES:
        family = families.family_of_pipeline(pipeline) or families.UNKNOWN
    if family is None or families.scannable(family):
        return None
    detail = f"{family}: no loader for a {pipeline or 'model of this family'}"
    return _skip(repo, revision, SkipReason.UNSUPPORTED_FAMILY, detail, family)


def _skip(repo: str, revision: str, reason: SkipReason, detail: str, family: str | None = None) -> Skip:
    return Skip(
        hub=Hub.HUGGINGFACE,
        repo=repo,
        revision=revision,
        path="",
        reason=reason,
        detail=detail,
        family=family,
    )
