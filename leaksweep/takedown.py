"""Taking a checkpoint down: its weights go and do not come back, its hash and metadata stay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, or_, select

from crawler.catalog import Catalog, tables
from crawler.checkpoint import Checkpoint, Hub, Layout
from crawler.evidence.plain_text import printable
from crawler.store.takedowns import Takedown, Takedowns, repository_target
from crawler.store.upkeep import Removed, remove
from leaksweep.downloads import store_of
from leaksweep.operator_name import operator
from leaksweep.run import Run
from leaksweep.settings import SettingsError
from leaksweep.stores import Stores, opened

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a name on the command line stands for."""

    act: str
    """As in `crawler.store.takedowns`."""
    checkpoints: tuple[Checkpoint, ...]
    """All revisions that the catalog has; none for a digest that it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenDown:
    """What one act did, and what it left."""

    act: str
    reason: str
    checkpoints: tuple[str, ...]
    digests: tuple[str, ...]
    shared: tuple[str, ...]
    """Digests of weights that other checkpoints or base models hold too, and which therefore stay."""
    removed: Removed
    extractions: tuple[str, ...]
    """Made of these checkpoints; they stay."""
    findings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def text(self) -> str:
        """The same for a person."""
        lines = [
            f"{self.act}: taken down: {self.reason}",
            f"{len(self.checkpoints)} checkpoints of the catalog and {len(self.digests)} files will not be "
            "planned or downloaded any more; their rows and hashes stay",
            f"removed {self.removed.files} files and {self.removed.folders} folders from the store, "
            f"{self.removed.bytes} bytes",
        ]
        if self.shared:
            lines.append(f"{len(self.shared)} files stay: other checkpoints or base models hold them too")
        if self.extractions or self.findings:
            lines.append(
                f"{len(self.extractions)} extractions ({', '.join(self.extractions[:5])}) and "
                f"{len(self.findings)} findings ({', '.join(self.findings[:5]) or 'none'}) stay as they are"
            )
        return "\n".join(map(printable, lines))


def take_down(run: Run, name: str, reason: str) -> TakenDown:
    """Hold a checkpoint, a repository or a digest down, and remove its weights.

    Raises:
        SettingsError: nothing has this name.
        CrawlError, ScanError, ReportError: a store cannot be used.
    """
    with opened(run) as stores:
        catalog = stores.catalog
        subject = _subject(catalog, name)
        digests, shared = _digests(catalog.engine, subject)
        ids = tuple(checkpoint.id for checkpoint in subject.checkpoints)
        # Before anything is removed, so that no download under way puts it back.
        Takedowns(catalog.engine).add(
            subject.act, [subject.act, *ids, *digests], reason=reason, by=operator()
        )
        removed = remove(store_of(run, catalog), digests)
        extractions, findings = _what_was_found(stores, ids)
    return TakenDown(
        act=subject.act,
        reason=reason,
        checkpoints=ids,
        digests=digests,
        shared=shared,
        removed=removed,
        extractions=extractions,
        findings=findings,
    )


def undo(run: Run, name: str) -> tuple[str, int]:
    """Lift an act; returns its name, and how many targets nothing else holds down.

    Raises:
        SettingsError: there is no such act; the message names the acts that hold it down.
        CrawlError, ScanError: a store cannot be used.
    """
    with opened(run) as stores:
        catalog = stores.catalog
        takedowns = Takedowns(catalog.engine)
        acts = {one.act for one in takedowns.acts()}
        act = name if name in acts else _subject(catalog, name).act
        if act in acts:
            return act, takedowns.undo(act)
        holding = [one.act for one in takedowns.acts(target=act)]
    rest = (
        f"undo {', '.join(holding)}, which holds it down" if holding else "leaksweep takedown lists the acts"
    )
    raise SettingsError(f"{name}: was not taken down by itself; {rest}")


def acts(run: Run) -> list[Takedown]:
    """All that is held down.

    Raises:
        CrawlError, ScanError: a store cannot be used.
    """
    with opened(run) as stores:
        return Takedowns(stores.catalog.engine).acts()


def _subject(catalog: Catalog, name: str) -> Subject:
    if _SHA256.fullmatch(name):
        digest = name.lower()
        # A digest may be held down before any hub shows it.
        return Subject(act=digest, checkpoints=tuple(catalog.checkpoints(sha256=digest, superseded=True)))
    if _KEY.fullmatch(name):
        keyed = tuple(catalog.checkpoints(key=name, superseded=True))
        if keyed:
            return Subject(act=keyed[0].id, checkpoints=keyed)
    hub, _, rest = name.partition(":")
    hubs = [Hub(hub)] if hub in set(Hub) else list(Hub)
    repo = (rest if hub in set(Hub) else name).partition("@")[0]
    found = [one for hub in hubs for one in catalog.checkpoints(hub=hub, repo=repo, superseded=True)]
    exact = [one for one in found if one.id == name]
    if exact:
        return Subject(act=exact[0].id, checkpoints=tuple(exact))
    if not found or "@" in name:
        raise SettingsError(
            f"{name}: the catalog has no checkpoint of this id or key and no repository of this name, and it "
            "is no SHA-256; findings.csv and leaksweep explain show ids"
        )
    places = {repository_target(one) for one in found}
    if len(places) > 1:
        raise SettingsError(f"{name}: is on both hubs; say {' or '.join(sorted(places))}")
    return Subject(act=places.pop(), checkpoints=tuple(found))


def _digests(engine: Engine, subject: Subject) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Digests of the weights, and those of folders' weights that others hold too.

    A fine-tune's folder holds its base's text encoder and VAE, byte for byte: held down by digest, they would
    hold down all its kin.
    """
    alone = {subject.act} if _SHA256.fullmatch(subject.act) else set()
    in_folders: set[str] = set()
    for checkpoint in subject.checkpoints:
        weights = {
            file.sha256.lower()
            for file in checkpoint.files
            if file.sha256 and file.path.lower().endswith(".safetensors")
        }
        if checkpoint.layout is Layout.FILE:
            alone |= weights
        else:
            in_folders |= weights
    ids = [checkpoint.id for checkpoint in subject.checkpoints]
    shared = {digest for digest in in_folders - alone if _held_elsewhere(engine, digest, ids)}
    return tuple(sorted(alone | in_folders - shared)), tuple(sorted(shared))


def _held_elsewhere(engine: Engine, digest: str, ids: Sequence[str]) -> bool:
    def tells(table: Any) -> ColumnElement[bool]:
        return or_(*(table.c.record.contains(form) for form in (digest, digest.upper())))

    in_base = select(tables.base.c.repo).where(tables.base.c.found, tells(tables.base)).limit(1)
    elsewhere = select(tables.checkpoint.c.id).where(tells(tables.checkpoint)).limit(len(ids) + 1)
    with engine.connect() as db:
        return db.scalar(in_base) is not None or bool(set(db.scalars(elsewhere)) - set(ids))


def _what_was_found(stores: Stores, ids: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rows = stores.extractions.rows(["id", "checkpoint_id"]).to_pylist()
    extractions = sorted(row["id"] for row in rows if row["checkpoint_id"] in set(ids))
    found = stores.findings.findings()
    return tuple(extractions), tuple(
        sorted(one.id for one in found if one.match.extraction_id in extractions)
    )
