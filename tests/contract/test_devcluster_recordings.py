"""The stand-in answers as the recorded Argo CD did: status, content type, shape, error bodies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract import devcluster_kit
from tests.contract.devcluster_kit import (
    BASE,
    KUSTOMIZATION,
    Keys,
    World,
    eventually,
    folder,
    is_ready,
    make_world,
)

keys, world = devcluster_kit.keys, devcluster_kit.world  # fixtures

RECORDINGS = Path(__file__).parent.parent / "data" / "argocd"
OPAQUE = {"labels", "annotations", "fieldsV1", "targetLabels"}  # any keys, always text or fields
# what our Applications have beside the recorded ones
MORE = {"info"}


def recording(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text())
    return found


def shape(value: object) -> object:
    """Keys and types; the elements of a list together."""
    if isinstance(value, Mapping):
        return {
            key: "opaque" if key in OPAQUE else shape(member)
            for key, member in value.items()
            if key not in MORE
        }
    if isinstance(value, list):
        return _together([shape(item) for item in value])
    return type(value).__name__


def _together(shapes: list[object]) -> list[object]:
    merged: dict[str, object] = {}
    for one in shapes:
        if not isinstance(one, Mapping):
            return [one]
        for key, member in one.items():
            known = merged.get(key)
            both = isinstance(known, dict) and isinstance(member, dict)
            merged[key] = {**known, **member} if both else member  # type: ignore[dict-item]
    return [merged] if merged else []


def ask(
    world: World, name: str, *, account: str | None, names: Mapping[str, str]
) -> requests.Response:
    """The recorded request, with our names."""
    request = recording(name)["request"]
    method, _, path = request.partition(" ")
    for theirs, ours in names.items():
        path = path.replace(theirs, ours)
    path = re.sub(r"^:\d+", "", path)
    headers = {"Content-Type": "application/json"} if method in {"DELETE", "POST"} else {}
    if name in {"delete-without-content-type", "sync-wrong-content-type-415"}:
        headers = {}
    return world.request(method, path, account=account, headers=headers)


def expect_same(answer: requests.Response, name: str, names: Mapping[str, str]) -> None:
    """Status, content type and the very body, but for names and times."""
    found = recording(name)
    text = json.dumps(found["body"])
    for theirs, ours in names.items():
        text = text.replace(theirs, ours)
    assert answer.status_code == found["status"]
    assert answer.headers.get("Content-Type") == found["content_type"]
    body = answer.json() if found["content_type"] == "application/json" else answer.text
    assert _timeless(body) == _timeless(json.loads(text))


def _timeless(body: object) -> object:
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", json.dumps(body))
    return json.loads(re.sub(r'"resourceVersion": "\d+"', '"resourceVersion": "N"', text))


NAMES = {"cust-a0002": "customer-alpha", "cust-w0008": "customer-gone"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[World]:
    """One ready tenant, for tests that only read."""
    world = make_world(tmp_path_factory.mktemp("ready"), keys)
    yield with_alpha(world)
    world.stop()


@pytest.fixture
def own(world: World) -> World:
    """One ready tenant of the test's own."""
    return with_alpha(world)


def with_alpha(world: World) -> World:
    world.start()
    world.push_tenant("alpha")
    world.await_ready("alpha")
    return world


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("get-missing-with-project-404", "tenantry"),
        ("get-missing-without-project-403", "tenantry"),
        ("get-missing-as-nobody", "nobody"),
        ("get-existing-as-nobody-403", "nobody"),
        ("get-existing-wrong-project", "tenantry"),
        ("get-two-projects-400", "tenantry"),
        ("get-bad-name", "tenantry"),
        ("list-as-nobody", "nobody"),
        ("list-other-project-empty", "tenantry"),
        ("list-by-missing-name", "tenantry"),
        ("list-by-name", "tenantry"),
        ("list-fields-parent-and-child", "tenantry"),
        ("list-no-token-401", None),
        ("delete-missing-404", "tenantry"),
        ("delete-missing-without-project", "tenantry"),
        ("delete-without-content-type", "tenantry"),
        ("delete-again-after-404", "tenantry"),
        ("delete-as-reader-403", "reader"),
        ("sync-wrong-content-type-415", "tenantry"),
        ("resource-tree-missing-app", "tenantry"),
        ("projects-forbidden", "tenantry"),
        ("syncwindows", "tenantry"),
        ("unknown-path", "tenantry"),
        ("userinfo-tenantry", "tenantry"),
        ("userinfo-no-token", None),
        ("can-i-get", "tenantry"),
        ("can-i-delete", "tenantry"),
        ("can-i-delete-reader", "reader"),
        ("version", None),
        ("healthz", None),
    ],
)
def test_answer_is_the_recorded_one(ready: World, name: str, account: str | None) -> None:
    expect_same(ask(ready, name, account=account, names=NAMES), name, NAMES)


@pytest.mark.parametrize("name", ["customer-alpha", "customer-nosuch"])
def test_another_project_tells_nothing(ready: World, name: str) -> None:
    answer = ready.get(f"/api/v1/applications/{name}?project=default")
    expect_same(answer, "get-existing-wrong-project", {})
    assert ready.get("/api/v1/account/can-i/applications/get/default/*").json() == {"value": "no"}


def test_sync_without_the_right_is_refused_as_recorded(ready: World) -> None:
    answer = ask(ready, "sync-not-allowed-403", account="reader", names=NAMES)
    expect_same(answer, "sync-not-allowed-403", {**NAMES, "sub: tenantry": "sub: reader"})


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("list-bad-token-401", "aWFtbm90anNvbg.b.c"),
        ("list-tampered-signature-401", "eyJhbGciOiJIUzI1NiJ9.e30.bad"),
        ("stream-bad-token", "!.b.c"),
        ("userinfo-bad-token", "!.b.c"),
    ],
)
def test_unknown_token_is_refused_as_recorded(ready: World, name: str, token: str) -> None:
    path = recording(name)["request"].partition(" ")[2]
    answer = ready.get(path, account=None, headers={"Authorization": f"Bearer {token}"})
    expect_same(answer, name, {})


def test_revoked_token_is_refused_as_recorded(own: World) -> None:
    assert own.stand_in is not None
    own.stand_in.accounts.revoke("tenantry")
    answer = own.get("/api/v1/applications")
    expect_same(answer, "list-revoked-token-401", {"with id tmp": "with id tenantry"})


def test_expired_token_is_refused_as_recorded(world: World) -> None:
    token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjF9.c2lnbmF0dXJl"
    world.start(tokens={"tenantry": token})
    answer = world.get(
        "/api/v1/applications", account=None, headers={"Authorization": f"Bearer {token}"}
    )
    expect_same(answer, "list-expired-token-401", {})


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("hook-appset-ok", {}),
        ("hook-appset-other-repo", {"url": "http://git.example/other.git"}),
        ("hook-appset-ping-event", {"X_GitHub_Event": "ping"}),
        ("hook-appset-bad-signature", {"X_Hub_Signature_256": "sha256=00"}),
        ("hook-appset-no-signature", {"X_Hub_Signature_256": ""}),
    ],
)
def test_webhook_answers_as_recorded(ready: World, name: str, headers: dict[str, str]) -> None:
    expect_same(ready.nudge(**headers), name, {})


def test_webhook_without_event_answers_as_recorded(ready: World) -> None:
    answer = ready.request("POST", "/api/webhook", account=None, data=b"{}")
    expect_same(answer, "hook-appset-no-event-header", {})


def test_ready_application_has_the_recorded_shape(ready: World) -> None:
    theirs, ours = recording("get-healthy")["body"], ready.application("alpha")
    assert shape(ours) == shape(theirs)
    assert {one["kind"] for one in theirs["status"]["resources"]} | {"Ingress"} == {
        one["kind"] for one in ours["status"]["resources"]
    }


def test_get_without_project_and_with_fields_is_the_whole(ready: World) -> None:
    whole = ready.application("alpha")
    assert ready.get("/api/v1/applications/customer-alpha").json() == whole
    narrowed = "/api/v1/applications/customer-alpha?project=tenants&fields=metadata.name"
    assert ready.get(narrowed).json() == whole  # as in get-healthy-fields-ignored


@pytest.mark.parametrize("account", ["tenantry", "reader"])
@pytest.mark.parametrize("kind", ["normal", "hard"])
def test_refresh_has_the_recorded_shape(ready: World, kind: str, account: str) -> None:
    path = f"/api/v1/applications/customer-alpha?project=tenants&refresh={kind}"
    ours, theirs = ready.get(path, account=account).json(), recording(f"refresh-{kind}")["body"]
    assert shape(ours) == shape(theirs)
    mark = "argocd.argoproj.io/hydrate"
    assert ours["metadata"]["annotations"][mark] == theirs["metadata"]["annotations"][mark]


def test_fresh_application_has_the_recorded_shape(world: World) -> None:
    world.start(step_seconds=60.0)
    world.push_tenant("alpha")
    ours = world.await_application("alpha", lambda one: True)
    assert shape(ours) == shape(recording("get-fresh")["body"])
    assert ours["status"] == recording("get-fresh")["body"]["status"]


def test_list_has_the_recorded_shape(ready: World) -> None:
    theirs = recording("list-full")["body"]
    theirs["items"] = theirs["items"][:1]  # of a ready one
    assert shape(ready.get("/api/v1/applications?project=tenants").json()) == shape(theirs)


@pytest.mark.parametrize("name", ["list-fields", "list-fields-unknown-path", "list-selector"])
def test_list_with_fields_has_the_recorded_shape(ready: World, name: str) -> None:
    theirs = recording(name)["body"]
    theirs["items"] = theirs["items"][:1]
    ours = ask(ready, name, account="tenantry", names={}).json()
    assert shape(ours) == shape(theirs)
    assert list(ours) == list(theirs)


def test_selector_leaves_out_what_does_not_match(ready: World) -> None:
    answer = ready.get("/api/v1/applications?selector=tenantry.dev/plan%3Denterprise").json()
    assert answer["items"] is None


def test_resource_tree_has_the_recorded_shape(ready: World) -> None:
    ours = ready.get("/api/v1/applications/customer-alpha/resource-tree?project=tenants").json()
    assert shape(ours) == shape(recording("resource-tree")["body"])


def test_application_set_has_the_recorded_status(ready: World) -> None:
    ours = ready.get("/api/v1/applicationsets/tenants").json()
    theirs = recording("applicationset")["body"]
    assert shape(ours["status"]) == shape(theirs["status"])
    known = [{**one, "lastTransitionTime": ""} for one in theirs["status"]["conditions"]]
    assert known == [{**one, "lastTransitionTime": ""} for one in ours["status"]["conditions"]]


PLAIN = "apiVersion: v1\nkind: Secret\nmetadata: {name: oops}\nstringData: {a: b}\n"


def with_resource(tenant: str, name: str) -> str:
    return KUSTOMIZATION.format(tenant=tenant).replace(
        "  - namespace.yaml\n", f"  - namespace.yaml\n  - {name}\n"
    )


def test_plain_secret_fails_as_recorded(world: World) -> None:
    world.start()
    kustomization = with_resource("alpha", "plain.yaml")
    world.push_tenant("alpha", kustomization=kustomization, plain=PLAIN)
    retrying = world.await_application("alpha", lambda one: "operation" in one and retries(one))
    assert shape(retrying) == shape(recording("get-b-plain-6s")["body"])
    failed = world.await_application(
        "alpha", lambda one: phase(one) == "Failed" and one["status"].get("conditions")
    )
    theirs = recording("get-b-plain-6min")["body"]
    assert shape(failed) == shape(theirs)
    state = theirs["status"]["operationState"]
    assert failed["status"]["operationState"]["message"] == state["message"]
    revision = failed["status"]["sync"]["revision"]
    condition = theirs["status"]["conditions"][0]["message"]
    expected = condition.replace(theirs["status"]["sync"]["revision"], revision)
    assert failed["status"]["conditions"][0]["message"] == expected
    assert (
        statuses(failed, "Secret") == statuses(theirs, "Secret") == [("Unknown", "Missing", None)]
    )


def test_broken_manifests_compare_as_recorded(world: World) -> None:
    world.start()
    world.push_tenant("alpha", kustomization="resources: [missing.yaml]\n")
    ours = world.await_application("alpha", lambda one: one["status"].get("conditions"))
    theirs = recording("get-b-broken-6min")["body"]
    assert shape(ours) == shape(theirs)
    assert ours["status"]["sync"]["revision"] == "refs/heads/main"
    start = theirs["status"]["conditions"][0]["message"].partition("`kustomize build")[0]
    assert ours["status"]["conditions"][0]["message"].startswith(f"{start}`kustomize build")
    assert "missing.yaml" in ours["status"]["conditions"][0]["message"]


def test_seal_of_another_name_degrades_as_recorded(world: World) -> None:
    world.start()
    sealed = world.seal(
        "alpha", {"DB_PASSWORD": "a", "SIGNING_KEY": "b"}, namespace="customer-beta"
    )
    world.push_tenant("alpha", sealed_secret=sealed)
    ours = world.await_application("alpha", lambda one: health(one) == "Degraded")
    theirs = recording("get-b-badseal-40s")["body"]
    settled = world.await_application("alpha", lambda one: "history" in one["status"])
    assert shape(settled["status"]["sync"]) == shape(theirs["status"]["sync"])
    assert statuses(ours, "SealedSecret") == statuses(theirs, "SealedSecret")
    tree = world.get("/api/v1/applications/customer-alpha/resource-tree").json()["nodes"]
    node = next(one for one in tree if one["kind"] == "SealedSecret")
    assert node["health"] == {
        "status": "Degraded",
        "message": "no key could decrypt secret (DB_PASSWORD, SIGNING_KEY)",
    }


def test_quota_exceeded_waits_and_degrades_as_recorded(world: World) -> None:
    world.repository.push({"platform/v1/base/all.yaml": BASE.replace("cpu: 100m", "cpu: 3000m")})
    world.start(time_scale=0.002)  # a progress deadline of 1.2 s
    world.push_tenant("alpha")
    theirs = statuses(recording("get-b-quota-40s")["body"], "Deployment")
    world.await_application("alpha", lambda one: statuses(one, "Deployment") == theirs)
    assert world.visit("cust-alpha.localhost").status_code == 503
    degraded = world.await_application("alpha", lambda one: health(one) == "Degraded")
    late = recording("get-b-quota-15min")["body"]
    assert statuses(degraded, "Deployment") == statuses(late, "Deployment")
    assert shape(degraded) == shape(late)


def test_invalid_service_is_refused_in_the_recorded_words(world: World) -> None:
    world.start(time_scale=1.0)
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: Bad_Name}\n"
        "spec: {ports: [{port: 99999, targetPort: 99999}]}\n"
    )
    kustomization = with_resource("alpha", "service.yaml")
    world.push_tenant("alpha", kustomization=kustomization, service=service)
    ours = world.await_application("alpha", lambda one: retries(one) == 1)
    theirs = recording("get-b-invalid-6min")["body"]
    message, recorded = (one["status"]["operationState"]["message"] for one in (ours, theirs))
    assert message.partition(" Retrying")[0] == recorded.partition(" Retrying")[0]


def test_zero_replicas_is_healthy_as_recorded_and_answers_nothing(world: World) -> None:
    world.repository.push({"platform/v1/base/all.yaml": BASE.replace("replicas: 1", "replicas: 0")})
    world.start()
    world.push_tenant("alpha")
    ours = world.await_ready("alpha")
    assert statuses(ours, "Deployment") == statuses(
        recording("get-b-zero-40s")["body"], "Deployment"
    )
    assert world.visit("cust-alpha.localhost").status_code == 503


def test_vanished_folder_leaves_the_recorded_application(own: World) -> None:
    own.repository.push({}, remove=folder("alpha"))
    own.nudge()
    own.get("/api/v1/applications/customer-alpha?refresh=normal")
    ours, theirs = own.application("alpha"), recording("get-directory-removed")["body"]
    assert shape(ours["status"]) == shape(theirs["status"])
    assert (health(ours), ours["status"]["sync"]["status"]) == ("Healthy", "Unknown")
    end = ours["status"]["conditions"][0]["message"].partition("desc = ")[2]
    assert end == f"{folder('alpha')}: app path does not exist"


def test_deletion_has_the_recorded_shape(own: World) -> None:
    assert own.stand_in is not None
    own.stand_in.controller._step = 60.0  # so that it is seen
    answer = own.request(
        "DELETE",
        "/api/v1/applications/customer-alpha?project=tenants",
        headers={"Content-Type": "application/json"},
    )
    expect_same(answer, "delete-ok", {})
    ours = own.application("alpha")
    assert shape(ours) == shape(recording("get-deletion-stuck")["body"])
    again = own.request(
        "DELETE",
        "/api/v1/applications/customer-alpha?project=tenants",
        headers={"Content-Type": "application/json"},
    )
    expect_same(again, "delete-again-while-deleting", {})


# Timelines

Point = tuple[str | None, str, str | None, bool, int]


def recorded_points(name: str, tenant: str) -> list[Point]:
    found = json.loads((RECORDINGS / f"{name}.json").read_text())[tenant]
    return _distinct(
        [
            (one["h"], one["s"], one["ph"], one["fin"] is not None, one["retry"] or 0)
            for one in found
        ]
    )


def seen_points(world: World, tenant: str, **files: str) -> list[Point]:
    """Every published state of a new tenant until nothing more is to come."""
    assert world.stand_in is not None
    events = world.stand_in.registry.subscribe()
    world.push_tenant(tenant, **files)
    points: list[Point] = []

    def is_over() -> bool:
        while not events.empty():
            points.append(_point(events.get_nowait().document))
        one = world.application(tenant)
        last = bool(one) and (is_ready(one) or health(one) == "Degraded" or retries(one) >= 3)
        return (last or bool(one and one["status"].get("conditions"))) and events.empty()

    eventually(is_over)
    return _distinct(points)


def _point(document: Mapping[str, Any]) -> Point:
    status = document["status"]
    operation = status.get("operationState", {})
    return (
        status["health"].get("status"),
        status["sync"]["status"],
        operation.get("phase"),
        "finishedAt" in operation,
        operation.get("retryCount", 0),
    )


def _distinct(points: list[Point]) -> list[Point]:
    return [one for number, one in enumerate(points) if number == 0 or points[number - 1] != one]


def test_new_tenant_takes_the_recorded_way(world: World) -> None:
    world.start()
    theirs = recorded_points("timelines-webhook-tenants", "w0000")
    first = theirs.index(("Healthy", "Synced", "Succeeded", True, 0))
    assert seen_points(world, "alpha") == theirs[: first + 1]


def test_failing_sync_takes_the_recorded_way(world: World) -> None:
    world.start(time_scale=0.01)
    kustomization = with_resource("alpha", "plain.yaml")
    seen = seen_points(world, "alpha", kustomization=kustomization, plain=PLAIN)
    theirs = recorded_points("timelines-failure-states", "b-plain")
    assert seen[:8] == theirs[:8]


def test_broken_tenant_takes_the_recorded_way(world: World) -> None:
    world.start()
    seen = seen_points(world, "alpha", kustomization="resources: [missing.yaml]\n")
    assert seen == recorded_points("timelines-failure-states", "b-broken")


def health(one: Mapping[str, Any]) -> str | None:
    found: str | None = one["status"]["health"].get("status")
    return found


def phase(one: Mapping[str, Any]) -> str | None:
    found: str | None = one["status"].get("operationState", {}).get("phase")
    return found


def retries(one: Mapping[str, Any]) -> int:
    return int(one["status"].get("operationState", {}).get("retryCount", 0))


def statuses(one: Mapping[str, Any], kind: str) -> list[tuple[str, str | None, str | None]]:
    return [
        (
            found["status"],
            found.get("health", {}).get("status"),
            found.get("health", {}).get("message"),
        )
        for found in one["status"].get("resources", [])
        if found["kind"] == kind
    ]
