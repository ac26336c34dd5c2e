"""What is told of each way in which the stand-in breaks: the data of docs/status.md and its test.

Each case breaks a tenant's first deployment; expected is the reason that is told, before it is
mended and the tenant becomes ready.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Expected:
    """What is told of a tenant with this break of the stand-in."""

    case: str
    reason: str


OF_A_TENANT = (
    Expected("image-not-pulled", "image_not_pulled"),
    Expected("crash-loop", "crash_loop"),
    Expected("volume-pending", "volume_pending"),
    Expected("ingress-without-address", "ingress_without_address"),
    Expected("certificate-refused", "certificate_refused"),
    Expected("pods-refused", "pods_refused"),
    Expected("quota", "quota_exceeded"),
    Expected("secret-shut", "secret_sealed_shut"),
    Expected("manifest-error", "manifest_error"),
    Expected("kind-forbidden", "kind_forbidden"),
    Expected("immutable-field", "immutable_field"),
    Expected("volume-cannot-grow", "volume_cannot_grow"),
    Expected("namespace-terminating", "namespace_terminating"),
    Expected("sync-window", "sync_window"),
    Expected("silent-instance", "not_answering"),
)
