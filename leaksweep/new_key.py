"""`leaksweep key rotate`: which key is to go, which is to come, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from leaksweep.home_lock import alone
from leaksweep.rotating import Rotated, Rotation
from leaksweep.run import Run
from leaksweep.settings import SettingsError
from leaksweep.stores import engine_of
from scanner.key_change import KeyChange, KeyChanges
from scanner.key_files import aside, made
from scanner.vault import NEW_VARIABLE, VARIABLE, Vault, VaultError, open_vault, vault_in, vault_of
from scanner.vault_claim import claim, claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """Where the key that is to come is, or will be."""

    file: Path | None
    """None when it is given in the environment."""
    replaces: Path | None
    """The key file whose place it takes at the end; None when it stays where it is."""

    @property
    def is_there(self) -> bool:
        return self.file is None or self.file.exists()

    def vault(self, environ: Mapping[str, str]) -> Vault:
        """The key; its file is made where it is missing."""
        if self.file is None:
            return vault_of(environ[NEW_VARIABLE], NEW_VARIABLE)
        return made(self.file, like=self.replaces)


def rotate(run: Run, *, to: Path | None, who: str, why: str, environ: Mapping[str, str]) -> Rotated | None:
    """Change the key of a home, or end a change that was cut off; None when it has had it before.

    Args:
        to: file of the key to come, made where it is missing; None takes `LEAKSWEEP_NEW_KEY`, else puts a new
            key in the place of the key file.

    Raises:
        SettingsError: it is not clear where the key to come is, or it is one that the home has had.
        CrawlError, ScanError, ReportError: a key is missing or another one, or a store cannot be used.
    """
    if not run.home.exists:
        raise VaultError(f"{run.home.root}: holds nothing yet, so it has no key to change; check --home")
    with alone(run.home.root), engine_of(run) as engine:
        run.home.prepare()
        rotation = Rotation(home=run.home, engine=engine, say=run.say)
        change = KeyChanges(engine).under_way()
        if change is not None:
            return _go_on(rotation, change, run, to, environ)
        coming = _coming(run, to, environ)
        earlier = open_vault(run.key_file, environ)
        known = claimed(engine)
        if known is None:
            raise VaultError(f"{run.home.root}: has sealed nothing yet, so it has no key to change")
        if coming.is_there and known != earlier.fingerprint and known == coming.vault(environ).fingerprint:
            return None
        claim(engine, earlier)
        later = coming.vault(environ)
        _refuse_known(engine, earlier, later)
        change = rotation.begin(
            earlier, later, later_file=coming.file, replaces=coming.replaces, who=who, why=why
        )
        return rotation.carry_out(change, earlier, later)


def _go_on(
    rotation: Rotation, change: KeyChange, run: Run, to: Path | None, environ: Mapping[str, str]
) -> Rotated:
    """End a change, with the keys that it was begun with."""
    if to is not None and str(to.resolve()) != change.later_file:
        where = change.later_file or NEW_VARIABLE
        raise SettingsError(
            f"--to {to}: a change to the key in {where} was begun and has to be ended first; leave --to out"
        )
    if change.receipt is not None:
        return rotation.finish(change, change.receipt)
    earlier = open_vault(run.key_file, environ)
    _expect(earlier, change.earlier, change)
    if change.later_file is None and not environ.get(NEW_VARIABLE):
        raise VaultError(
            f"{NEW_VARIABLE}: is not set, and the change from {change.earlier} to {change.later} needs it "
            "until its end; set it to that key, and run again: leaksweep key rotate"
        )
    # A file that went is not made anew: what the key in it sealed would be lost.
    file = change.later_file
    later = vault_in(Path(file)) if file else vault_of(environ[NEW_VARIABLE], NEW_VARIABLE)
    _expect(later, change.later, change)
    return rotation.carry_out(change, earlier, later)


def _expect(found: Vault, fingerprint: str, change: KeyChange) -> None:
    if found.fingerprint != fingerprint:
        raise VaultError(
            f"{found.origin}: holds the key {found.fingerprint}, but the change from {change.earlier} to "
            f"{change.later} was begun and needs {fingerprint} there until its end; put that one back"
        )


def _coming(run: Run, to: Path | None, environ: Mapping[str, str]) -> Coming:
    given = bool(environ.get(NEW_VARIABLE))
    if to is not None and given:
        raise SettingsError(f"--to {to}: a new key is in {NEW_VARIABLE} too; give one of them")
    if to is not None or given:
        return Coming(file=to.resolve() if to is not None else None, replaces=None)
    if environ.get(VARIABLE):
        raise SettingsError(
            f"the key of this home is in {VARIABLE}, which nobody but you can change: give the new one in "
            f"{NEW_VARIABLE}, or say with --to FILE where to put it"
        )
    # What a link leads to is replaced, not the link.
    file = run.key_file.resolve()
    return Coming(file=file.with_name(f"{file.name}.new"), replaces=file)


def _refuse_known(engine: Engine, earlier: Vault, later: Vault) -> None:
    if later.fingerprint == earlier.fingerprint:
        raise SettingsError(
            f"{later.origin}: holds the key that this home has ({later.fingerprint}); give another one"
        )
    until = KeyChanges(engine).earlier().get(later.fingerprint)
    if until:
        raise SettingsError(
            f"{later.origin}: holds a key that was this home's until {until[:10]} ({later.fingerprint}); "
            "a key that was given up does not come back: give another one"
        )


def told(run: Run, done: Rotated, environ: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """What a change says, to a machine and to a person."""
    change, said = done.change, done.content
    key, old_key, next_step = _places(run, change, environ)
    content = {
        "changed": True,
        "from": change.earlier,
        "to": change.later,
        "seals": said["looked_for"],
        "files_read": said["files_read"],
        "bytes_read": said["bytes_read"],
        "key": key,
        "old_key": old_key,
        "receipt": str(done.receipt),
    }
    text = (
        f"the master key was changed from {change.earlier} to {change.later}: {said['looked_for']} seals "
        f"were made anew; read back {said['files_read']} files, {said['bytes_read'] / 1e6:.1f} MB: nothing "
        f"that the old key sealed is left\nreceipt: {done.receipt}\n{next_step}\n"
        f"the old key is in {old_key}. Back-ups made before now need it: destroy it when none of them is left"
    )
    return content, text


def _places(run: Run, change: KeyChange, environ: Mapping[str, str]) -> tuple[str, str, str]:
    """Where the new key is, where the old one is, and what is left to do."""
    old_key = VARIABLE if environ.get(VARIABLE) else str(run.key_file)
    if change.replaces:
        kept = str(aside(Path(change.replaces), change.earlier))
        return change.replaces, kept, f"the new key is in {change.replaces}; keep a copy elsewhere"
    key = change.later_file or NEW_VARIABLE
    named = f'name it in the settings: key_file = "{key}"'
    if change.later_file is None:
        left = f"now set {VARIABLE} to the new key, which {key} holds"
    elif environ.get(VARIABLE):
        left = f"the new key is in {key}; now set {VARIABLE} to it, or unset {VARIABLE} and {named}"
    else:
        left = f"the new key is in {key}; now {named}"
    return key, old_key, f"{left}; keep a copy elsewhere"
