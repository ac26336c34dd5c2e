"""What a tenant's objects cannot become, and how two versions of them are shown."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tenantry.core.objects.diff import diff_objects
from tenantry.core.objects.upgrade import find_obstacles

Body = dict[str, Any]
LABELS = {"app.kubernetes.io/name": "api"}


def body(kind: str, api: str, name: str = "api", **parts: Any) -> Body:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **parts}


def deployment(**spec: Any) -> Body:
    usual = {"replicas": 1, "selector": {"matchLabels": LABELS}, "strategy": {"type": "Recreate"}}
    return body("Deployment", "apps/v1", spec=usual | spec)


def stateful_set(**spec: Any) -> Body:
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    usual = {"selector": {"matchLabels": LABELS}, "serviceName": "api"}
    return body("StatefulSet", "apps/v1", spec=usual | {"volumeClaimTemplates": [claim]} | spec)


def claim(size: str = "5Gi", **spec: Any) -> Body:
    usual = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return body("PersistentVolumeClaim", "v1", spec=usual | spec)


def service(**spec: Any) -> Body:
    return body("Service", "v1", spec={"selector": LABELS, "ports": [{"port": 80}]} | spec)


def job(**parts: Any) -> Body:
    image = {"template": {"spec": {"containers": [{"name": "a", "image": "a:1"}]}}}
    return body("Job", "batch/v1", spec=image | parts)


def with_options(options: str, found: Body) -> Body:
    annotations = {"argocd.argoproj.io/sync-options": options}
    return found | {"metadata": {**found["metadata"], "annotations": annotations}}


def sealed(kind: str) -> Body:
    return body("SealedSecret", "bitnami.com/v1alpha1", spec={"template": {"type": kind}})


OTHER = {"template": {"spec": {"containers": [{"name": "a", "image": "a:2"}]}}}


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (deployment(), deployment(selector={"matchLabels": {"app": "api"}}), "spec.selector"),
        (deployment(strategy={}), deployment(), "spec.strategy.type"),
        (stateful_set(), stateful_set(serviceName="b"), "spec.serviceName"),
        (stateful_set(), stateful_set(selector={}), "spec.selector"),
        (
            stateful_set(),
            stateful_set(podManagementPolicy="Parallel"),
            "spec.podManagementPolicy",
        ),
        (
            stateful_set(),
            stateful_set(volumeClaimTemplates=[]),
            "spec.volumeClaimTemplates",
        ),
        (claim(), claim(storageClassName="fast"), "spec.storageClassName"),
        (claim(storageClassName="fast"), claim(), "spec.storageClassName"),
        (claim(), claim(accessModes=["ReadWriteMany"]), "spec.accessModes"),
        (claim(), claim(volumeMode="Block"), "spec.volumeMode"),
        (claim(), claim(volumeName="pv-1"), "spec.volumeName"),
        (claim(), claim(selector={"matchLabels": LABELS}), "spec.selector"),
        (claim(), claim(dataSource={"kind": "VolumeSnapshot"}), "spec.dataSource"),
        (claim(), claim(dataSourceRef={"kind": "VolumeSnapshot"}), "spec.dataSourceRef"),
        (claim("5Gi"), claim("5120M"), "spec.resources.requests.storage"),
        (claim(), claim(resources={}), "spec.resources.requests.storage"),
        (service(), service(clusterIP="None"), "spec.clusterIP"),
        (service(clusterIP="None"), service(), "spec.clusterIP"),
        (service(), service(loadBalancerClass="x"), "spec.loadBalancerClass"),
        (job(), job(**OTHER), "spec.template"),
        (job(), job(selector={"matchLabels": LABELS}), "spec.selector"),
        (job(), job(completionMode="Indexed"), "spec.completionMode"),
        (
            body("ConfigMap", "v1", immutable=True, data={"a": "1"}),
            body("ConfigMap", "v1", immutable=True, data={"a": "2"}),
            "data",
        ),
        (
            body("ConfigMap", "v1", immutable=True),
            body("ConfigMap", "v1"),
            "immutable",
        ),
        (
            body("ResourceQuota", "v1", spec={}),
            body("ResourceQuota", "v1", spec={"scopes": ["Terminating"]}),
            "spec.scopes",
        ),
        (sealed("Opaque"), sealed("kubernetes.io/dockerconfigjson"), "spec.template.type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_field_that_the_api_server_fixes_is_an_obstacle(old: Body, new: Body, field: str) -> None:
    (found,) = find_obstacles([old], [new])
    assert (found.where, found.field) == (f"{old['kind']}/api", field)
    assert found.old != found.new
    assert found.reason
    assert found.remedy
    assert str(found).startswith(f"{found.where}: {field}: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (deployment(), deployment(replicas=2, template={"spec": {}})),
        (deployment(strategy={"type": "Recreate"}), deployment(strategy={"type": "RollingUpdate"})),
        (stateful_set(), stateful_set(replicas=0, podManagementPolicy="OrderedReady")),
        (claim(), claim("6Gi", volumeMode="Filesystem")),
        (claim("1Gi"), claim("1024Mi")),
        (service(), service(ports=[{"port": 81}], selector={})),
        (service(type="ExternalName"), service(clusterIP="None")),
        (job(), job(completions=1, completionMode="NonIndexed", ttlSecondsAfterFinished=5)),
        (job(), with_options("Force=true,Replace=true", job(**OTHER))),
        (body("ConfigMap", "v1", data={"a": "1"}), body("ConfigMap", "v1", data={})),
        (sealed("Opaque"), body("SealedSecret", "bitnami.com/v1alpha1", spec={})),
        (body("Ingress", "networking.k8s.io/v1"), body("Ingress", "networking.k8s.io/v1", spec={})),
    ],
)
def test_what_the_api_server_lets_change_is_none(old: Body, new: Body) -> None:
    assert find_obstacles([old], [new]) == []


def test_replacing_is_no_way_out_for_what_holds_data() -> None:
    new = with_options("Force=true,Replace=true", claim(storageClassName="fast"))
    assert [each.field for each in find_obstacles([claim()], [new])] == ["spec.storageClassName"]
    new = with_options("Replace=true", job(**OTHER))
    assert [each.field for each in find_obstacles([job()], [new])] == ["spec.template"]


def test_what_holds_data_may_not_vanish() -> None:
    old = [claim(), stateful_set(), deployment(), service()]
    assert {each.where for each in find_obstacles(old, [])} == {
        "PersistentVolumeClaim/api", "StatefulSet/api",
    }  # fmt: skip
    assert find_obstacles([stateful_set(volumeClaimTemplates=[])], []) == []
    assert find_obstacles([], old) == []


def test_objects_of_another_name_or_group_are_others() -> None:
    renamed = claim("1Gi")
    renamed["metadata"] = {"name": "other"}
    (gone,) = find_obstacles([claim()], [renamed])
    assert (gone.old, gone.new) == ("api", None)
    foreign = claim("1Gi") | {"apiVersion": "example.com/v1"}
    assert len(find_obstacles([claim()], [foreign])) == 1
    assert find_obstacles([claim()], [claim(), foreign]) == []


def test_neither_side_is_changed() -> None:
    old, new = [claim(), deployment()], [claim("6Gi"), deployment(selector={})]
    before = copy.deepcopy((old, new))
    find_obstacles(old, new)
    diff_objects(old, new, ("v1", "v2"))
    assert (old, new) == before


# Diff


def test_diff_shows_each_object_that_differs_and_no_other() -> None:
    old = [deployment(), claim(), service()]
    new = [deployment(replicas=2), claim(), job()]
    gone, changed, added = diff_objects(old, new, ("v1", "v2"))
    assert (changed.old, changed.new) == ("Deployment/api", "Deployment/api")
    assert changed.lines[:2] == ["--- v1", "+++ v2"]
    assert [line for line in changed.lines[2:] if line[0] in "+-"] == [
        "-  replicas: 1", "+  replicas: 2",
    ]  # fmt: skip
    assert (gone.old, gone.new) == ("Service/api", None)
    assert (added.old, added.new) == (None, "Job/api")
    assert all(line.startswith("+") for line in added.lines if not line.startswith(("@", "-")))


def test_diff_follows_a_name_that_ends_in_a_hash_and_shows_lines_of_files() -> None:
    old = body("ConfigMap", "v1", "nginx-7d9f6bt42k", data={"nginx.conf": "a;\nb;\n"})
    new = body("ConfigMap", "v1", "nginx-2bc4dfg56h", data={"nginx.conf": "a;\nc;\n"})
    (found,) = diff_objects([old], [new], ("v1", "v2"))
    assert (found.old, found.new) == (
        "ConfigMap/nginx-7d9f6bt42k", "ConfigMap/nginx-2bc4dfg56h",
    )  # fmt: skip
    assert {"-    b;", "+    c;"} <= set(found.lines)
