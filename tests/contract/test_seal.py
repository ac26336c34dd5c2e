"""Sealing with the real kubeseal, and with kubeseals that lie."""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantry.adapters import process
from tenantry.adapters.seal import Kubeseal, PlainSecret, SealingCertificate, parse_certificate
from tenantry.core.errors import ProgramMissing, ProgramTimeout, SealingError, SettingsError
from tests.programs import require

VECTORS = Path(__file__).parent.parent / "data" / "kubeseal"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
SECRETS = [
    PlainSecret("customer-bbbbbbbbbb", "app-secrets", {"PASSWORD": "hunter2hunter2", "EMPTY": ""}),
    PlainSecret("customer-cccccccccc", "app-secrets", {"PASSWORD": "zażółć 🔑"}),
]


@pytest.fixture(scope="module")
def certificate() -> SealingCertificate:
    return parse_certificate((VECTORS / "throwaway-cert.pem").read_text())


def unseal(secret: PlainSecret, ciphertext: dict[str, str]) -> dict[str, str]:
    document = {
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": {"name": secret.name, "namespace": secret.namespace},
        "spec": {"encryptedData": ciphertext},
    }
    opened = process.run(
        [
            require("kubeseal"),
            "--recovery-unseal",
            "--recovery-private-key",
            str(VECTORS / "throwaway-key.pem"),
            "--format",
            "yaml",
        ],
        stdin=yaml.safe_dump(document).encode(),
        deadline=20,
    ).require_success()
    data: dict[str, Any] = yaml.safe_load(opened.stdout)["data"]
    return {key: base64.b64decode(value or "").decode() for key, value in data.items()}


def test_what_is_sealed_opens_again(certificate: SealingCertificate) -> None:
    sealed = Kubeseal(require("kubeseal")).seal(SECRETS, certificate, now=NOW)
    for secret, ciphertext in zip(SECRETS, sealed, strict=True):
        assert unseal(secret, ciphertext) == secret.values


def test_large_batch_keeps_its_order(certificate: SealingCertificate) -> None:
    many = [PlainSecret(f"customer-{n}", "s", {"K": str(n)}) for n in range(130)]
    sealed = Kubeseal(require("kubeseal")).seal(many, certificate, now=NOW)
    assert len(sealed) == 130
    assert unseal(many[129], sealed[129]) == {"K": "129"}


def test_scope_in_the_environment_changes_nothing(
    certificate: SealingCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALED_SECRETS_SCOPE", "cluster-wide")
    (sealed,) = Kubeseal(require("kubeseal")).seal(SECRETS[:1], certificate, now=NOW)
    assert unseal(SECRETS[0], sealed) == SECRETS[0].values


def test_expired_certificate_is_refused(certificate: SealingCertificate) -> None:
    late = certificate.not_after + timedelta(seconds=1)
    with pytest.raises(SealingError, match="expired"):
        Kubeseal(require("kubeseal")).seal(SECRETS, certificate, now=late)
    with pytest.raises(SealingError, match="not valid before"):
        Kubeseal(require("kubeseal")).seal(
            SECRETS, certificate, now=certificate.not_before - timedelta(days=1)
        )


def test_certificate_other_than_the_pinned_one_is_refused(certificate: SealingCertificate) -> None:
    assert parse_certificate(certificate.pem, pinned=certificate.fingerprint.upper()) == certificate
    with pytest.raises(SettingsError, match="not the pinned one"):
        parse_certificate(certificate.pem, pinned="00" * 32)
    with pytest.raises(SettingsError, match="not a PEM certificate"):
        parse_certificate("nonsense")


# Programs in kubeseal's place. Each is the real output, spoilt in one way.

LIES = {
    "fewer documents": "documents = documents[:-1]",
    "another namespace": "documents[0]['metadata']['namespace'] = 'customer-elsewhere'",
    "another name": "documents[0]['metadata']['name'] = 'other'",
    "another kind": "documents[0]['kind'] = 'Secret'",
    "a wider scope": (
        "documents[0]['metadata']['annotations'] = "
        "{'sealedsecrets.bitnami.com/cluster-wide': 'true'}"
    ),
    "fewer keys": "documents[0]['spec']['encryptedData'].popitem()",
    "the plain text": "documents[0]['spec']['encryptedData']['PASSWORD'] = 'hunter2hunter2'",
    "the plain text in base64": (
        "documents[0]['spec']['encryptedData']['PASSWORD'] = 'aHVudGVyMmh1bnRlcjI='"
    ),
    "another value's ciphertext": (
        "documents[0]['spec']['encryptedData']['PASSWORD'] = "
        "documents[0]['spec']['encryptedData']['EMPTY']"
    ),
    "no document": "documents = ['just', 'words']",
    "numbers": "documents = [1, 2]",
    "something more": "documents.append('more')",
    "half of a document": "documents[1] = json.dumps(documents[1])[:-2]",
}


@pytest.mark.parametrize("lie", LIES)
def test_output_that_was_not_asked_for_is_refused(
    lie: str, certificate: SealingCertificate, tmp_path: Path
) -> None:
    program = liar(tmp_path, require("kubeseal"), LIES[lie])
    with pytest.raises(SealingError) as caught:
        Kubeseal(program).seal(SECRETS, certificate, now=NOW)
    assert "hunter2hunter2" not in str(caught.value)


def test_missing_kubeseal_is_named_with_the_remedy(certificate: SealingCertificate) -> None:
    with pytest.raises(ProgramMissing, match="make tools"):
        Kubeseal("/nonexistent/kubeseal").seal(SECRETS, certificate, now=NOW)


def test_failing_kubeseal_is_quoted_without_secrets(
    certificate: SealingCertificate, tmp_path: Path
) -> None:
    program = script(tmp_path, "echo 'cannot encrypt hunter2hunter2' >&2; exit 1")
    with pytest.raises(SealingError, match=r"cannot encrypt \*\*\*"):
        Kubeseal(program).seal(SECRETS, certificate, now=NOW)


def test_hanging_kubeseal_is_ended(certificate: SealingCertificate, tmp_path: Path) -> None:
    program = script(tmp_path, "sleep 60")
    with pytest.raises(ProgramTimeout):
        Kubeseal(program, deadline=0.3).seal(SECRETS, certificate, now=NOW)


def liar(folder: Path, kubeseal: str, spoil: str) -> str:
    code = (
        "import json, subprocess, sys\n"
        f"real = subprocess.run([{kubeseal!r}, *sys.argv[1:]], input=sys.stdin.buffer.read(),"
        " stdout=subprocess.PIPE, check=True)\n"
        "text, documents, end = real.stdout.decode().strip(), [], 0\n"
        "while text[end:]:\n"
        "    document, end = json.JSONDecoder().raw_decode(text, end)\n"
        "    documents.append(document)\n"
        "    end += 1  # the line feed between two\n"
        f"{spoil}\n"
        "for document in documents:\n"
        "    print(json.dumps(document) if isinstance(document, dict) else document)\n"
    )
    (folder / "liar.py").write_text(code)
    return script(folder, f'exec "{sys.executable}" "{folder}/liar.py" "$@"')


def script(folder: Path, body: str) -> str:
    program = folder / "kubeseal"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)
