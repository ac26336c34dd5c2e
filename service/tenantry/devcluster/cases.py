"""What can be broken, as data, in the words of Argo CD, the API server, and the kubelet."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.devcluster.faults import Case, Fault, Happening

_PULL = 'Back-off pulling image "{image}"'
_CRASH = "back-off 5m0s restarting failed container=app pod={pod}_{namespace}"
_UNBOUND = (
    "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: "
    "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
_REFUSED = (
    'pods "{pod}" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation '
    '!= false (container "app" must set securityContext.allowPrivilegeEscalation=false)'
)
_QUOTA = (
    'pods "{pod}" is forbidden: exceeded quota: tenant, requested: pods=1, used: pods=5, '
    "limited: pods=5"
)
_IMMUTABLE = (
    'Deployment.apps "{name}" is invalid: spec.selector: Invalid value: '
    '{{"matchLabels":{{"app.kubernetes.io/name":"{name}"}}}}: field is immutable'
)
_FIXED_SIZE = (
    'persistentvolumeclaims "{name}" is forbidden: only dynamically provisioned pvc can be resized '
    "and the storageclass that provisions the pvc must support resize"
)
_TERMINATING = (
    'deployments.apps "{name}" is forbidden: unable to create new content in namespace '
    "{namespace} because it is being terminated"
)
_ISSUING = "Issuing certificate as Secret does not exist"
_ORDER_FAILED = (
    "The certificate request has failed to complete and will be retried: Failed to wait for order "
    'resource "{name}-1-1" to become ready: order is in "invalid" state'
)
_NO_KEY = "no key could decrypt secret (LICENSE)"
_NO_FILE = (
    "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: "
    "code = Unknown desc = `kustomize build <path to cached source>/tenant` failed exit status 1: "
    "Error: accumulating resources: accumulation err='accumulating resources from "
    "'missing.yaml': open <path to cached source>/tenant/missing.yaml: no such file or directory'"
)


def _pods(reason: str, pod: Mapping[str, str], event: Happening, *, created: bool = True) -> Fault:
    return Fault(blocker=reason, pod=pod, created=created, happenings=(event,))


def _degraded(message: str) -> dict[str, str]:
    return {"status": "Degraded", "message": message}


_CASES = (
    Case(
        "image-not-pulled",
        "The registry does not have the image",
        _pods(_PULL, _degraded(_PULL), Happening("Pod", "BackOff", _PULL, "kubelet")),
    ),
    Case(
        "crash-loop",
        "The container ends again and again",
        _pods(_CRASH, _degraded(_CRASH), Happening("Pod", "BackOff", _CRASH, "kubelet")),
    ),
    Case(
        "volume-pending",
        "No volume is made for the claims",
        Fault(
            kind="PersistentVolumeClaim",
            health={"status": "Progressing"},
            blocker=_UNBOUND,
            pod={"status": "Progressing", "message": _UNBOUND},
            happenings=(
                Happening(
                    "PersistentVolumeClaim",
                    "ProvisioningFailed",
                    'storageclass.storage.k8s.io "standard" not found',
                    "persistentvolume-controller",
                ),
                Happening("Pod", "FailedScheduling", _UNBOUND, "default-scheduler"),
            ),
        ),
    ),
    Case(
        "ingress-without-address",
        "No ingress controller takes the Ingress on",
        Fault(kind="Ingress", health={"status": "Progressing"}, silent=True),
    ),
    Case(
        "certificate-pending",
        "The certificate is not issued yet",
        Fault(
            kind="Certificate",
            health={"status": "Progressing", "message": _ISSUING},
            silent=True,
            happenings=(
                Happening("Certificate", "Issuing", _ISSUING, "cert-manager-certificates-trigger"),
            ),
        ),
    ),
    Case(
        "certificate-refused",
        "The certificate's issuer refuses",
        Fault(
            kind="Certificate",
            health=_degraded(_ORDER_FAILED),
            silent=True,
            happenings=(
                Happening(
                    "Certificate", "Failed", _ORDER_FAILED, "cert-manager-certificates-issuing"
                ),
            ),
        ),
    ),
    Case(
        "pods-refused",
        "Pod Security refuses the pods",
        _pods(
            _REFUSED,
            {},
            Happening(
                "ReplicaSet", "FailedCreate", f"Error creating: {_REFUSED}", "replicaset-controller"
            ),
            created=False,
        ),
    ),
    Case(
        "quota",
        "The namespace's quota leaves no room for the pods",
        _pods(
            _QUOTA,
            {},
            Happening(
                "ReplicaSet", "FailedCreate", f"Error creating: {_QUOTA}", "replicaset-controller"
            ),
            created=False,
        ),
    ),
    Case(
        "immutable-field",
        "A change is to a field that cannot be changed",
        Fault(refusal=_IMMUTABLE, differs=True),
    ),
    Case(
        "volume-cannot-grow",
        "The storage class does not let volumes grow",
        Fault(kind="PersistentVolumeClaim", refusal=_FIXED_SIZE, differs=True),
    ),
    Case(
        "owned-by-another",
        "Another Application has one of the objects",
        Fault(kind="ServiceAccount", owner="somebody-else", differs=True),
    ),
    Case(
        "namespace-terminating",
        "The namespace is being deleted",
        Fault(refusal=_TERMINATING, differs=True),
    ),
    Case(
        "never-synced",
        "A webhook changes an object each time it is applied",
        Fault(differs=True),
    ),
    Case(
        "deletion-blocked",
        "A finalizer that nobody removes holds up a deletion",
        Fault(kind="Service", keeps=True),
    ),
    Case("sync-window", "A sync window forbids syncs at this time", Fault(kind="", window=True)),
    Case(
        "kind-forbidden",
        "The project does not permit one of the kinds",
        Fault(kind="Service", forbidden=True, differs=True),
    ),
    Case(
        "secret-shut",
        "The SealedSecret was sealed for another key",
        Fault(kind="SealedSecret", health=_degraded(_NO_KEY)),
    ),
    Case("manifest-error", "The manifests do not build", Fault(kind="", build_error=_NO_FILE)),
    Case("silent-instance", "The instance answers 503", Fault(kind="", silent=True)),
    Case(
        "flapping",
        "A workload is Degraded for less than a second now and then",
        Fault(health=_degraded("readiness probe failed"), flaps=True),
    ),
    Case("recreated", "The Application is deleted and made again, with a new uid", Fault(kind="")),
    Case("unreachable", "Argo CD's API answers 503"),
    Case("bad-token", "The API's tokens are no longer known"),
    Case("no-rights", "The accounts have lost their rights"),
    Case("stream-silent", "The stream stays open and says nothing"),
    Case("stream-loses", "The stream loses every second event"),
    Case("stream-cut", "The stream ends after its snapshot"),
    Case("restart", "Argo CD starts with empty caches; mended, it has compared everything"),
    Case("slow-list", "A list takes half a minute"),
    Case("frozen-set", "No ApplicationSet makes Applications any more, and says so"),
    Case("controller-idle", "Nothing is compared or synced any more"),
)
CASES: Mapping[str, Case] = {case.name: case for case in _CASES}
