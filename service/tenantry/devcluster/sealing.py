"""What the sealed-secrets controller does: opens SealedSecrets with the cluster's key.

kubeseal reads one document per run here (it drops further ones without a word), so each
SealedSecret is one short process; what was opened is remembered until the ciphertext changes.
Opened values stay in memory and are part of no message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenantry.adapters import process
from tenantry.core.errors import ProgramError

_WIDE = ("sealedsecrets.bitnami.com/cluster-wide", "sealedsecrets.bitnami.com/namespace-wide")
_LISTED = re.compile(r"\(([^()]+)\)$")  # kubeseal lists them in a different order each time
NOT_STRICT = "development stand-in: not sealed with strict scope"


@dataclass(frozen=True)
class Opened:
    """A SealedSecret's values, or why it stayed shut."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    refusal: str | None = None


class Opener:
    """Opens SealedSecrets; safe for several threads."""

    def __init__(self, program: str, key: Path, *, deadline: float) -> None:
        self._program = program
        self._key = key
        self._deadline = deadline
        self._known: dict[tuple[str, str], tuple[str, Opened]] = {}
        self._lock = threading.Lock()

    def open(self, sealed: Mapping[str, Any], namespace: str) -> Opened:
        """The values within; never raises, a refusal is an answer."""
        metadata = {"namespace": namespace, **sealed["metadata"]}
        document = {**sealed, "metadata": metadata}
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        place = (str(metadata["namespace"]), str(metadata["name"]))
        with self._lock:
            known = self._known.get(place)
        if known is not None and known[0] == digest:
            return known[1]
        opened = self._open(document)
        with self._lock:
            self._known[place] = (digest, opened)
        return opened

    def _open(self, document: Mapping[str, Any]) -> Opened:
        if _is_wide(document):
            return Opened(refusal=NOT_STRICT)
        argv = [self._program, "--recovery-unseal", "--recovery-private-key", str(self._key)]
        try:
            completed = process.run(
                argv,
                stdin=json.dumps(document).encode(),
                env={"KUBECONFIG": os.devnull},
                deadline=self._deadline,
            )
        except ProgramError as error:
            return Opened(refusal=error.message)
        if completed.returncode:
            return Opened(refusal=_reason(completed.stderr))
        return _read(completed.stdout)


def _reason(stderr: str) -> str:
    """kubeseal's words, with the keys that it lists in the order of their names."""
    said = stderr.strip().removeprefix("error: ")
    return _LISTED.sub(lambda keys: f"({', '.join(sorted(keys[1].split(', ')))})", said)


def _is_wide(document: Mapping[str, Any]) -> bool:
    template = (document.get("spec") or {}).get("template") or {}
    marks = [document["metadata"], template.get("metadata") or {}]
    return any(wide in (mark.get("annotations") or {}) for mark in marks for wide in _WIDE)


def _read(output: bytes) -> Opened:
    try:
        data = json.loads(output)["data"]
        values = {key: base64.b64decode(value).decode() for key, value in data.items()}
    except (KeyError, TypeError, ValueError, binascii.Error):
        return Opened(refusal="kubeseal wrote something other than a Secret")
    return Opened(values=values)
