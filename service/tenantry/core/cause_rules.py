"""What the messages of objects and of Argo CD mean, as data (R41).

Messages come from Argo CD, the API server, kubelet, sealed-secrets and cert-manager. They are no
interface: a pattern names what of the text has been stable, and what no rule knows stays generic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# generic codes of `core.evidence`
BUILD = frozenset({"comparison_error"})
SYNC = frozenset(
    {"syncing", "sync_retrying", "sync_failed", "operation_unclear", "out_of_sync", "argocd_error"}
)
HEALTH = frozenset({"starting", "unhealthy", "resources_missing", "awaiting_health"})
# what the ingress controller made beside the Application's own objects does not count as its health
ANSWER = HEALTH | {"not_answering"}
# a wave waits for the health of the one before it
WAVE = frozenset({"syncing", "sync_retrying", "sync_failed"})

_PODS = frozenset({"Pod"})
_SEALED = frozenset({"SealedSecret"})
_CLAIMS = frozenset({"PersistentVolumeClaim"})
_INGRESSES = frozenset({"Ingress"})
_CERTIFICATES = frozenset({"Certificate", "CertificateRequest", "Order", "Challenge"})


@dataclass(frozen=True)
class Rule:
    """`cause` explains the generic codes `explains` where a message has the pattern. `kinds`: of
    the objects whose messages count; None: of any, and those of the Application too.
    """

    cause: str
    explains: frozenset[str]
    kinds: frozenset[str] | None
    pattern: re.Pattern[str]


def _rule(cause: str, explains: frozenset[str], pattern: str, kinds: frozenset[str] | None) -> Rule:
    return Rule(cause, explains, kinds, re.compile(pattern))


_ALL = BUILD | SYNC | HEALTH
# the most specific first: what runs before what makes it, and that before what was asked for
RULES = (
    _rule("sync_window", SYNC, r"[Bb]locked by sync window", None),
    _rule("namespace_terminating", _ALL, r"because it is being terminated", None),
    # of a claim the API server says what may change, whatever did; what did it shows below that, as
    # Go prints it or, of late, as JSON
    _rule(
        "immutable_field",
        SYNC,
        r"(?s)for bound claims\b.*\s[-+]\s+\"?(StorageClassName|AccessModes|VolumeName|VolumeMode"
        r"|Selector|DataSource|ReadWrite|ReadOnly)",
        None,
    ),
    _rule(
        "volume_cannot_grow",
        SYNC,
        r"only dynamically provisioned pvc can be resized"
        r"|except resources\.requests.* for bound claims",
        None,
    ),
    _rule(
        "immutable_field",
        SYNC,
        r"field is immutable|immutable after creation"
        r"|updates to \w+ spec for fields other than",
        None,
    ),
    _rule(
        "owned_by_another",
        _ALL,
        r"is part of applications|not managed by SealedSecret"
        r"|conflicts? with \"",
        None,
    ),
    _rule(
        "namespace_forbidden",
        BUILD | SYNC,
        r"namespace \S+ is not permitted in project"
        r"|do not match any of the allowed destinations in project",
        None,
    ),
    _rule(
        "kind_forbidden",
        BUILD | SYNC,
        r"resource \S*:\S+ is not permitted in project|cannot \w+ resource \"",
        None,
    ),
    _rule("secret_sealed_shut", HEALTH | WAVE, r"decrypt|[Uu]nseal", _SEALED),
    _rule(
        "image_not_pulled",
        HEALTH | WAVE,
        r"ImagePullBackOff|ErrImage|InvalidImageName|pull(ing)? image|apply default image tag"
        r"|not present with pull policy",
        _PODS,
    ),
    _rule(
        "crash_loop",
        HEALTH | WAVE,
        r"[Bb]ack-off .*restarting failed container|OOMKilled"
        r"|failed with exit code",
        _PODS,
    ),
    _rule("quota_exceeded", HEALTH | SYNC, r"(exceeded|failed) quota:", None),
    _rule(
        "pods_refused",
        HEALTH | SYNC,
        r"violates PodSecurity|denied (the )?request|unable to validate against any",
        None,
    ),
    _rule("volume_pending", HEALTH, "", _CLAIMS),
    _rule(
        "volume_pending",
        HEALTH,
        r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim \"\S+\" not found"
        r"|AttachVolume\.Attach failed|Multi-Attach error",
        _PODS,
    ),
    _rule(
        "certificate_refused",
        ANSWER,
        r"has failed to complete|urn:ietf:params:acme:error|was denied by",
        _CERTIFICATES,
    ),
    _rule("certificate_pending", ANSWER, "", _CERTIFICATES),
    # without a message: of what has failed it would be a guess
    _rule("ingress_without_address", frozenset({"starting"}), "", _INGRESSES),
    _rule(
        "manifest_error",
        BUILD | SYNC,
        r"kustomize build|app path does not exist|[Mm]anifest generation error|is invalid: ",
        None,
    ),
)
