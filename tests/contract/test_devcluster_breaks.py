"""The stand-in breaks on demand: each case shows in the API as Argo CD would show it, and goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import click.testing
import pytest
import requests

from tenantry.cli.devcluster import dev
from tenantry.devcluster import DevCluster
from tenantry.devcluster.breaks import NoSuchBreak
from tenantry.devcluster.cases import CASES
from tests.contract import devcluster_kit
from tests.contract.devcluster_kit import (
    BASE,
    PROJECT,
    Keys,
    World,
    eventually,
    host,
    is_ready,
    make_world,
)

keys = devcluster_kit.keys  # a fixture
NAME = "customer-alpha"
CHILDREN = """\
    - {group: apps, kind: ReplicaSet}
    - {group: "", kind: Pod}
    - {group: cert-manager.io, kind: Certificate}
"""
CLAIM = """\
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
MOUNTED = "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]\n      containers:"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[World]:
    """One stand-in with two tenants that run."""
    world = make_world(tmp_path_factory.mktemp("breaks"), keys)
    base = BASE.replace("containers:", MOUNTED, 1) + CLAIM
    world.repository.push(
        {
            "argocd/appproject.yaml": PROJECT + CHILDREN,
            "platform/v1/base/all.yaml": base,
            **world.files("beta"),
        }
    )
    world.start(step_seconds=0.01, time_scale=0.0005)
    world.push_tenant("alpha")
    for tenant in ("alpha", "beta"):
        world.await_ready(tenant)
    yield world
    world.stop()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared one, with everything mended and in order afterwards."""
    yield shared
    breaks = stand_in(shared).breaks
    for case, tenant in breaks.all():
        breaks.end(case, tenant)
    shared.await_ready("alpha")


def stand_in(world: World) -> DevCluster:
    assert world.stand_in is not None
    return world.stand_in


@contextmanager
def broken(world: World, case: str, tenant: str | None = NAME) -> Iterator[None]:
    breaks = stand_in(world).breaks
    breaks.start(case, tenant)
    yield
    breaks.end(case, tenant)


def nodes(world: World, kind: str) -> list[dict[str, Any]]:
    tree = world.get(f"/api/v1/applications/{NAME}/resource-tree?project=tenants").json()
    return [one for one in tree["nodes"] if one["kind"] == kind]


def events(world: World, kind: str) -> list[dict[str, Any]]:
    """The events of the objects of a kind in the tree."""
    found = []
    for node in nodes(world, kind):
        query = f"resourceName={node['name']}&resourceUID={node['uid']}"
        path = f"/api/v1/applications/{NAME}/events?project=tenants&{query}"
        found += world.get(path).json()["items"]
    return found


@dataclass(frozen=True)
class Shows:
    """How a case shows: the Application's health, what an object in the tree says, its event."""

    health: str
    kind: str
    status: str
    message: str
    reason: str = ""  # of an event


OBJECTS = {
    "image-not-pulled": Shows(
        "Degraded", "Pod", "Degraded", 'Back-off pulling image "registry.example.com/app:1.0.0"',
        "BackOff",
    ),
    "crash-loop": Shows(
        "Degraded", "Pod", "Degraded", "back-off 5m0s restarting failed container=app pod=app-",
        "BackOff",
    ),
    "volume-pending": Shows(
        "Degraded", "Pod", "Progressing", "unbound immediate PersistentVolumeClaims",
        "FailedScheduling",
    ),
    "pods-refused": Shows(
        "Degraded", "ReplicaSet", "Degraded", 'violates PodSecurity "restricted:latest"',
        "FailedCreate",
    ),
    "quota": Shows(
        "Degraded", "ReplicaSet", "Degraded", "is forbidden: exceeded quota: tenant",
        "FailedCreate",
    ),
    "ingress-without-address": Shows("Progressing", "Ingress", "Progressing", ""),
    "certificate-pending": Shows(
        "Healthy", "Certificate", "Progressing", "Issuing certificate", "Issuing"
    ),
    "certificate-refused": Shows(
        "Healthy", "Certificate", "Degraded", 'order is in "invalid" state', "Failed"
    ),
    "secret-shut": Shows("Degraded", "SealedSecret", "Degraded", "no key could decrypt secret"),
}  # fmt: skip
SYNCS = {
    "immutable-field": 'Deployment.apps "app" is invalid: spec.selector: Invalid value: '
    '{"matchLabels":{"app.kubernetes.io/name":"app"}}: field is immutable',
    "volume-cannot-grow": 'persistentvolumeclaims "data" is forbidden: only dynamically '
    "provisioned pvc can be resized and the storageclass that provisions the pvc must support "
    "resize",
    "owned-by-another": "Shared resource found: ServiceAccount/app is part of applications "
    "customer-alpha and somebody-else",
    "namespace-terminating": "unable to create new content in namespace customer-alpha because "
    "it is being terminated",
    "kind-forbidden": "resource :Service is not permitted in project tenants",
}


@pytest.mark.parametrize("case", OBJECTS)
def test_failing_object_says_so_in_tree_and_events(world: World, case: str) -> None:
    shows = OBJECTS[case]
    with broken(world, case):
        world.await_application(
            "alpha", lambda one: one["status"]["health"]["status"] == shows.health
        )
        found = [one["health"] for one in nodes(world, shows.kind)]
        assert [one["status"] for one in found] == [shows.status]
        assert shows.message in found[0].get("message", "")
        reasons = [one["reason"] for one in events(world, shows.kind)]
        assert reasons == ([shows.reason] if shows.reason else [])
        assert is_ready(world.application("beta"))
        runs = case == "secret-shut"
        assert (world.visit(host("alpha")).status_code == 200) is runs
    world.await_ready("alpha")
    assert world.visit(host("alpha")).status_code == 200
    assert all(one["health"] == {"status": "Healthy"} for one in nodes(world, "Pod"))


@pytest.mark.parametrize("case", SYNCS)
def test_sync_fails_with_the_real_words_and_succeeds_once_mended(world: World, case: str) -> None:
    with broken(world, case):
        one = world.await_application("alpha", has_failed)
        assert SYNCS[case] in one["status"]["operationState"]["message"]
        assert one["status"]["sync"]["status"] == "OutOfSync"
        kinds = [condition["type"] for condition in one["status"]["conditions"]]
        assert "SyncError" in kinds
        assert ("SharedResourceWarning" in kinds) is (case == "owned-by-another")
        said = world.get(f"/api/v1/applications/{NAME}/events?project=tenants").json()["items"]
        assert [item["type"] for item in said] == ["Normal", "Warning"]
        assert SYNCS[case] in said[1]["message"]
    world.await_ready("alpha")


def has_failed(one: dict[str, Any]) -> bool:
    conditions = [condition["type"] for condition in one["status"].get("conditions", ())]
    return one["status"]["operationState"]["phase"] == "Failed" and "SyncError" in conditions


def test_webhook_that_changes_an_object_keeps_it_out_of_sync(world: World) -> None:
    with broken(world, "never-synced"):
        one = world.await_application(
            "alpha",
            lambda one: (
                one["status"]["sync"]["status"] == "OutOfSync"
                and one["status"]["operationState"]["phase"] == "Succeeded"
                and "operation" not in one
            ),
        )
        assert one["status"]["health"]["status"] == "Healthy"
    world.await_ready("alpha")


def test_sync_window_is_told_of_and_refuses(world: World) -> None:
    path = f"/api/v1/applications/{NAME}/syncwindows?project=tenants"
    sync: dict[str, Any] = {"headers": {"Content-Type": "application/json"}, "data": "{}"}
    with broken(world, "sync-window"):
        assert world.get(path).json()["canSync"] is False
        answer = world.request("POST", f"/api/v1/applications/{NAME}/sync?project=tenants", **sync)
        assert answer.status_code == 403
        assert answer.json()["message"] == "cannot sync: blocked by sync window"
        world.push_tenant("gamma")
        world.await_ready("gamma")  # the window is another tenant's
        with broken(world, "sync-window", "customer-theta"):
            world.push_tenant("theta")
            one = world.await_application("theta", lambda one: one["status"].get("reconciledAt"))
            assert one["status"]["sync"]["status"] == "OutOfSync"
            assert "operationState" not in one["status"]
        world.await_ready("theta")
    assert world.get(path).json() == {"canSync": True}


def test_manifests_that_do_not_build(world: World) -> None:
    with broken(world, "manifest-error"):
        one = world.await_application("alpha", lambda one: one["status"].get("conditions"))
        assert one["status"]["sync"]["status"] == "Unknown"
        assert one["status"]["conditions"][0]["type"] == "ComparisonError"
        assert "kustomize build" in one["status"]["conditions"][0]["message"]
    world.await_ready("alpha")


def test_silent_instance_is_healthy_all_the_same(world: World) -> None:
    with broken(world, "silent-instance"):
        assert world.visit(host("alpha")).status_code == 503
        assert world.visit(host("beta")).status_code == 200
        assert is_ready(world.application("alpha"))
    assert world.visit(host("alpha")).status_code == 200


def test_flapping_tenant_is_degraded_and_well_again_and_again(world: World) -> None:
    told = stand_in(world).registry.subscribe()
    seen: list[str] = []

    def look() -> bool:
        document = told.get(timeout=10).document
        if document["metadata"]["name"] == NAME:
            seen.append(document["status"]["health"]["status"])
        return seen.count("Degraded") >= 2 and seen.count("Healthy") >= 2

    with broken(world, "flapping"):
        eventually(look)
    stand_in(world).registry.unsubscribe(told)
    world.await_ready("alpha")


def test_application_is_recreated_with_another_uid(world: World) -> None:
    world.push_tenant("eta")
    world.await_ready("eta")
    before = world.application("eta")["metadata"]["uid"]
    with broken(world, "recreated", "customer-eta"):
        eventually(
            lambda: world.application("eta").get("metadata", {}).get("uid", before) != before
        )
    world.await_application("eta", lambda one: one["status"]["sync"]["status"] == "Synced")


def test_deletion_is_held_up_until_mended(world: World) -> None:
    world.push_tenant("delta")
    world.await_ready("delta")
    old = world.application("delta")["metadata"]["uid"]
    with broken(world, "deletion-blocked", "customer-delta"):
        path = "/api/v1/applications/customer-delta?project=tenants"
        world.request("DELETE", path, headers={"Content-Type": "application/json"})
        tree = "/api/v1/applications/customer-delta/resource-tree?project=tenants"
        left = eventually(
            lambda: (
                kinds
                if len(kinds := [one["kind"] for one in world.get(tree).json()["nodes"]]) < 3
                else []
            )
        )
        assert sorted(left) == ["Namespace", "Service"]
        assert "deletionTimestamp" in world.application("delta")["metadata"]
    eventually(lambda: world.application("delta").get("metadata", {}).get("uid", old) != old)


def test_unreachable_bad_token_and_no_rights(world: World) -> None:
    one, some = f"/api/v1/applications/{NAME}", "/api/v1/applications"
    with broken(world, "unreachable", None):
        assert {world.get(path).status_code for path in (one, some, "/healthz")} == {503}
    with broken(world, "bad-token", None):
        assert {world.get(path).status_code for path in (one, some)} == {401}
        assert world.get("/api/v1/session/userinfo").json() == {}
    with broken(world, "no-rights", None):
        assert world.get(some).json()["items"] is None
        assert world.get(one).status_code == 403
        asked = world.get("/api/v1/account/can-i/applications/get/tenants/*")
        assert asked.json() == {"value": "no"}
    assert len(world.get(some).json()["items"]) >= 2


def test_stream_goes_silent_and_loses_every_second_event(world: World) -> None:
    lines = follow(world)
    assert NAME in next(lines)
    with broken(world, "stream-silent", None):
        touch(world, "one", "two")
    touch(world, "three")
    assert "three" in next(lines)
    with broken(world, "stream-loses", None):
        touch(world, *"abcdefgh")
    touch(world, "last")
    heard = list(takewhile(lambda mark: mark != "last", map(mark_of, lines)))
    assert 3 <= len(heard) <= 5  # half of them: another Application may have an event in between


def test_stream_is_cut_after_its_snapshot(world: World) -> None:
    lines = follow(world)
    assert NAME in next(lines)
    with broken(world, "stream-cut", None):
        assert list(lines) == []
        assert [NAME in line for line in follow(world)] == [True]


def mark_of(line: str) -> str:
    return str(json.loads(line)["result"]["application"]["metadata"]["labels"]["mark"])


def follow(world: World) -> Iterator[str]:
    query = (
        f"name={NAME}&fields=result.application.metadata.name,result.application.metadata.labels"
    )
    answer = world.get(f"/api/v1/stream/applications?{query}", stream=True)
    with closing(answer):
        for line in answer.iter_lines(chunk_size=1):
            yield line.decode()


def touch(world: World, *marks: str) -> None:
    """Have something to tell of, once each."""
    registry = stand_in(world).registry
    application = registry.get(NAME)
    assert application is not None
    for mark in marks:
        with application.lock:
            application.metadata["labels"]["mark"] = mark
            registry.publish(application)


def test_restart_empties_what_was_compared(world: World) -> None:
    with broken(world, "restart", None):
        for tenant in ("alpha", "beta"):
            status = world.application(tenant)["status"]
            assert (status["sync"]["status"], status["health"]) == ("", {})
            assert "reconciledAt" not in status
            assert status["operationState"]["phase"] == "Succeeded"
    world.await_ready("alpha")
    world.await_ready("beta")


def test_idle_controller_compares_nothing(world: World) -> None:
    with broken(world, "controller-idle", None):
        head = world.push_tenant("epsilon")
        one = eventually(lambda: world.application("epsilon"))
        world.settle()
        assert world.application("epsilon")["status"]["sync"]["status"] == ""
        assert one["status"]["health"] == {}
        assert world.application("alpha")["status"]["sync"]["revision"] != head
    world.await_ready("epsilon")


def test_slow_list_waits(world: World) -> None:
    breaks = stand_in(world).breaks
    breaks.start("slow-list")
    url = f"http://127.0.0.1:{stand_in(world).port}/api/v1/applications"
    token = {"Authorization": f"Bearer {devcluster_kit.TOKENS['tenantry']}"}
    with pytest.raises(requests.ReadTimeout):
        requests.get(url, headers=token, timeout=(5, 0.2))
    found: list[int] = []
    waiting = threading.Thread(
        target=lambda: found.append(world.get("/api/v1/applications").status_code)
    )
    waiting.start()
    breaks.end("slow-list")
    waiting.join(20)
    assert found == [200]


def test_frozen_set_makes_nothing_and_says_so(world: World) -> None:
    with broken(world, "frozen-set", None):
        eventually(lambda: condition(world)["status"] == "True")
        assert "unable to parse file" in condition(world)["message"]
        world.push_tenant("zeta")
        world.settle()
        assert world.application("zeta") == {}
    world.await_ready("zeta")
    assert condition(world)["status"] == "False"


def condition(world: World) -> dict[str, str]:
    status = world.get("/api/v1/applicationsets/tenants").json()["status"]
    return next(one for one in status["conditions"] if one["type"] == "ErrorOccurred")


def test_commands_break_list_and_mend(world: World) -> None:
    url = f"http://127.0.0.1:{stand_in(world).port}"

    def run(*arguments: str) -> str:
        result = click.testing.CliRunner().invoke(dev, arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    assert all(name in run("break", "--list") for name in CASES)
    told = run("break", "silent-instance", "--tenant", NAME, "--url", url)
    assert told == f"broken: silent-instance of {NAME}\n"
    assert world.visit(host("alpha")).status_code == 503
    assert run("break", "--url", url) == told
    assert run("mend", "--url", url) == "nothing is broken\n"
    assert world.visit(host("alpha")).status_code == 200


def test_what_cannot_be_broken_is_refused(world: World) -> None:
    with pytest.raises(NoSuchBreak):
        stand_in(world).breaks.start("no-such-case")
    answer = world.request(
        "POST", "/stand-in/breaks", json={"case": "unreachable", "tenant": NAME}, account=None
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "unreachable is of the whole Argo CD"
    form = world.request("POST", "/stand-in/breaks", data={"case": "unreachable"}, account=None)
    assert form.status_code == 400  # what a foreign page could send
    assert stand_in(world).breaks.all() == []


def test_event_of_a_foreign_object_is_refused(world: World) -> None:
    path = f"/api/v1/applications/{NAME}/events?project=tenants&resourceName=app&resourceUID=none"
    assert world.get(path).status_code == 400
