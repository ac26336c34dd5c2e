"""From a stage that is not passed to the object that fails, and its own words (R41).

Recordings come first. Texts that were not recorded are those of the named project's sources or
documents; names in them are changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.core.application import Application, Applied, Resource, parse_application
from tenantry.core.cause_rules import RULES
from tenantry.core.causes import CIRCUMSTANCES, PATIENCE, WORTH_ASKING, Live, find_cause
from tenantry.core.evidence import Obstacle
from tenantry.core.live import Happening, Node, parse_tree
from tenantry.core.reasons import REASONS
from tests.readiness import GREEN, ask, recorded

LONG = PATIENCE + timedelta(seconds=1)


def node(kind: str, message: str = "", health: str = "Degraded", uid: str = "1") -> Node:
    return Node(kind, "", "customer", "app", uid, health=health, message=message)


def warning(kind: str, reason: str, message: str, uid: str = "1") -> Happening:
    return Happening(kind, "app", uid, is_warning=True, reason=reason, message=message)


# --- Recordings ---

# of the Application alone, its commits being ours: cause, resource, a part of the message
RECORDED = {
    "get-b-badseal-40s": ("secret_sealed_shut", "SealedSecret/app-secrets", "no key could decrypt"),
    "get-b-broken-6s": ("manifest_error", "", "accumulating resources"),
    "get-directory-removed": ("manifest_error", "", "app path does not exist"),
    "get-b-plain-6s": ("kind_forbidden", "Secret/oops", "resource :Secret is not permitted"),
    "get-b-plain-6min": ("kind_forbidden", "Secret/oops", "resource :Secret is not permitted"),
    "get-b-invalid-40s": ("manifest_error", "Service/Bad_Name", 'Service "Bad_Name" is invalid'),
    # nothing is known of these but that they wait or failed
    "get-b-good-6s": ("syncing", "", ""),
    "get-b-quota-6min": ("starting", "Deployment/app", "Waiting for rollout"),
    "get-b-stuck-40s": ("unhealthy", "Deployment/app", "exceeded its progress deadline"),
    "get-deletion-stuck": ("application_deleting", "", ""),
}


def recorded_cause(name: str, live: Live) -> Obstacle:
    app = parse_application(recorded(f"{name}.json")["body"])
    verdict = ask(app)
    return find_cause(Obstacle(verdict.reason_code, verdict.detail), app, live)


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_recorded_application_tells(name: str) -> None:
    code, resource, words = RECORDED[name]
    cause = recorded_cause(name, Live())
    assert (cause.code, cause.resource) == (code, resource)
    assert words in cause.detail


def test_a_recorded_tree_tells_which_objects_a_deletion_waits_for() -> None:
    nodes = parse_tree(recorded("resource-tree-deletion-stuck.json")["body"])
    cause = recorded_cause("get-deletion-stuck", Live(nodes, seen_for=LONG))
    assert (cause.code, cause.resource) == ("deletion_blocked", "ConfigMap/app-settings-24bckdhkm5")
    assert "ResourceQuota/tenant" in cause.detail


def test_a_recorded_quota_is_explained_by_the_replica_sets_event() -> None:
    nodes = parse_tree(recorded("resource-tree-b-quota.json")["body"])
    words = 'Error creating: pods "app-1" is forbidden: exceeded quota: tenant, requested: pods=1'
    live = Live(nodes, (warning("ReplicaSet", "FailedCreate", words),))
    assert recorded_cause("get-b-quota-6min", live) == Obstacle(
        "quota_exceeded", words, "ReplicaSet/app"
    )


# --- Texts ---


@dataclass(frozen=True)
class Text:
    """`cause` is what `message` means where `generic` stands. `kind`: of the object that has it as
    its health; with `event`, as that event; "": the Application's operation says it. `source`:
    whose text it is.
    """

    cause: str
    generic: str
    message: str
    source: str
    kind: str = ""
    event: str = ""


QUOTA = "is forbidden: exceeded quota: tenant, requested: limits.cpu=2, used: limits.cpu=1, limited"
CLAIM = 'PersistentVolumeClaim "data" is invalid: spec: Forbidden: spec is immutable after creation'
# what the API server appends to that: the change, in the two forms that it had so far
GO_SIZE = """\
  core.PersistentVolumeClaimSpec{
  \tAccessModes: {"ReadWriteOnce"},
  \tSelector:    nil,
  \tResources: core.ResourceRequirements{
  \t\tLimits: nil,
- \t\tRequests: core.ResourceList{
- \t\t\ts"storage": {i: resource.int64Amount{value: 11811160064}, s: "11Gi"},
- \t\t},
+ \t\tRequests: core.ResourceList{
+ \t\t\ts"storage": {i: resource.int64Amount{value: 16106127360}, s: "15Gi"},
+ \t\t},
  \t},
  \tVolumeName:       "",
  \tStorageClassName: &"standard",
  \t... // 3 identical fields
  }"""
GO_CLASS = """\
  core.PersistentVolumeClaimSpec{
  \t... // 2 identical fields
  \tResources:        {Requests: {s"storage": {i: {...}, s: "10Gi", Format: "BinarySI"}}},
  \tVolumeName:       "pvc-5fdd7133-df46-4142-b94d-e04dea4f0605",
-\xa0\tStorageClassName: &"standard",
+\xa0\tStorageClassName: nil,
  \tVolumeMode:       &"Filesystem",
  }"""
JSON_SIZE = """\
@@ -5,7 +5,7 @@
  "Resources": {
   "Limits": null,
   "Requests": {
-   "storage": "11Gi"
+   "storage": "15Gi"
   }
  },
  "VolumeName": "",
"""
JSON_CLASS = """\
@@ -10,7 +10,7 @@
  },
  "VolumeName": "",
- "StorageClassName": "standard",
+ "StorageClassName": "fast",
  "VolumeMode": "Filesystem",
  "DataSource": null,
"""
JSON_MODES = """\
@@ -1,6 +1,6 @@
 {
  "AccessModes": [
-  "ReadWriteMany"
+  "ReadWriteOnce"
  ],
  "Selector": null,
  "Resources": {
"""
TEXTS = [
    Text("sync_window", "syncing", "Sync operation blocked by sync window", "Argo CD sync.go"),
    Text("sync_window", "sync_failed", "Cannot sync: Blocked by sync window", "Argo CD server"),
    Text(
        "namespace_terminating",
        "sync_retrying",
        'services "app" is forbidden: unable to create new content in namespace customer because it'
        " is being terminated",
        "API server, NamespaceLifecycle",
    ),
    Text(
        "immutable_field",
        "sync_failed",
        'Deployment.apps "app" is invalid: spec.selector: Invalid value: {}: field is immutable',
        "API server, ValidateImmutableField",
    ),
    Text(
        "immutable_field",
        "sync_failed",
        'StatefulSet.apps "db" is invalid: spec: Forbidden: updates to statefulset spec for fields'
        " other than 'replicas', 'ordinals', 'template' are forbidden",
        "API server, ValidateStatefulSetUpdate",
    ),
    Text(
        "volume_cannot_grow",
        "sync_failed",
        f"{CLAIM} except resources.requests for bound claims",
        "API server until 1.30, ValidatePersistentVolumeClaimUpdate",
    ),
    *(
        Text(
            cause,
            "sync_retrying",
            f"{CLAIM} except resources.requests and volumeAttributesClassName for bound claims"
            f"\n{diff}",
            "API server, ValidatePersistentVolumeClaimUpdate",
        )
        for cause, diff in (
            ("volume_cannot_grow", GO_SIZE),
            ("volume_cannot_grow", JSON_SIZE),
            ("immutable_field", GO_CLASS),
            ("immutable_field", " ".join(GO_CLASS.split())),
            ("immutable_field", JSON_CLASS),
            ("immutable_field", JSON_MODES),
        )
    ),
    Text(
        "immutable_field",
        "sync_failed",
        'PersistentVolume "pv" is invalid: spec.persistentvolumesource: Forbidden: '
        "spec.persistentvolumesource is immutable after creation",
        "API server, ValidatePersistentVolumeUpdate",
    ),
    Text(
        "volume_cannot_grow",
        "sync_failed",
        'persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be'
        " resized and the storageclass that provisions the pvc must support resize",
        "API server, PersistentVolumeClaimResize",
    ),
    Text(
        "owned_by_another",
        "sync_failed",
        "Shared resource found: Namespace/c1 is part of applications argocd/c1 and c2",
        "Argo CD sync.go, FailOnSharedResource",
    ),
    Text(
        "owned_by_another",
        "unhealthy",
        'Resource "app-secrets" already exists and is not managed by SealedSecret',
        "sealed-secrets controller",
        "SealedSecret",
    ),
    Text(
        "owned_by_another",
        "sync_failed",
        'Apply failed with 1 conflict: conflict with "hpa" using apps/v1: .spec.replicas',
        "API server, managedfields",
    ),
    Text(
        "namespace_forbidden",
        "sync_failed",
        "one or more synchronization tasks are not valid: namespace kube-system is not permitted in"
        " project 'tenants'",
        "Argo CD sync.go",
    ),
    Text(
        "namespace_forbidden",
        "comparison_error",
        "application destination server 'https://kubernetes.default.svc' and namespace 'c1' do not"
        " match any of the allowed destinations in project 'tenants'",
        "Argo CD argo.go, InvalidSpecError",
    ),
    Text(
        "kind_forbidden",
        "sync_failed",
        'roles.rbac.authorization.k8s.io is forbidden: User "system:serviceaccount:argocd:argocd"'
        ' cannot create resource "roles" in API group "rbac.authorization.k8s.io"',
        "API server, RBAC",
    ),
    Text(
        "secret_sealed_shut",
        "syncing",
        "Failed to unseal: no key could decrypt secret (DB_PASSWORD)",
        "sealed-secrets controller, ErrUnsealFailed",
        "SealedSecret",
        "ErrUnsealFailed",
    ),
    Text(
        "image_not_pulled",
        "unhealthy",
        'Back-off pulling image "registry.example/app:9"',
        "kubelet, Argo CD health_pod.go",
        "Pod",
    ),
    Text(
        "image_not_pulled",
        "starting",
        'Failed to pull image "registry.example/app:9": not found',
        "kubelet",
        "Pod",
        "Failed",
    ),
    Text("image_not_pulled", "starting", "Error: ErrImagePull", "kubelet", "Pod", "Failed"),
    Text(
        "crash_loop",
        "unhealthy",
        "back-off 5m0s restarting failed container=app pod=app-1_customer(1)",
        "kubelet, Argo CD health_pod.go",
        "Pod",
    ),
    Text(
        "crash_loop",
        "starting",
        "Back-off restarting failed container app in pod app-1_customer(1)",
        "kubelet",
        "Pod",
        "BackOff",
    ),
    Text(
        "quota_exceeded",
        "unhealthy",
        f'pods "app-1" {QUOTA}',
        "API server, ResourceQuota; Argo CD health_replicaset.go",
        "ReplicaSet",
    ),
    Text(
        "quota_exceeded",
        "starting",
        'Error creating: pods "app-1" is forbidden: failed quota: tenant: must specify limits.cpu',
        "API server, ResourceQuota",
        "ReplicaSet",
        "FailedCreate",
    ),
    Text("quota_exceeded", "sync_retrying", f'persistentvolumeclaims "data" {QUOTA}', "API server"),
    Text(
        "pods_refused",
        "starting",
        'Error creating: pods "app-1" is forbidden: violates PodSecurity "restricted:latest":'
        " runAsNonRoot != true",
        "API server, PodSecurity",
        "ReplicaSet",
        "FailedCreate",
    ),
    Text(
        "pods_refused",
        "sync_failed",
        'admission webhook "validate.kyverno.svc-fail" denied the request: policy Deployment/app',
        "API server, webhook errors",
    ),
    Text("volume_pending", "starting", "", "Argo CD health_pvc.go", "PersistentVolumeClaim"),
    Text(
        "volume_pending",
        "starting",
        'storageclass.storage.k8s.io "fast" not found',
        "persistentvolume-controller",
        "PersistentVolumeClaim",
        "ProvisioningFailed",
    ),
    Text(
        "volume_pending",
        "starting",
        "0/3 nodes are available: 3 pod has unbound immediate PersistentVolumeClaims.",
        "kube-scheduler",
        "Pod",
        "FailedScheduling",
    ),
    Text("ingress_without_address", "starting", "", "Argo CD health_ingress.go", "Ingress"),
    Text(
        "certificate_pending",
        "unhealthy",
        "Issuing certificate as Secret does not exist",
        "cert-manager; Argo CD Certificate/health.lua",
        "Certificate",
    ),
    Text(
        "certificate_refused",
        "unhealthy",
        "The certificate request has failed to complete and will be retried: Failed to wait for"
        ' order resource "app-1" to become ready: order is in "invalid" state:',
        "cert-manager, certificates issuing",
        "Certificate",
    ),
    Text(
        "certificate_refused",
        "starting",
        "Failed to create Order: 429 urn:ietf:params:acme:error:rateLimited: too many certificates",
        "cert-manager, orders",
        "Order",
        "Failed",
    ),
    Text(
        "manifest_error",
        "comparison_error",
        "Manifest generation error (cached): json: cannot unmarshal string into Go value",
        "Argo CD repo-server",
    ),
    Text(
        "secret_sealed_shut",
        "unhealthy",
        "Failed to unseal: illegal base64 data at input byte 4",
        "sealed-secrets controller",
        "SealedSecret",
        "ErrUnsealFailed",
    ),
    Text("image_not_pulled", "starting", "Error: ImagePullBackOff", "kubelet", "Pod", "Failed"),
    Text("image_not_pulled", "starting", "Error: InvalidImageName", "kubelet", "Pod", "Failed"),
    Text(
        "image_not_pulled",
        "starting",
        'Failed to apply default image tag "APP": couldn\'t parse image name "APP"',
        "kubelet",
        "Pod",
        "InspectFailed",
    ),
    Text(
        "image_not_pulled",
        "unhealthy",
        'Container image "app:9" is not present with pull policy of Never',
        "kubelet",
        "Pod",
        "",
    ),
    Text("crash_loop", "unhealthy", "OOMKilled", "Argo CD health_pod.go", "Pod", ""),
    Text(
        "crash_loop",
        "unhealthy",
        'container "app" failed with exit code 1',
        "Argo CD health_pod.go",
        "Pod",
        "",
    ),
    Text(
        "pods_refused",
        "starting",
        'pods "app-1" is forbidden: unable to validate against any security context constraint',
        "OpenShift",
        "ReplicaSet",
        "FailedCreate",
    ),
    Text(
        "volume_pending",
        "starting",
        '0/3 nodes are available: persistentvolumeclaim "data" not found.',
        "kube-scheduler",
        "Pod",
        "FailedScheduling",
    ),
    Text(
        "volume_pending",
        "starting",
        'AttachVolume.Attach failed for volume "pvc-1" : rpc error: code = Internal',
        "attachdetach-controller",
        "Pod",
        "FailedAttachVolume",
    ),
    Text(
        "volume_pending",
        "starting",
        'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node',
        "attachdetach-controller",
        "Pod",
        "FailedAttachVolume",
    ),
    Text(
        "certificate_refused",
        "unhealthy",
        "The certificate request has failed to complete and will be retried: issuer is sealed",
        "cert-manager, certificates issuing",
        "Certificate",
        "",
    ),
    Text(
        "certificate_refused",
        "unhealthy",
        "The CertificateRequest was denied by an approval controller",
        "cert-manager",
        "CertificateRequest",
        "",
    ),
    Text(
        "owned_by_another",
        "sync_failed",
        "Namespace/c1 is part of applications argocd/c1 and c2",
        "Argo CD, conditions",
        "",
        "",
    ),
    # no cause of its own
    Text(
        "comparison_error",
        "comparison_error",
        "failed to list refs: authentication required: Repository not found.",
        "Argo CD repo-server, go-git",
    ),
    Text("sync_failed", "sync_failed", "the server is currently unable to handle it", "API server"),
]


def tell(text: Text) -> tuple[Obstacle, Application, Live]:
    """The text where it is said: an event, an object's health, or the operation."""
    obstacle = Obstacle(text.generic, "" if text.kind else text.message)
    live = Live()
    if text.kind:
        happened = warning(text.kind, text.event, text.message) if text.event else None
        told = node(text.kind, "" if happened else text.message, "Progressing")
        live = Live((told,), (happened,) if happened else ())
    return obstacle, GREEN, live


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{text.cause}: {text.source}")
def test_a_text_means_its_cause(text: Text) -> None:
    cause = find_cause(*tell(text))
    assert cause.code == text.cause
    assert cause.detail == text.message
    if text.kind:
        assert cause.resource == f"{text.kind}/app"


# --- What has no message ---

SUCCEEDED = replace(GREEN, sync="OutOfSync")
BROKEN_SET = "error generating params: tenants/c1/app.json: invalid Unicode character escape code"
CIRCUMSTANTIAL = [
    ("set_frozen", "no_application", None, Live(set_errors=(BROKEN_SET,)), BROKEN_SET),
    ("sync_window", "out_of_sync", SUCCEEDED, Live(may_sync=False, seen_for=LONG), ""),
    ("never_synced", "out_of_sync", SUCCEEDED, Live(seen_for=LONG), ""),
    ("controller_idle", "not_compared", GREEN, Live(seen_for=LONG), ""),
    ("controller_idle", "older_content", GREEN, Live(seen_for=LONG), ""),
    ("deletion_blocked", "removing", GREEN, Live((node("Job"),), seen_for=LONG), "still there"),
    # not yet, or for another reason
    ("no_application", "no_application", None, Live(seen_for=LONG), ""),
    ("out_of_sync", "out_of_sync", SUCCEEDED, Live(seen_for=PATIENCE), ""),
    ("out_of_sync", "out_of_sync", replace(GREEN, phase="Failed"), Live(seen_for=LONG), ""),
    ("not_compared", "not_compared", GREEN, Live(seen_for=PATIENCE), ""),
    ("removing", "removing", GREEN, Live((node("Job"),), seen_for=PATIENCE), ""),
    ("removing", "removing", GREEN, Live(seen_for=LONG), ""),
    ("syncing", "syncing", GREEN, Live(may_sync=False, seen_for=LONG), ""),
]


@pytest.mark.parametrize(("code", "generic", "app", "live", "words"), CIRCUMSTANTIAL)
def test_what_has_no_message(
    code: str, generic: str, app: Application | None, live: Live, words: str
) -> None:
    cause = find_cause(Obstacle(generic), app, live)
    assert cause.code == code
    assert words in cause.detail


def test_the_object_that_names_a_finalizer_is_the_one_that_blocks() -> None:
    words = "Some content in the namespace has finalizers remaining: example.com/x in 1 resource"
    live = Live((node("Job"), node("Namespace", words)), seen_for=LONG)
    cause = find_cause(Obstacle("removing"), GREEN, live)
    assert cause == Obstacle("deletion_blocked", words, "Namespace/app")


# --- Which clue counts ---

PULL = 'Back-off pulling image "app:9"'


def test_the_pod_is_believed_before_what_made_it() -> None:
    nodes = (node("Deployment", "exceeded its progress deadline"), node("ReplicaSet", QUOTA))
    live = Live((*nodes, node("Pod", PULL)))
    assert find_cause(Obstacle("unhealthy"), GREEN, live) == Obstacle(
        "image_not_pulled", PULL, "Pod/app"
    )


def test_a_message_that_nobody_knows_is_passed_on_from_closest_to_what_runs() -> None:
    nodes = (
        node("Deployment", "exceeded its progress deadline"),
        node("Pod", 'secret "x" is gone'),
    )
    assert find_cause(Obstacle("unhealthy"), GREEN, Live(nodes)) == Obstacle(
        "unhealthy", 'secret "x" is gone', "Pod/app"
    )


def test_events_of_what_is_healthy_or_gone_are_of_the_past() -> None:
    nodes = (node("Pod", health="Healthy", uid="2"), node("Deployment", uid="4"))
    events = tuple(warning("Pod", "BackOff", PULL, uid) for uid in ("1", "2"))
    cause = find_cause(Obstacle("starting"), GREEN, Live((*nodes, node("Pod", uid="3")), events))
    assert cause.code == "starting"


def test_events_that_are_no_warning_explain_nothing() -> None:
    usual = replace(warning("Pod", "Pulling", 'Pulling image "app:9" ErrImage'), is_warning=False)
    assert find_cause(Obstacle("starting"), GREEN, Live(events=(usual,))) == Obstacle("starting")


def test_an_object_that_was_not_applied_names_itself() -> None:
    failed = Applied(
        "Role", "admin", "customer", "SyncFailed", "resource :Role is not permitted in project x"
    )
    app = replace(GREEN, phase="Failed", applied=(failed,))
    assert find_cause(Obstacle("sync_failed", failed.message), app, Live()).resource == "Role/admin"
    # of an operation that is over, and about other content
    assert find_cause(Obstacle("out_of_sync"), app, Live()) == Obstacle("out_of_sync")


def test_a_shared_object_is_named_by_the_warning_alone() -> None:
    shared = ("SharedResourceWarning", "Namespace/c1 is part of applications argocd/c1 and c2")
    app = replace(GREEN, conditions=(shared,))
    assert find_cause(Obstacle("out_of_sync"), app, Live()).resource == "Namespace/c1"


def test_an_ingress_that_waits_is_no_cause_of_what_has_failed() -> None:
    live = Live(
        (node("Ingress", health="Progressing"), node("Deployment", "exceeded its deadline"))
    )
    assert find_cause(Obstacle("unhealthy"), GREEN, live).resource == "Deployment/app"


def test_an_opened_secret_and_a_claim_that_is_bound_are_no_cause() -> None:
    app = replace(GREEN, resources=(Resource("Ingress", "app", "Healthy"),))
    live = Live(
        (node("SealedSecret", health="Progressing"), node("PersistentVolumeClaim", "", "Healthy"))
    )
    assert find_cause(Obstacle("starting"), app, live) == Obstacle("starting")


# --- The whole table ---


def test_every_rule_is_shown_by_a_text() -> None:
    shown = {(text.cause, text.generic) for text in TEXTS}
    shown |= {(code, generic) for code, generic, *_ in CIRCUMSTANTIAL}
    for each in (*RULES, *CIRCUMSTANCES):
        assert {(each.cause, generic) for generic in each.explains} & shown, each.cause
    assert {each.cause for each in (*RULES, *CIRCUMSTANCES)} | WORTH_ASKING <= REASONS.keys()


words = st.text() | st.sampled_from([text.message for text in TEXTS]).map(lambda told: told * 40)
kinds = st.sampled_from(["", "Pod", "Certificate", "PersistentVolumeClaim", "Namespace", "Ünïcode"])
nodes = st.builds(node, kinds, words, st.sampled_from(["", "Degraded", "Progressing"]))
events = st.builds(warning, kinds, words, words)
lives = st.builds(
    Live,
    st.lists(nodes, max_size=3).map(tuple),
    st.lists(events, max_size=3).map(tuple),
    st.booleans(),
    st.lists(words, max_size=1).map(tuple),
    st.sampled_from([timedelta(), LONG]),
)


@given(st.sampled_from(sorted(REASONS)), words, lives, st.sampled_from([None, GREEN]))
def test_odd_messages_never_raise(
    code: str, detail: str, live: Live, app: Application | None
) -> None:
    cause = find_cause(Obstacle(code, detail), app, live)
    assert cause.code in REASONS
    assert cause.code == code or code in WORTH_ASKING
