"""The crawl's records: Checkpoint and Skip, with the evidence for what is said of a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from crawler.evidence.claims import BaseClaim as BaseClaim
from crawler.evidence.claims import Grade as Grade
from crawler.evidence.facts import Observation as Observation
from crawler.evidence.facts import Prompt as Prompt
from crawler.evidence.facts import PromptOrigin as PromptOrigin
from crawler.evidence.facts import Training as Training
from crawler.evidence.resolve import Decision, resolve


class CrawlError(Exception):
    """Base of this package's errors."""


class Hub(StrEnum):
    """A place that publishes checkpoints."""

    HUGGINGFACE = "huggingface"
    CIVITAI = "civitai"


class Kind(StrEnum):
    """What a weights file holds."""

    FULL = "full"
    LORA = "lora"
    DORA = "dora"
    LOKR = "lokr"
    LOHA = "loha"
    DIFFERENCE = "difference"
    """Whole matrices to add to the base's, as LyCORIS' "full" writes them."""
    TEXTUAL_INVERSION = "textual_inversion"


class Presence(StrEnum):
    """How a repository stands on its hub."""

    PRESENT = "present"
    GATED = "gated"
    """Its metadata is public, its files are not."""
    DISABLED = "disabled"
    ARCHIVED = "archived"
    TAKEN_DOWN = "taken_down"
    UNREACHABLE = "unreachable"
    """No listing shows it, and the hub does not find it: private, hidden, gone, or an error of the hub."""
    GONE = "gone"
    """Unreachable for weeks, by repeated proof. Its row stays."""


class Layout(StrEnum):
    """How the weights lie on the hub."""

    FOLDER = "folder"
    """A diffusers pipeline folder, with model_index.json."""
    FILE = "file"
    """One .safetensors file."""


class SkipReason(StrEnum):
    """Why something was left out. A closed list, so that coverage can be counted."""

    GATED = "gated"
    UNREACHABLE = "unreachable"
    """Missing or private, which a hub does not always tell apart."""
    DISABLED = "disabled"
    ARCHIVED = "archived"
    TAKEN_DOWN = "taken_down"
    EARLY_ACCESS = "early_access"
    OPTED_OUT = "opted_out"
    NO_WEIGHTS = "no_weights"
    PICKLE_ONLY = "pickle_only"
    UNSUPPORTED_KIND = "unsupported_kind"
    UNSUPPORTED_FAMILY = "unsupported_family"
    UNKNOWN_BASE = "unknown_base"
    MISSING_BASE = "missing_base"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    """The hub's answer does not have the documented shape."""
    WRONG_DIGEST = "wrong_digest"
    NOT_WEIGHTS = "not_weights"
    """Something else than a safetensors file was served, such as a login page or a pickle."""
    UNSAFE_FILE = "unsafe_file"
    """Header, offsets or sizes are outside the limits."""
    NOT_FINITE = "not_finite"
    DOES_NOT_FIT = "does_not_fit"
    """Keys or shapes do not belong to the base model."""
    SAME_AS_BASE = "same_as_base"
    BASE_MODEL = "base_model"
    """It is what others were fine-tuned from: nothing to compare it with, and nothing wrong with it."""
    SAME_CONTENT = "same_content"
    """Another place holds the same file, and is scanned in its stead."""
    DOWNLOAD_FAILED = "download_failed"
    """The hub did not deliver the file after retries; tried again at the next run."""
    BUDGET = "budget"
    """The store's byte budget is spent."""
    SET_ASIDE_BY_TRIAGE = "set_aside_by_triage"
    """It promises little, by the scanner's triage settings; scanned when they change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file that can be downloaded."""

    path: str
    """Path inside the repository; a bare file name on Civitai. Never used as a local path as it is."""
    url: str
    size: int | None
    """Bytes, when the hub tells."""
    sha256: str | None
    """Lower-case hex, when the hub tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One weights file, or diffusers folder, at a fixed revision."""

    hub: Hub
    repo: str
    """"owner/name" on Hugging Face; "modelId" on Civitai."""
    revision: str
    """Commit hash on Hugging Face; model version id on Civitai."""
    path: str
    """The weights file inside the repository; "" for a diffusers folder."""
    kind: Kind
    layout: Layout
    family: str
    """As in `crawler.evidence.families`."""
    files: tuple[RemoteFile, ...]
    """What has to be downloaded: one weights file, or the folder's safetensors, configs and tokenizer."""
    claims: tuple[BaseClaim, ...] = ()
    """Every statement about the base, best first."""
    prompts: tuple[Prompt, ...] = ()
    """Best first."""
    training: Training = field(default_factory=Training)
    observations: tuple[Observation, ...] = ()
    """What its header gives away of the people behind it."""
    title: str = ""
    downloads: int | None = None
    updated_at: str | None = None
    """ISO 8601, as the hub gives it."""

    @property
    def id(self) -> str:
        """Stable across runs: hub, repository, revision and path."""
        return f"{self.hub}:{self.repo}@{self.revision}:{self.path}"

    @property
    def key(self) -> str:
        """16 hex digits of the id's SHA-256, fit for file names and SQL keys."""
        # Hubs' JSON may hold lone surrogates, which UTF-8 cannot.
        return hashlib.sha256(self.id.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def sha256(self) -> str | None:
        """Digest of the weights when the checkpoint is one file whose digest the hub tells."""
        return self.files[0].sha256 if self.layout is Layout.FILE and self.files else None

    @property
    def decision(self) -> Decision:
        """What its claims come to; see `crawler.evidence.resolve`."""
        return resolve(self.claims)

    @property
    def base(self) -> BaseClaim | None:
        """The claim that was chosen of those that name a repository."""
        return self.decision.claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base model's diffusers folder at a fixed revision: what fine-tunes of it are compared with."""

    repo: str
    revision: str
    family: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A thing left out, with the reason. A row, never an exception and never silence."""

    hub: Hub
    repo: str
    revision: str
    path: str
    reason: SkipReason
    detail: str
    """For a person: what was seen, and what to do about it where something can be done."""
    kind: Kind | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A repository on Hugging Face, or a model on Civitai, as its hub lists it."""

    hub: Hub
    number: str
    """What the hub itself knows it by, and what outlives a rename: `_id` on Hugging Face, the model's id."""
    repo: str
    """"owner/name" on Hugging Face; "modelId" on Civitai, as in Checkpoint and Skip."""
    revision: str
    """Changes whenever its weights, or what is said of them, may have: the commit on Hugging Face; on
    Civitai, which has none, a digest of its versions and files without their counters."""
    presence: Presence = Presence.PRESENT
    created_at: str | None = None
    """ISO 8601, UTC, as all times here; None where the hub does not tell."""
    updated_at: str | None = None
    downloads: int | None = None
    license: str | None = None
    look: bool = False
    """Whether a further request could tell what its rows do not: see `Source.look`."""
    facts: str = ""
    """What the source needs for that, in JSON of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer of a hub, parsed: committed whole, together with the cursor that follows it."""

    rows: tuple[Checkpoint | Skip, ...] = ()
    """What the listing alone tells of weights; each belongs to one of `listings` by its `repo`, or is a
    malformed row that no listing could be made of."""
    cursor: str | None = None
    """Where to go on; None after the last page."""
    listings: tuple[Listing, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    """Counters for the log, such as rows seen twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a hub says when it is asked for one repository that its listings did not show."""

    number: str
    presence: Presence
    detail: str
    """For a person: status, error code and message."""
    proof: bool = False
    """Whether it counts towards a tombstone: a plain "not found", not a 401 that may mean anything."""
    listing: Listing | None = None
    """Its row as it is now, where the hub shows it; its `repo` is another one after a rename."""
