"""The master key of a home: what is confidential is sealed with it before it reaches the disk. No torch."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mmap
import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scanner.job import ScanError

VARIABLE = "LEAKSWEEP_KEY"
"""Environment variable that may hold the key, as `new_key` writes it."""

NEW_VARIABLE = "LEAKSWEEP_NEW_KEY"
"""Environment variable that may hold the key that a home's key is to be changed for."""

KEY_BYTES = 32
_NONCE_BYTES = 12

MARK = b"\x93leaksweep sealed\x01"
"""What every seal begins with, so that seals can be found in raw files."""

UNCOMPRESSED = {"lance-encoding:compression": "none"}
"""Of a Lance column of seals: compressed, they could not be looked for, and noise does not shrink."""

HEAD = len(MARK) + _NONCE_BYTES + 8
"""Bytes by which a seal is known: the mark, the nonce, and too little of the rest to be of use."""


class VaultError(ScanError):
    """The master key is missing, malformed, or not the one that this was sealed with."""


class Vault:
    """Seals bytes with one key: AES-256-GCM with a random nonce, so equal texts give unequal seals."""

    def __init__(self, key: bytes, *, origin: str = "the key given") -> None:
        """Take a key of 32 bytes; `origin` is what messages call it."""
        if len(key) != KEY_BYTES:
            raise VaultError(
                f"{origin}: has {len(key)} bytes, not {KEY_BYTES}; make one: leaksweep key new FILE"
            )
        self.origin = origin
        self._key = key
        self._cipher = AESGCM(_derived(key, "seal"))

    @property
    def fingerprint(self) -> str:
        """8 hex digits by which people tell keys apart; it gives nothing of the key away."""
        return hashlib.sha256(_derived(self._key, "fingerprint")).hexdigest()[:8]

    def holds(self, fingerprint: str) -> bool:
        """Whether it opens what the key of this fingerprint sealed."""
        return fingerprint == self.fingerprint

    def seal(self, data: bytes, about: str) -> bytes:
        """Return mark, nonce, ciphertext and tag. `about` says what it is, and is asked for to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return MARK + nonce + self._cipher.encrypt(nonce, data, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """Return what was sealed.

        Raises:
            VaultError: another key sealed it, it is about something else, or its bytes were changed.
        """
        try:
            nonce, text = sealed[len(MARK) :][:_NONCE_BYTES], sealed[len(MARK) + _NONCE_BYTES :]
            if not sealed.startswith(MARK):
                raise InvalidTag
            return self._cipher.decrypt(nonce, text, about.encode())
        except (InvalidTag, ValueError) as error:
            raise VaultError(
                f"{about}: cannot be opened with {self.origin} (fingerprint {self.fingerprint}): another key "
                f"sealed it, or it is damaged; set {VARIABLE} or key_file to the key of this home"
            ) from error

    def reseal(self, sealed: bytes, about: str) -> bytes:
        """Open a seal, and seal its content anew; errors as for `open`."""
        return self.seal(self.open(sealed, about), about)

    def signer(self) -> Ed25519PrivateKey:
        """The key that signs receipts. Its public half may be shown to anybody."""
        return Ed25519PrivateKey.from_private_bytes(_derived(self._key, "receipts"))


class TwoKeys(Vault):
    """Opens what either of two keys sealed, and seals with the later one: for the time of a change."""

    def __init__(self, earlier: Vault, later: Vault) -> None:
        super().__init__(later._key, origin=later.origin)
        self._earlier = earlier

    def holds(self, fingerprint: str) -> bool:
        return super().holds(fingerprint) or self._earlier.holds(fingerprint)

    def open(self, sealed: bytes, about: str) -> bytes:
        try:
            return super().open(sealed, about)
        except VaultError:
            return self._earlier.open(sealed, about)


def heads(seals: Iterable[bytes | None]) -> frozenset[bytes]:
    """What each seal begins with, by which it is looked for: it opens nothing."""
    return frozenset(seal[:HEAD] for seal in seals if seal and seal.startswith(MARK))


def heads_in(file: Path, wanted: Container[bytes]) -> set[bytes]:
    """Those of the wanted heads that stand anywhere in a file, whatever else it holds.

    Raises:
        OSError: the file cannot be read.
    """
    if not file.stat().st_size:
        return set()
    found: set[bytes] = set()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(MARK)
        while at >= 0:
            if (head := content[at : at + HEAD]) in wanted:
                found.add(head)
            at = content.find(MARK, at + 1)
    return found


def open_vault(file: Path, environ: Mapping[str, str], *, make: bool = False) -> Vault:
    """Return the vault of the key in the environment, else in a file.

    Args:
        make: make the file when there is none. Only for a home that holds nothing sealed yet.

    Raises:
        VaultError: there is no key, or it is malformed.
    """
    if text := environ.get(VARIABLE):
        return vault_of(text, VARIABLE)
    if make and not file.exists():
        try:
            write_new_key(file)
        except VaultError:
            if not file.exists():  # else another process has just made it
                raise
    return vault_in(file)


def vault_in(file: Path) -> Vault:
    """Return the vault of the key in a file.

    Raises:
        VaultError: there is no key, or it is malformed.
    """
    try:
        return vault_of(file.read_text(encoding="ascii"), str(file))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VaultError(
            f"{file}: the master key is not there, and nothing that it sealed can be read; put it back, or "
            f"give it in {VARIABLE}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise VaultError(f"{file}: the master key cannot be read ({error}); mend the file") from error


def new_key() -> str:
    """A new random key as text: 44 characters of base64."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def write_new_key(file: Path) -> None:
    """Write a new key to a file that is not there yet, readable by its owner only.

    Raises:
        VaultError: the file is there, or cannot be written.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                out.write(new_key() + "\n")
                out.flush()
                os.fsync(out.fileno())
            os.link(part, file)  # unlike a rename, it never takes another's place
            settle_folder(file.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise VaultError(f"{file}: a new key cannot be written: {error.strerror or error}") from error


def settle_folder(folder: Path) -> None:
    """Have the disk itself know which files a folder holds: what is sealed must not outlive its key."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def vault_of(text: str, origin: str) -> Vault:
    """Return the vault of a key as `new_key` gives it; `origin` is what messages call it.

    Raises:
        VaultError: it is malformed. The message does not repeat it.
    """
    try:
        return Vault(base64.b64decode(text.strip(), validate=True), origin=origin)
    except (binascii.Error, ValueError) as error:
        raise VaultError(f"{origin}: is no key in base64; make one: leaksweep key new FILE") from error


def _derived(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"leaksweep {purpose}".encode()).derive(key)
