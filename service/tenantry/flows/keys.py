"""The service's own keys: made at the first run in development, required in production.

A folder of keys holds `license-key.pem` (private), `public-key.pem` (its public half, then those of
earlier keys that licenses may still be signed with), and `vault.keys` (one Fernet key a line, the
newest first). Files made here start with a line that says so, by which production knows and
refuses them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from tenantry.adapters.vault import Vault
from tenantry.core.errors import KeysMissing
from tenantry.core.keys import PublicKey, SigningKey, jwks, public_bundle, read_public_bundle

DEVELOPMENT_MARK = "# Made for development by tenantry; production refuses this key.\n"
LICENSE_KEY, PUBLIC_KEY, VAULT_KEYS = "license-key.pem", "public-key.pem", "vault.keys"
SEALING_KEY, SEALING_CERTIFICATE = "sealing.key", "sealing.crt"


@dataclass(frozen=True)
class Keyring:
    """The key that signs licenses, and all keys that licenses are verified with, by `kid`."""

    signing: SigningKey
    public: Mapping[str, PublicKey]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The JSON Web Key Set to publish."""
        return jwks(self.public.values())

    def bundle(self) -> str:
        """The public keys that a tenant gets, as concatenated PEM. Which of them signs does not
        show, so a key that was published before its use changes nothing when it is used.
        """
        return public_bundle(self.public[kid].pem for kid in sorted(self.public))

    def bundle_version(self) -> str:
        """A short name of what `bundle` holds; another set of keys has another."""
        return hashlib.sha256(self.bundle().encode()).hexdigest()[:12]


def load_keyring(folder: Path, *, production: bool) -> Keyring:
    """The keys of a folder; KeysMissing where one is missing, or made for development only."""
    signing = SigningKey.from_pem(read_key_file(folder / LICENSE_KEY, production))
    public = read_public_bundle(read_key_file(folder / PUBLIC_KEY, production))
    if signing.kid not in public:
        raise KeysMissing(
            f"{folder / PUBLIC_KEY} lacks the public half of {LICENSE_KEY}",
            remedy=f"openssl pkey -in {LICENSE_KEY} -pubout, put first in {PUBLIC_KEY}",
        )
    ordered = {signing.kid: public[signing.kid], **public}
    return Keyring(signing, ordered)


def load_vault(folder: Path, *, production: bool) -> Vault:
    """The vault of a folder of keys; KeysMissing as `load_keyring`."""
    lines = read_key_file(folder / VAULT_KEYS, production).splitlines()
    return Vault([line.strip() for line in lines if line.strip() and not line.startswith("#")])


def make_development_keys(folder: Path, *, algorithm: str) -> list[str]:
    """Make what is missing of license key and vault key; the names of the files made. KeysMissing
    where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with alone_in(folder):
            return _make_missing(folder, algorithm)
    except OSError as error:
        raise KeysMissing(
            f"{folder}: {error.strerror}", remedy="make it writable, or set TENANTRY_KEYS_DIR"
        ) from None


def _make_missing(folder: Path, algorithm: str) -> list[str]:
    made = []
    if not (folder / LICENSE_KEY).exists():
        private = new_license_key(algorithm)
        public = SigningKey.from_pem(private).public_pem
        write_whole(folder / PUBLIC_KEY, DEVELOPMENT_MARK + public, mode=0o644)
        write_whole(folder / LICENSE_KEY, DEVELOPMENT_MARK + private)
        made += [LICENSE_KEY, PUBLIC_KEY]
    if not (folder / VAULT_KEYS).exists():
        write_whole(folder / VAULT_KEYS, f"{DEVELOPMENT_MARK}{Fernet.generate_key().decode()}\n")
        made.append(VAULT_KEYS)
    return made


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Web and worker may start at once; the keys of one of them count."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_sealing_pair(folder: Path, now: datetime) -> None:
    """A sealing key and certificate as the sealed-secrets controller makes them, for the
    development stand-in; nothing where they exist.
    """
    if (folder / SEALING_CERTIFICATE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tenantry development")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(minutes=5))
        .not_valid_after(now.astimezone(UTC) + timedelta(days=3650))
        .sign(key, SHA256())
    )
    write_whole(folder / SEALING_KEY, DEVELOPMENT_MARK + _private_pem(key))
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    write_whole(folder / SEALING_CERTIFICATE, DEVELOPMENT_MARK + pem, mode=0o644)


def is_development_key(text: str) -> bool:
    """Whether a file of this text was made by this module, or holds a part that was."""
    return DEVELOPMENT_MARK.strip() in text


def new_license_key(algorithm: str) -> str:
    """A private key for EdDSA or RS256, as PEM."""
    if algorithm == "RS256":
        return _private_pem(rsa.generate_private_key(public_exponent=65537, key_size=3072))
    return _private_pem(ed25519.Ed25519PrivateKey.generate())


def _private_pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def write_whole(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Written whole, or not there at all, also where the power goes; readable by its owner only
    where `mode` says nothing.
    """
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # or its name may stand on the disk before what is in it
    unfinished.replace(path)


def read_key_file(path: Path, production: bool) -> str:
    """The text of a file of keys; KeysMissing as `load_keyring`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise KeysMissing(
            f"{path} is missing", remedy="see keys/README.md for how each key is made"
        ) from None
    except OSError as error:
        raise KeysMissing(
            f"{path}: {error.strerror}", remedy="mount it there, readable by this user"
        ) from None
    except UnicodeDecodeError:
        raise KeysMissing(
            f"{path} is not text", remedy="keys are PEM; see keys/README.md"
        ) from None
    if production and is_development_key(text):
        raise KeysMissing(
            f"{path} is a development key", remedy="see keys/README.md for how to make a real one"
        )
    return text
