"""The stand-in's own promises: sets, syncs, pods, licenses, deletion."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract import devcluster_kit
from tests.contract.devcluster_kit import (
    ARGOCD,
    BASE,
    CANARY,
    INGRESS,
    KUSTOMIZATION,
    NAMESPACE,
    SETS,
    World,
    eventually,
    folder,
    host,
    make_keys,
    tenant_json,
)

keys, world = devcluster_kit.keys, devcluster_kit.world  # fixtures

MOUNTED = (
    "      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]\n      containers:"
)
CLAIM = (
    "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\n"
    "spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}\n"
)
RESTART = (
    "patches:\n  - target: {kind: Deployment}\n    patch: |\n"
    "      - {op: add, path: /spec/template/metadata/annotations, value: {license: two}}\n"
)
PROTECTED = "  annotations: {argocd.argoproj.io/sync-options: 'Prune=false,Delete=false'}\n"


def license_of(world: World, tenant: str) -> dict[str, Any]:
    answer = world.visit(host(tenant), Accept="application/json")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def delete(world: World, tenant: str, query: str = "") -> None:
    answer = world.request(
        "DELETE",
        f"/api/v1/applications/customer-{tenant}?project=tenants{query}",
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200


def is_replaced(one: dict[str, Any], commit: str) -> bool:
    """Whether a sync of the commit is over, Degraded, and the pods are new ones."""
    status = one["status"]
    health = {found["kind"]: found.get("health", {}) for found in status["resources"]}
    return bool(
        status["operationState"].get("syncResult", {}).get("revision") == commit
        and status["sync"]["status"] == "Synced"
        and status["health"]["status"] == "Degraded"
        and health["Deployment"] == {"status": "Healthy"}
    )


def message(one: dict[str, Any]) -> str:
    found: str = one["status"].get("operationState", {}).get("message", "")
    return found


# Sets


def test_application_carries_what_the_template_says(world: World) -> None:
    world.start()
    company = 'Zoë & "Söhne" <b>{{7*7}}</b> 😀'
    world.push_tenant("alpha", tenant=tenant_json("alpha", company=company))
    one = world.await_ready("alpha")
    assert one["metadata"]["labels"]["tenantry.dev/customer-id"] == "cust-alpha"
    assert one["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    assert one["spec"]["info"] == [{"name": "Company", "value": company}]
    assert one["spec"]["source"]["path"] == folder("alpha")


@pytest.mark.parametrize("bad", ['{"name": "customer-beta"', '{"company": "\\ud83d\\ude00"}', "{}"])
def test_malformed_file_freezes_new_applications_until_it_is_repaired(
    world: World,
    bad: str,
) -> None:
    world.start(poll_seconds=0.3)
    world.push_tenant("alpha")
    world.await_ready("alpha")
    world.repository.push({f"{folder('beta')}/tenant.json": bad})
    world.push_tenant("gamma")
    failed = eventually(lambda: _error_of_the_set(world))
    assert bad == "{}" or f"{folder('beta')}/tenant.json" in failed["message"]
    assert not world.application("gamma")
    commit = world.push_tenant(
        "alpha", kustomization=KUSTOMIZATION.format(tenant="alpha") + "# x\n"
    )
    world.await_ready("alpha", commit)  # those there are go on
    world.push_tenant("beta")
    world.await_ready("beta")
    world.await_ready("gamma")
    assert not _error_of_the_set(world)


def _error_of_the_set(world: World) -> dict[str, str]:
    conditions = world.get("/api/v1/applicationsets/tenants").json()["status"]["conditions"]
    return next((one for one in conditions if _is_error(one)), {})


def _is_error(condition: dict[str, str]) -> bool:
    return (condition["type"], condition["status"]) == ("ErrorOccurred", "True")


def test_nudge_does_not_help_a_set_in_error(world: World) -> None:
    world.start()
    world.repository.push({f"{folder('beta')}/tenant.json": "{"})
    world.nudge()
    eventually(lambda: _error_of_the_set(world))
    world.push_tenant("beta")
    world.settle()
    assert _error_of_the_set(world)
    assert not world.application("beta")


@pytest.mark.parametrize(
    "nudge", [{"ref": "refs/heads/other"}, {"url": "http://git.example/acme/other.git"}]
)
def test_nudge_of_another_branch_or_repository_wakes_nothing(
    world: World,
    nudge: dict[str, str],
) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    world.repository.push(world.files("beta"))
    assert world.nudge(**nudge).status_code == 200
    world.settle()
    assert not world.application("beta")
    world.nudge()
    world.await_ready("beta")


def test_poll_finds_what_no_nudge_told(world: World) -> None:
    world.start(poll_seconds=0.2)
    world.repository.push(world.files("alpha"))
    world.await_ready("alpha")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"{{ .name }}"', '"{{ .name | upper }}"', "only references and index"),
        ("applicationsSync: create-update", "applicationsSync: sync", "create-update"),
        ("goTemplate: true", "goTemplate: false", "goTemplate"),
        ("  template:\n", "  templatePatch: x\n  template:\n", "templatePatch"),
        ("tenants/*/*/tenant.json", "tenants/**/tenant.json", "**"),
    ],
)
def test_set_that_is_not_understood_is_refused_loudly(
    world: World,
    old: str,
    new: str,
    named: str,
) -> None:
    assert old in SETS
    world.repository.push({"argocd/applicationsets.yaml": SETS.replace(old, new, 1)})
    world.start()
    page = eventually(lambda: _page_with_problem(world))
    assert named in page
    world.push_tenant("alpha")
    assert not world.application("alpha")
    world.repository.push(ARGOCD)
    world.nudge()
    world.await_ready("alpha")


def _page_with_problem(world: World) -> str:
    page = world.get("/").text
    return page if "ApplicationSets:" in page else ""


def test_repository_behind_a_url_is_mirrored(world: World) -> None:
    with served(world.repository.path) as url:
        world.start(repository=url, poll_seconds=0.3)
        for tenant in ("alpha", "beta"):
            world.push_tenant(tenant)
            update_server_info(world.repository.path)
            world.await_ready(tenant)


@contextmanager
def served(repository: Path) -> Iterator[str]:
    """The URL of a repository that a plain web server offers."""
    update_server_info(repository)
    handler = partial(_Quiet, directory=str(repository.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{repository.name}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


def update_server_info(repository: Path) -> None:
    subprocess.run(["git", "update-server-info"], cwd=repository, check=True)


def test_index_reads_items_of_lists(world: World) -> None:
    labels = "        tenantry.dev/shard: '{{ index .path.segments 1 }}'\n"
    sets = SETS.replace("      annotations:", f"{labels}      annotations:", 1)
    world.repository.push({"argocd/applicationsets.yaml": sets})
    world.start()
    world.push_tenant("alpha")
    one = world.await_ready("alpha")
    assert one["metadata"]["labels"]["tenantry.dev/shard"] == folder("alpha").split("/")[1]


def test_label_that_is_none_keeps_only_its_own_application_away(world: World) -> None:
    world.start()
    world.repository.push(world.files("alpha", tenant=tenant_json("alpha", plan="no label!")))
    world.push_tenant("beta")
    world.await_ready("beta")
    assert "metadata.labels" in eventually(lambda: _error_of_the_set(world))["message"]
    assert not world.application("alpha")


# Comparison


def test_foreign_commit_moves_nothing_until_a_refresh_and_builds_nothing(world: World) -> None:
    stand_in = world.start()
    first = world.push_tenant("alpha")
    world.await_ready("alpha", first)
    second = world.push_tenant("beta")
    world.await_ready("beta", second)
    assert world.application("alpha")["status"]["sync"]["revision"] == first
    built = stand_in.manifests.builds
    refreshed = world.get("/api/v1/applications/customer-alpha?project=tenants&refresh=normal")
    assert refreshed.json()["status"]["sync"]["revision"] == second
    assert refreshed.json()["status"]["operationState"]["syncResult"]["revision"] == first
    assert stand_in.manifests.builds == built


def test_platform_change_rebuilds(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    commit = world.repository.push(
        {"platform/v1/base/all.yaml": BASE.replace("app:1.0.0", "app:1.0.1")}
    )
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    one = world.await_ready("alpha", commit)
    changed = one["status"]["operationState"]["syncResult"]["resources"]
    assert [found["name"] for found in changed] == ["app"]  # ApplyOutOfSyncOnly
    assert changed[0]["images"] == ["registry.example.com/app:1.0.1"]


def test_repaired_tenant_recovers_at_its_next_retry(world: World) -> None:
    world.start(time_scale=0.02)  # retries after 0.2, 0.4, 0.8 … s
    world.push_tenant(
        "alpha",
        kustomization=KUSTOMIZATION.format(tenant="alpha") + "secretGenerator: [{name: oops}]\n",
    )
    world.await_application("alpha", lambda one: "Retrying attempt" in message(one))
    commit = world.push_tenant("alpha")
    one = world.await_ready("alpha", commit)
    assert one["status"]["operationState"]["retryCount"] >= 1


def test_project_refuses_foreign_namespace(world: World) -> None:
    world.start()
    foreign = NAMESPACE.format(tenant="alpha").replace("customer-alpha", "kube-system")
    kustomization = KUSTOMIZATION.format(tenant="alpha").replace("namespace: customer-alpha\n", "")
    world.push_tenant("alpha", namespace=foreign, kustomization=kustomization)
    one = world.await_application("alpha", message)
    assert "resource :Namespace is not permitted in project tenants" in message(one)


def test_two_tenants_naming_one_namespace_is_a_failure(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    kustomization = KUSTOMIZATION.format(tenant="alpha")
    world.push_tenant(
        "beta", kustomization=kustomization, namespace=NAMESPACE.format(tenant="alpha")
    )
    one = world.await_application("beta", lambda one: "Shared resource found" in message(one))
    kinds = {condition["type"] for condition in one["status"]["conditions"]}
    assert "SharedResourceWarning" in kinds


# Pods and what they read


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("key: DB_PASSWORD", "key: NO_SUCH", "couldn&#39;t find key NO_SUCH in secret app-secrets"),
        ("serviceAccountName: app", "serviceAccountName: other", "serviceaccount &#34;other&#34;"),
        ("key: TENANT", "key: NO_SUCH", "couldn&#39;t find key NO_SUCH in configmap"),
        ("      containers:", MOUNTED, "persistentvolumeclaim &#34;data&#34; not found"),
    ],
)  # fmt: skip
def test_pods_without_what_they_refer_to_do_not_start(
    world: World,
    old: str,
    new: str,
    reason: str,
) -> None:
    world.repository.push({"platform/v1/base/all.yaml": BASE.replace(old, new)})
    world.start()
    world.push_tenant("alpha")
    one = world.await_application(
        "alpha", lambda one: one["status"]["health"].get("status") == "Degraded"
    )
    deployment = next(
        found for found in one["status"]["resources"] if found["kind"] == "Deployment"
    )
    assert deployment["health"]["message"] == 'Deployment "app" exceeded its progress deadline'
    assert "<dt>pods</dt><dd>0 of 1: app 0 of 1</dd>" in world.get("/").text
    page = world.visit(host("alpha"))
    assert page.status_code == 503
    assert reason in page.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("selector: {app.kubernetes.io/name: app}", "selector: {app.kubernetes.io/name: other}"),
        ("targetPort: http", "targetPort: other"),
        ("port: 80,", "port: 81,"),
    ],
)
def test_service_that_leads_nowhere_is_healthy_but_answers_nothing(
    world: World,
    old: str,
    new: str,
) -> None:
    assert old in BASE
    world.repository.push({"platform/v1/base/all.yaml": BASE.replace(old, new, 1)})
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    assert world.visit(host("alpha")).status_code == 503


def test_ingress_to_a_service_that_is_not_there_answers_nothing(world: World) -> None:
    world.start()
    world.push_tenant(
        "alpha", ingress=INGRESS.format(tenant="alpha").replace("name: app, port", "name: no, port")
    )
    world.await_ready("alpha")
    assert world.visit(host("alpha")).status_code == 503


def test_unused_claim_keeps_an_application_progressing(world: World) -> None:
    claim = CLAIM.format(size="1Gi")
    world.repository.push({"platform/v1/base/all.yaml": BASE + claim})
    world.start()
    world.push_tenant("alpha")
    one = world.await_application(
        "alpha", lambda one: "history" in one["status"] and "operation" not in one
    )
    assert one["status"]["health"]["status"] in {"Healthy", "Progressing"}
    world.await_application("alpha", lambda one: one["status"]["health"]["status"] == "Progressing")
    mounted = BASE.replace("      containers:", MOUNTED)
    commit = world.repository.push({"platform/v1/base/all.yaml": mounted + claim})
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    world.await_ready("alpha", commit)


def test_claim_grows_once_a_pod_has_used_it(world: World) -> None:
    small, large = (CLAIM.format(size=size) for size in ("1Gi", "2Gi"))
    world.repository.push({"platform/v1/base/all.yaml": BASE + small})
    world.start()
    world.push_tenant("alpha")
    world.await_application("alpha", lambda one: "history" in one["status"])
    world.repository.push({"platform/v1/base/all.yaml": BASE + large})
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    refused = 'PersistentVolumeClaim "data" is invalid: spec: Forbidden: spec is immutable after'
    world.await_application("alpha", lambda one: refused in message(one))
    mounted = BASE.replace("      containers:", MOUNTED)
    commit = world.repository.push({"platform/v1/base/all.yaml": mounted + large})
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    world.await_ready("alpha", commit)


def test_changed_secret_reaches_the_instance_only_with_new_pods(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    assert license_of(world, "alpha")["plan"] == "starter"
    renewed = world.seal("alpha", world.values("alpha", plan="enterprise"))
    commit = world.push_tenant("alpha", sealed_secret=renewed)
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    world.await_ready("alpha", commit)
    assert license_of(world, "alpha")["plan"] == "starter"
    restarted = KUSTOMIZATION.format(tenant="alpha") + RESTART
    commit = world.push_tenant("alpha", sealed_secret=renewed, kustomization=restarted)
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    world.await_ready("alpha", commit)
    assert license_of(world, "alpha")["plan"] == "enterprise"


def test_failed_unseal_keeps_the_old_secret_and_the_instance(world: World, tmp_path: Path) -> None:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    foreign = make_keys(tmp_path, "foreign").certificate
    sealed = world.seal("alpha", world.values("alpha"), certificate=foreign)
    restarted = KUSTOMIZATION.format(tenant="alpha") + RESTART
    commit = world.push_tenant("alpha", sealed_secret=sealed, kustomization=restarted)
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    world.await_application("alpha", lambda one: is_replaced(one, commit))
    assert license_of(world, "alpha")["plan"] == "starter"


def test_rollout_without_room_for_one_pod_more_leaves_the_old_ones(world: World) -> None:
    tight = BASE.replace("cpu: 100m", "cpu: 1500m")  # of two
    world.repository.push({"platform/v1/base/all.yaml": tight})
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    restarted = KUSTOMIZATION.format(tenant="alpha") + RESTART
    world.push_tenant("alpha", kustomization=restarted)
    world.get("/api/v1/applications/customer-alpha?refresh=normal")
    world.await_application("alpha", lambda one: one["status"]["health"]["status"] == "Degraded")
    assert license_of(world, "alpha")["license"]["valid"] is True


def test_wide_scope_is_not_opened(world: World) -> None:
    world.start()
    manifest = yaml.safe_load(world.seal("alpha", world.values("alpha")))
    manifest["metadata"]["annotations"] = {"sealedsecrets.bitnami.com/namespace-wide": "true"}
    world.push_tenant("alpha", sealed_secret=yaml.safe_dump(manifest))
    one = world.await_application(
        "alpha", lambda one: one["status"]["health"].get("status") == "Degraded"
    )
    assert any("strict scope" in str(found.get("health")) for found in one["status"]["resources"])


def test_wave_waits_for_the_one_before_it(world: World) -> None:
    stand_in = world.start()
    events = stand_in.registry.subscribe()
    world.push_tenant("alpha", **first_wave(world.seal("alpha", world.values("alpha"))))
    world.await_ready("alpha")
    seen = [events.get_nowait().document["status"] for _ in range(events.qsize())]
    waits = "waiting for healthy state of /Namespace/customer-alpha and 1 more resources"
    waiting = [one for one in seen if one.get("operationState", {}).get("message") == waits]
    assert waiting
    there = {found["kind"] for found in waiting[0]["resources"] if found["status"] == "Synced"}
    assert there == {"Namespace", "SealedSecret"}


def test_seal_that_stays_shut_in_an_earlier_wave_fails_the_sync(world: World) -> None:
    world.start(time_scale=1.0)
    sealed = world.seal("alpha", {"A": "a"}, namespace="customer-beta")
    world.push_tenant("alpha", **first_wave(sealed))
    one = world.await_application("alpha", lambda one: "Retrying attempt #1" in message(one))
    assert message(one).startswith(
        "one or more synchronization tasks completed unsuccessfully, "
        "reason: no key could decrypt secret (A). Retrying"
    )
    assert one["status"]["health"]["status"] == "Degraded"
    missing = {
        found["kind"] for found in one["status"]["resources"] if found["status"] == "OutOfSync"
    }
    assert "Deployment" in missing


def test_wave_that_never_gets_healthy_holds_up_the_rest(world: World) -> None:
    claim = (
        "---\napiVersion: v1\nkind: PersistentVolumeClaim\n"
        "metadata: {name: data, annotations: {argocd.argoproj.io/sync-wave: '-1'}}\n"
        "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
    )
    mounted = BASE.replace("      containers:", MOUNTED)
    world.repository.push({"platform/v1/base/all.yaml": mounted + claim})
    world.start()
    sealed = world.seal("alpha", world.values("alpha"))
    world.push_tenant("alpha", **first_wave(sealed))
    waits = "waiting for healthy state of /PersistentVolumeClaim/data"
    one = world.await_application("alpha", lambda one: message(one) == waits)
    for _ in range(3):  # nothing binds the claim before the pod that waits for it
        one = world.get("/api/v1/applications/customer-alpha?refresh=normal").json()
        world.settle()
    assert message(one) == waits
    deployment = next(
        found for found in one["status"]["resources"] if found["kind"] == "Deployment"
    )
    assert deployment["health"] == {"status": "Missing"}


def first_wave(sealed_secret: str) -> dict[str, str]:
    """The SealedSecret and its Namespace in a wave before everything else."""
    files = {"sealed_secret": sealed_secret, "namespace": NAMESPACE.format(tenant="alpha")}
    return {name: _in_wave(text, -1) for name, text in files.items()}


def _in_wave(manifest: str, wave: int) -> str:
    found = yaml.safe_load(manifest)
    found["metadata"]["annotations"] = {"argocd.argoproj.io/sync-wave": str(wave)}
    return yaml.safe_dump(found)


# Licenses


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({}, 200, "valid"),
        ({"exp": 1_000, "nbf": 0, "grace_until": 2_000}, 403, "the license has expired"),
        ({"exp": 1_000, "nbf": 0, "grace_until": 9e9}, 200, "expired, in its grace period"),
        ({"nbf": 9_000_000_000}, 403, "the license is not valid yet"),
        ({"sub": "cust-beta"}, 403, "the license is for another customer"),
        ({"aud": "other"}, 403, "the license is for another product"),
    ],
)
def test_instance_judges_its_license(
    world: World,
    changes: dict[str, Any],
    status: int,
    reason: str,
) -> None:
    world.start(audience="sample")
    sealed = world.seal("alpha", world.values("alpha", **changes))
    world.push_tenant("alpha", sealed_secret=sealed)
    world.await_ready("alpha")
    answer = world.visit(host("alpha"), "/api/anything")
    assert answer.status_code == status
    assert answer.json()["license"]["reason"] == reason


def test_license_of_an_unknown_signer_is_not_valid(world: World, tmp_path: Path) -> None:
    world.start()
    values = world.values("alpha") | {"PUBLIC_KEYS": make_keys(tmp_path, "other").public_pem}
    world.push_tenant("alpha", sealed_secret=world.seal("alpha", values))
    world.await_ready("alpha")
    answer = world.visit(host("alpha"), Accept="application/json")
    assert answer.status_code == 403
    assert answer.json()["license"]["valid"] is False
    assert answer.json()["plan"] is None  # nothing unverified is told


def test_any_key_of_the_bundle_verifies(world: World, tmp_path: Path) -> None:
    world.start()
    values = world.values("alpha")
    values["PUBLIC_KEYS"] = make_keys(tmp_path, "next").public_pem + values["PUBLIC_KEYS"]
    world.push_tenant("alpha", sealed_secret=world.seal("alpha", values))
    world.await_ready("alpha")
    assert license_of(world, "alpha")["license"]["valid"] is True


def test_no_surface_shows_a_secret_value(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.start()
    values = world.values("alpha")
    world.push_tenant("alpha", sealed_secret=world.seal("alpha", values))
    world.await_ready("alpha")
    surfaces = [
        world.visit(host("alpha")).text,
        world.visit(host("alpha"), Accept="application/json").text,
        world.get("/").text,
        world.get("/api/v1/applications").text,
        world.get("/api/v1/applications/customer-alpha").text,
        world.get("/api/v1/applications/customer-alpha/resource-tree").text,
        "".join(capfd.readouterr()),
        repr(world.stand_in.settings if world.stand_in else ""),
        repr(world.stand_in.cluster.namespaces if world.stand_in else ""),
    ]
    for surface in surfaces:
        assert CANARY not in surface
        assert values["LICENSE"] not in surface
        assert "token-of-tenantry" not in surface


# Deletion


def test_deleted_application_is_gone_with_its_objects(world: World) -> None:
    stand_in = world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    world.repository.push({}, remove=folder("alpha"))
    world.nudge()
    delete(world, "alpha")
    eventually(lambda: not world.application("alpha"))
    assert stand_in.cluster.namespaces == {}
    assert world.visit(host("alpha")).status_code == 404


def test_deleted_application_whose_folder_stays_is_made_anew(world: World) -> None:
    world.start()
    world.push_tenant("alpha")
    uid = world.await_ready("alpha")["metadata"]["uid"]
    delete(world, "alpha")
    world.await_application("alpha", lambda one: one["metadata"]["uid"] != uid)
    world.await_ready("alpha")


def test_protected_objects_outlive_their_application(world: World) -> None:
    stand_in = world.start()
    namespace = NAMESPACE.format(tenant="alpha").replace("  labels:", f"{PROTECTED}  labels:")
    world.push_tenant("alpha", namespace=namespace)
    world.await_ready("alpha")
    world.repository.push({}, remove=folder("alpha"))
    world.nudge()
    delete(world, "alpha")
    eventually(lambda: not world.application("alpha"))
    left = stand_in.cluster.namespaces["customer-alpha"].objects
    assert {key.kind for key in left} == {"Namespace"}


def test_deletion_that_wants_confirmation_waits(world: World) -> None:
    stand_in = world.start()
    namespace = NAMESPACE.format(tenant="alpha").replace(
        "  labels:", "  annotations: {argocd.argoproj.io/sync-options: Delete=confirm}\n  labels:"
    )
    world.push_tenant("alpha", namespace=namespace)
    world.await_ready("alpha")
    delete(world, "alpha")
    assert world.application("alpha")["metadata"]["deletionTimestamp"]
    assert len(stand_in.cluster.namespaces["customer-alpha"].objects) > 5


# Sync by request


def test_sync_is_started_by_whom_may(world: World) -> None:
    world.start(step_seconds=0.3)
    world.push_tenant("alpha")
    world.await_ready("alpha")
    headers = {"Content-Type": "application/json"}
    path = "/api/v1/applications/customer-alpha/sync"
    started = world.request("POST", path, headers=headers, data="{}")
    assert started.status_code == 200
    assert started.json()["operation"]["initiatedBy"] == {"username": "tenantry"}
    again = world.request("POST", path, headers=headers, data="{}")
    assert (again.status_code, again.json()["code"]) == (400, 9)
    one = world.await_ready("alpha")
    assert message(one) == "successfully synced (no more tasks)"


# The server


def test_it_stops_cleanly_and_gives_its_threads_back(world: World) -> None:
    before = threading.active_count()
    stand_in = world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    stand_in.stop()
    stand_in.stop()
    eventually(lambda: threading.active_count() <= before)


def test_burst_of_tenants_is_worked_off(world: World) -> None:
    stand_in = world.start()
    tenants = [f"t{number:02d}" for number in range(30)]
    files: dict[str, str] = {}
    for tenant in tenants:
        files |= world.files(tenant)
    began = time.monotonic()
    world.repository.push(files)
    world.nudge()
    for tenant in tenants:
        world.await_ready(tenant)
    assert stand_in.manifests.builds == len(tenants)
    assert time.monotonic() - began < 30
