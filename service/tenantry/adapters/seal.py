"""Sealing: kubeseal turns secret values into ciphertext that only the cluster's controller opens.

Owns: running kubeseal, the sealing certificate, and distrust of the output. kubeseal drops a
document that does not parse and exits 0, and takes scope from annotations and from
`SEALED_SECRETS_*` variables; so the child gets nothing of our environment, and what it returns
is compared with what it was given: count, kind, name, namespace, scope, keys, and the exact length
that each ciphertext must have.

Invariant: what `seal` returns was sealed, strictly, for the namespace and name asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tenantry.adapters import process
from tenantry.core.errors import ProgramMissing, SealingError, SettingsError

KUBESEAL_REMEDY = "run `make tools`, or put kubeseal 0.38.4 or newer on PATH"
SPLIT_FROM = 64  # values; below, a second process costs more than it saves
# One process a core, so no threads beside it; and memory for time: it ends soon.
ENVIRONMENT = {"KUBECONFIG": os.devnull, "GOMAXPROCS": "1", "GOGC": "400"}
CORES = os.cpu_count() or 1
GCM_TAG = 16  # bytes
LENGTH_PREFIX = 2  # bytes


@dataclass(frozen=True)
class PlainSecret:
    """The values to seal for one Secret object. Never logged, never in argv."""

    namespace: str
    name: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class SealingCertificate:
    """The controller's public half: PEM, its SHA-256 fingerprint (hex), when it is valid."""

    pem: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    modulus_bytes: int

    def check(self, now: datetime) -> None:
        """SealingError where the certificate is not valid at `now`."""
        if now < self.not_before:
            raise SealingError(f"the sealing certificate is not valid before {self.not_before}")
        if now >= self.not_after:
            raise SealingError(
                f"the sealing certificate expired on {self.not_after:%Y-%m-%d}",
                remedy="fetch the controller's current one: kubeseal --fetch-cert",
            )


def parse_certificate(pem: str, *, pinned: str | None = None) -> SealingCertificate:
    """Read a PEM certificate; `pinned` is the SHA-256 fingerprint that it must have.

    Raises SettingsError where it is no RSA certificate, or not the pinned one.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        key = certificate.public_key()
    except ValueError as error:
        raise SettingsError(
            "the sealing certificate is not a PEM certificate",
            remedy="kubeseal --fetch-cert > sealing.crt",
        ) from error
    if not isinstance(key, RSAPublicKey):
        raise SettingsError("the sealing certificate holds no RSA key")
    digest = certificate.fingerprint(SHA256()).hex()
    if pinned is not None and digest != pinned.replace(":", "").lower():
        raise SettingsError(
            f"the sealing certificate is not the pinned one but {digest}",
            remedy="approve it by setting its fingerprint, if the cluster's keys were renewed",
        )
    return SealingCertificate(
        pem=pem,
        fingerprint=digest,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        modulus_bytes=(key.key_size + 7) // 8,
    )


class Kubeseal:
    """The real kubeseal. `deadline` is in seconds for one process of a batch."""

    def __init__(self, program: str = "kubeseal", *, deadline: float = 60.0) -> None:
        self.program = program
        self.deadline = deadline

    def seal(
        self,
        secrets: Sequence[PlainSecret],
        certificate: SealingCertificate,
        *,
        now: datetime,
        cores: int = CORES,
    ) -> list[dict[str, str]]:
        """Ciphertext by key for each secret, in order; all or nothing. A batch uses so many cores.

        Raises SealingError (or ProgramMissing, ProgramTimeout) and returns nothing where any
        document comes back other than asked for.
        """
        if not secrets:
            return []
        certificate.check(now)
        with ThreadPoolExecutor(max_workers=cores) as pool:
            split = _split(secrets, cores)
            parts = pool.map(lambda part: self._seal_part(part, certificate), split)
            return [sealed for part in parts for sealed in part]

    def _seal_part(
        self, secrets: Sequence[PlainSecret], certificate: SealingCertificate
    ) -> list[dict[str, str]]:
        documents = "".join(f"---\n{json.dumps(_document(secret))}\n" for secret in secrets)
        try:
            with tempfile.TemporaryDirectory(prefix="tenantry-seal-") as folder:
                cert_file = Path(folder) / "sealing.crt"
                cert_file.write_text(certificate.pem)
                completed = self._run(["--cert", str(cert_file)], documents, secrets)
        except OSError as error:
            raise SealingError(f"kubeseal cannot be given a file: {error.strerror}") from error
        if completed.returncode:
            raise SealingError(f"kubeseal: {completed.stderr.strip() or completed.returncode}")
        return _checked(completed.stdout, secrets, certificate)

    def _run(
        self, arguments: list[str], documents: str, secrets: Sequence[PlainSecret]
    ) -> process.Completed:
        values = [value for secret in secrets for value in secret.values.values()]
        try:
            return process.run(
                [self.program, "--scope", "strict", "--format", "json", *arguments],
                stdin=documents.encode(),
                env=ENVIRONMENT,
                deadline=self.deadline,
                limit=max(32, len(secrets)) * process.MEBIBYTE,
                secrets=values,
            )
        except ProgramMissing as error:
            raise ProgramMissing("kubeseal is not installed", remedy=KUBESEAL_REMEDY) from error


def _split(secrets: Sequence[PlainSecret], cores: int) -> list[Sequence[PlainSecret]]:
    values = sum(len(secret.values) for secret in secrets)
    parts = cores if values >= SPLIT_FROM else 1
    size = -(-len(secrets) // parts)
    return [secrets[start : start + size] for start in range(0, len(secrets), size)]


def _document(secret: PlainSecret) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name, "namespace": secret.namespace},
        "type": "Opaque",
        "data": {key: _base64(value) for key, value in secret.values.items()},
    }


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _checked(
    output: bytes, secrets: Sequence[PlainSecret], certificate: SealingCertificate
) -> list[dict[str, str]]:
    try:
        documents = list(_read_documents(output.decode()))
    except ValueError:
        raise SealingError("kubeseal returned no JSON") from None
    if len(documents) != len(secrets):
        raise SealingError(f"kubeseal returned {len(documents)} documents for {len(secrets)}")
    pairs = zip(documents, secrets, strict=True)
    return [_ciphertext(document, secret, certificate) for document, secret in pairs]


def _read_documents(text: str) -> Iterator[Any]:
    """The JSON values that stand one after another; ValueError for anything else."""
    decoder = json.JSONDecoder()
    position = _skip_space(text, 0)
    while position < len(text):
        document, end = decoder.raw_decode(text, position)
        yield document
        position = _skip_space(text, end)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _ciphertext(
    document: Any, secret: PlainSecret, certificate: SealingCertificate
) -> dict[str, str]:
    where = f"{secret.namespace}/{secret.name}"
    try:
        metadata = document["metadata"]
        identity = (document["kind"], metadata["namespace"], metadata["name"])
        encrypted = dict(document["spec"]["encryptedData"])
        annotations = metadata.get("annotations") or {}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise SealingError(f"kubeseal returned something else for {where}") from None
    if identity != ("SealedSecret", secret.namespace, secret.name):
        raise SealingError(f"kubeseal returned another object for {where}")
    if any(str(name).startswith("sealedsecrets.bitnami.com/") for name in annotations):
        raise SealingError(f"kubeseal did not seal {where} strictly")
    if encrypted.keys() != secret.values.keys():
        raise SealingError(f"kubeseal returned other keys for {where}")
    for key, value in secret.values.items():
        _check_length(encrypted[key], value, certificate, f"{where} {key}")
    return encrypted


def _check_length(
    ciphertext: object, value: str, certificate: SealingCertificate, where: str
) -> None:
    """The format has one length per value; anything else, plain text included, is no ciphertext."""
    try:
        raw = binascii.a2b_base64(str(ciphertext), strict_mode=True)
    except ValueError:
        raise SealingError(f"kubeseal returned no ciphertext for {where}") from None
    expected = LENGTH_PREFIX + certificate.modulus_bytes + len(value.encode()) + GCM_TAG
    if len(raw) != expected or int.from_bytes(raw[:2], "big") != certificate.modulus_bytes:
        raise SealingError(f"kubeseal returned no ciphertext for {where}")
