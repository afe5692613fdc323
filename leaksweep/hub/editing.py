"""What becomes of a repository, or of a model on Civitai, when somebody changes it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Protocol, TypeVar

from leaksweep.hub.civitai_rows import is_listed
from leaksweep.hub.content import CivitaiModel, CivitaiVersion, milliseconds
from leaksweep.hub.huggingface_rows import Served
from leaksweep.hub.synthetic_draws import iso

Row = TypeVar("Row")

FIRST_INSERTED = 100_000_000
"""Id of the first model inserted into Civitai: above those of a synthetic catalog."""


class Editor(Protocol[Row]):
    """Makes new rows of old ones. `serial` is the change's number, `now` seconds since 1970."""

    def identity(self, row: Row) -> str:
        """What outlives a rename."""
        ...

    def name(self, row: Row) -> str:
        """What it is looked up by."""
        ...

    def is_public(self, row: Row) -> bool:
        """Whether listings show it."""
        ...

    def date(self, row: Row) -> int:
        """When it last changed, in seconds since 1970."""
        ...

    def insert(self, row: Row, serial: int, now: int) -> Row:
        """Another row like this one."""
        ...

    def edit(self, row: Row, serial: int, now: int) -> Row:
        """The row with other content."""
        ...

    def rename(self, row: Row, serial: int, now: int) -> Row: ...

    def gate(self, row: Row, serial: int, now: int) -> Row:
        """The row, whose files not everybody may have any more."""
        ...

    def take_down(self, row: Row, serial: int, now: int) -> Row: ...


class RepoEditor:
    """Changes repositories. As on the hub, only a commit changes the date of the last modification."""

    def identity(self, row: Served) -> str:
        return row.object_id

    def name(self, row: Served) -> str:
        return row.repo.id

    def is_public(self, row: Served) -> bool:
        return not row.repo.private

    def date(self, row: Served) -> int:
        return milliseconds(max(row.repo.last_modified, row.repo.created_at)) // 1000

    def insert(self, row: Served, serial: int, now: int) -> Served:
        made = replace(
            row.repo,
            id=f"newcomer{serial}/{row.repo.id.partition('/')[2]}",
            object_id=f"{now:08x}{'f' * 10}{serial:06x}",
            sha=_commit(row, serial),
            created_at=iso(now),
            last_modified=iso(now),
            renamed_from=(),
            replaces=(),
            former_shas=(),
        )
        return Served(made)

    def edit(self, row: Served, serial: int, now: int) -> Served:
        before = (*row.repo.former_shas, row.sha)
        return self._same(row, sha=_commit(row, serial), former_shas=before, last_modified=iso(now))

    def rename(self, row: Served, serial: int, now: int) -> Served:
        owner, _, name = row.repo.id.partition("/")
        former = (*row.repo.renamed_from, row.repo.id)
        return self._same(row, id=f"{owner}/{name}-renamed{serial}", renamed_from=former)

    def gate(self, row: Served, serial: int, now: int) -> Served:
        return self._same(row, gated="manual" if row.repo.gated == "auto" else "auto")

    def take_down(self, row: Served, serial: int, now: int) -> Served:
        return self._same(row, disabled=True)

    def _same(self, row: Served, **changes: object) -> Served:
        """The repository with the identity and the commit it had, unless they are changed."""
        kept = {"object_id": row.object_id, "sha": row.sha}
        return Served(replace(row.repo, **(kept | changes)))  # type: ignore[arg-type]


class ModelEditor:
    """Changes models on Civitai."""

    def identity(self, row: CivitaiModel) -> str:
        return str(row.id)

    def name(self, row: CivitaiModel) -> str:
        return str(row.id)

    def is_public(self, row: CivitaiModel) -> bool:
        hidden = row.poi or row.minor or row.availability == "Private" or not row.nsfw_level
        return not hidden and is_listed(row)

    def date(self, row: CivitaiModel) -> int:
        return milliseconds(row.last_version_at) // 1000

    def insert(self, row: CivitaiModel, serial: int, now: int) -> CivitaiModel:
        number = FIRST_INSERTED + serial
        versions = (_numbered(version, 10 * number + at, now) for at, version in enumerate(row.versions))
        return replace(row, id=number, name=f"newcomer {serial}", versions=tuple(versions))

    def edit(self, row: CivitaiModel, serial: int, now: int) -> CivitaiModel:
        """A new version, like the newest but for its date; without versions, a new description."""
        if not row.versions:
            return replace(row, description=f"edited {serial}")
        number = 10 * (FIRST_INSERTED + serial)
        newest = replace(
            _numbered(row.versions[0], number, now), availability="Public", name=f"edit {serial}"
        )
        return replace(row, versions=(newest, *row.versions))

    def rename(self, row: CivitaiModel, serial: int, now: int) -> CivitaiModel:
        return replace(row, name=f"{row.name}, renamed {serial}")

    def gate(self, row: CivitaiModel, serial: int, now: int) -> CivitaiModel:
        """Nobody may download any version any more; all are still listed."""
        return replace(row, versions=tuple(replace(one, usage_control="Generation") for one in row.versions))

    def take_down(self, row: CivitaiModel, serial: int, now: int) -> CivitaiModel:
        return replace(row, mode="TakenDown")


def _numbered(version: CivitaiVersion, number: int, now: int) -> CivitaiVersion:
    files = tuple(replace(file, id=number + at) for at, file in enumerate(version.files))
    return replace(version, id=number, files=files, published_at=iso(now))


def _commit(row: Served, serial: int) -> str:
    return hashlib.sha1(f"{row.object_id} {serial}".encode(), usedforsecurity=False).hexdigest()
