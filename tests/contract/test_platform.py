"""The sample platform: its plans, its states, what differs between tenants, and what of it restarts
when something changes (R14, R22-R24, R27, R51).
"""

from __future__ import annotations

import copy
import dataclasses
import re
from typing import Any

import kubernetes_validate
import pytest

from tenantry.adapters.schemas import load_schemas
from tenantry.core.document import load_all
from tenantry.core.model import State, TenantSpec
from tenantry.core.objects.item import Item, find, items, tree
from tenantry.core.printer import dump
from tests.built import TEMPLATES, Built, build, check, vendor
from tests.overlays import CELL, golden, product, rendered, spec

COMPONENTS = ["admin", "api", "grafana", "influxdb", "mosquitto", "nginx", "node-red", "postgres"]
WITH_DATA = ["grafana", "influxdb", "mosquitto", "node-red", "postgres"]
STOPPED = [State.SUSPENDED, State.DELETING]


def built(plan: str = "starter", state: State = State.ACTIVE) -> Built:
    return Built(TEMPLATES, plan, state)


# --- What there is ---


def test_whole_product_is_there() -> None:
    names = {kind: sorted(item.name for item in built().of_kind(kind)) for kind in KINDS}
    assert names == {
        "Deployment": COMPONENTS,
        "Service": COMPONENTS,
        "PersistentVolumeClaim": [f"{name}-data" for name in WITH_DATA],
        "Ingress": ["iotistic-ingress"],
        "SealedSecret": ["iotistic-secrets"],
        "Namespace": [built().tenant.name],
    }
    images = {item.name: item.containers[0]["image"] for item in built().of_kind("Deployment")}
    assert images == product().images


KINDS = ["Deployment", "Service", "PersistentVolumeClaim", "Ingress", "SealedSecret", "Namespace"]


def test_ports_are_those_of_the_specification() -> None:
    ports = {
        item.name: {port["name"]: port["port"] for port in items(item.spec, "ports")}
        for item in built().of_kind("Service")
    }
    assert ports == {
        "api": {"http": 3001},
        "postgres": {"postgres": 5432},
        "influxdb": {"http": 8086},
        "mosquitto": {"mqtt": 1883, "websockets": 9001},
        "node-red": {"http": 1880},
        "grafana": {"http": 3000},
        "admin": {"http": 80},
        "nginx": {"http": 80},
    }


def test_schemas_do_find_a_problem() -> None:
    schemas = load_schemas()
    deployment = built().get("Deployment", "api")
    spec_with_typo = {**deployment, "spec": {**deployment["spec"], "replica": 1}}
    assert schemas
    assert "replica" in (schemas.find_problem(spec_with_typo) or "")
    assert schemas.version == kubernetes_validate.latest_version()


# --- Plans and sizes ---


@pytest.mark.parametrize(
    ("plan", "api", "postgres"),
    [
        ("starter", ("250m", "256Mi"), ("500m", "512Mi")),
        ("professional", ("500m", "512Mi"), ("1000m", "1Gi")),
        ("enterprise", ("2000m", "2Gi"), ("4000m", "4Gi")),
    ],
)
def test_requests_are_those_of_the_specification(
    plan: str, api: tuple[str, str], postgres: tuple[str, str]
) -> None:
    for name, wanted in (("api", api), ("postgres", postgres)):
        pod = built(plan).get("Deployment", name)["spec"]["template"]["spec"]
        requests = pod["containers"][0]["resources"]["requests"]
        assert (requests["cpu"], requests["memory"]) == wanted


def test_volumes_have_the_sizes_that_the_specification_of_the_tenant_says() -> None:
    wanted = {f"{name}-data": f"{number}Gi" for number, name in enumerate(WITH_DATA, start=300)}
    tenant = spec(volumes=wanted)
    objects = build(tenant)
    assert check(tenant, objects) == []  # so a smaller plan has room for what a larger one left
    assert {
        claim.name: claim.spec["resources"]["requests"]["storage"]
        for claim in find([Item(body) for body in objects], "PersistentVolumeClaim")
    } == wanted


# --- What restarts what ---


def test_license_and_secrets_restart_what_reads_them_only() -> None:
    tenant = built().tenant
    license_version = {"tenantry.dev/license-version": tenant.license_id}
    secrets = {
        "tenantry.dev/secrets-version": product().secret.version(tenant.secret_versions),
    }
    found = {
        item.name: dict(tree(item.template, "metadata", "annotations"))
        for item in built().workloads
    }
    assert found == {
        **{name: {} for name in COMPONENTS},
        "api": {**license_version, **secrets},
        "mosquitto": secrets,
        "node-red": secrets,
    }


def test_changed_file_restarts_what_reads_it_only() -> None:
    path = "base/config/nginx/nginx.conf"
    platform = {**vendor().platform, path: vendor().platform[path] + b"# changed\n"}
    before = {item.name: item.template for item in built().workloads}
    after = [Item(body) for body in build(built().tenant, platform=platform)]
    changed = {item.name for item in after if item.pod and item.template != before[item.name]}
    assert changed == {"nginx"}


def test_secret_comes_in_an_earlier_wave_than_the_pods() -> None:
    waves = {
        item.where: item.annotations.get("argocd.argoproj.io/sync-wave", "0")
        for item in built().items
    }
    early = {where.partition("/")[0] for where, wave in waves.items() if wave == "-1"}
    assert early == {"Namespace", "SealedSecret"}
    assert set(waves.values()) == {"-1", "0"}


# --- States ---


def differences(one: Built, other: Built) -> set[str]:
    """Objects that are not the same, but for the state that their Namespace says."""
    first, second = ({item.where: item.body for item in each.items} for each in (one, other))
    for objects in (first, second):
        namespace = copy.deepcopy(objects[f"Namespace/{one.tenant.name}"])
        del namespace["metadata"]["labels"]["tenantry.dev/state"]
        objects[f"Namespace/{one.tenant.name}"] = namespace
    return {where for where in first | second if first.get(where) != second.get(where)}


def test_suspension_keeps_everything_but_what_runs_and_answers() -> None:
    suspended = built(state=State.SUSPENDED)
    stopped = {f"Deployment/{name}" for name in COMPONENTS}
    assert differences(built(), suspended) == {*stopped, "Ingress/iotistic-ingress"}
    assert {item.replicas for item in suspended.workloads} == {0}
    assert suspended.of_kind("Ingress") == []


def test_read_only_changes_nothing_but_where_paths_lead() -> None:
    read_only = built(state=State.READ_ONLY)
    assert differences(built(), read_only) == {"Ingress/iotistic-ingress"}
    (rule,) = items(read_only.of_kind("Ingress")[0].spec, "rules")
    backend = {"service": {"name": "nginx", "port": {"number": 80}}}
    assert rule["http"] == {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}
    assert rule["host"] == read_only.tenant.host


@pytest.mark.parametrize("state", State)
def test_data_is_protected_in_every_state_but_deleting(state: State) -> None:
    protected = None if state is State.DELETING else "Prune=false,Delete=false"
    found = {
        item.where: item.annotations.get("argocd.argoproj.io/sync-options")
        for kind in ("Namespace", "PersistentVolumeClaim")
        for item in built(state=state).of_kind(kind)
    }
    assert len(found) == 6
    assert set(found.values()) == {protected}


@pytest.mark.parametrize("state", State)
def test_state_is_a_label_of_the_namespace(state: State) -> None:
    (namespace,) = built(state=state).of_kind("Namespace")
    assert namespace.labels["tenantry.dev/state"] == state.value


# What other vendors' platforms may have; copied with it, the states must stop all of it.
MORE = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {schedule: 0 3 * * *, jobTemplate: {spec: {template: {spec: {}}}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: first}
spec: {template: {spec: {}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: queue}
spec: {replicas: 3, template: {spec: {}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: cache}
spec: {template: {spec: {}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: api}
spec: {minReplicas: 2, maxReplicas: 4, scaleTargetRef: {kind: Deployment, name: api}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: second}
spec: {rules: [{http: {paths: []}}]}
"""


def platform_with_more(**states: str) -> dict[str, bytes]:
    """The platform with further kinds, and with other states."""
    files = {**vendor().platform, "base/more.yaml": MORE.encode()}
    base = files["base/kustomization.yaml"].replace(b"resources:\n", b"resources:\n  - more.yaml\n")
    changed = {f"states/{name}/kustomization.yaml": text.encode() for name, text in states.items()}
    return {**files, "base/kustomization.yaml": base, **changed}


def running(tenant: TenantSpec, platform: dict[str, bytes]) -> set[str]:
    found = check(tenant, build(tenant, platform=platform))
    return {each.split(":")[0] for each in found if "must not run or answer" in each}


@pytest.mark.parametrize("state", STOPPED)
def test_stopped_states_stop_whatever_a_platform_has(state: State) -> None:
    assert running(spec(state=state), platform_with_more()) == set()


def test_state_that_leaves_something_running_is_found() -> None:
    text = vendor().platform["states/suspended/kustomization.yaml"].decode()
    careless = text[: text.index("  - target: {group: apps, version: v1, kind: StatefulSet}")]
    assert running(spec(state=State.SUSPENDED), platform_with_more(suspended=careless)) == {
        "CronJob/nightly",
        "HorizontalPodAutoscaler/api",
        "Ingress/iotistic-ingress",
        "Ingress/second",
        "Job/first",
        "StatefulSet/cache",
        "StatefulSet/queue",
    }


def test_read_only_that_leaves_paths_as_they_were_is_found() -> None:
    active = vendor().platform["states/active/kustomization.yaml"]
    platform = {**vendor().platform, "states/read-only/kustomization.yaml": active}
    tenant = spec(state=State.READ_ONLY)
    assert [each for each in check(tenant, build(tenant, platform=platform)) if "'admin'" in each]


# --- What a change looks like to a reviewer ---


def changed_lines(one: TenantSpec, other: TenantSpec) -> dict[str, list[tuple[str, str]]]:
    """Lines of a tenant's files that differ, by file."""
    first, second = (
        {name: content.decode().splitlines() for name, content in rendered(each).items()}
        for each in (one, other)
    )
    assert {name: len(lines) for name, lines in first.items()} == {
        name: len(lines) for name, lines in second.items()
    }
    pairs = {
        name: [pair for pair in zip(lines, second[name], strict=True) if len(set(pair)) > 1]
        for name, lines in first.items()
    }
    return {name: found for name, found in pairs.items() if found}


def test_suspension_is_a_line() -> None:
    assert changed_lines(spec(), spec(state=State.SUSPENDED)) == {
        "kustomization.yaml": [
            (
                '  - "../../../platform/v1/states/active"',
                '  - "../../../platform/v1/states/suspended"',
            )
        ],
        "tenant.json": [('  "state": "active"', '  "state": "suspended"')],
    }


def test_plan_change_is_a_line_and_what_it_implies() -> None:
    new = spec(plan="professional", license_id="0190e12f-new")
    changed = changed_lines(spec(), new)
    assert list(changed) == ["kustomization.yaml", "tenant.json"]
    assert changed["tenant.json"] == [
        ('  "plan": "starter",', '  "plan": "professional",'),
    ]
    component, license_version, *sizes = changed["kustomization.yaml"]
    assert component[1] == '  - "../../../platform/v1/plans/professional"'
    assert license_version[1].strip() == 'tenantry.dev/license-version: "0190e12f-new"'
    assert [line.strip() for _, line in sizes] == [
        f'value: "{new.volumes[claim]}"'
        for claim in ("postgres-data", "influxdb-data", "mosquitto-data", "node-red-data",
                      "grafana-data")
    ]  # fmt: skip


# --- What differs between cells ---


@pytest.mark.parametrize(
    "cell",
    [
        dataclasses.replace(
            CELL,
            ingress_class="traefik",
            ingress_annotations={"traefik.ingress.kubernetes.io/router.entrypoints": "websecure"},
            ingress_namespace="traefik",
        ),
        dataclasses.replace(
            CELL,
            ingress_class="haproxy",
            ingress_annotations={"haproxy.org/ssl-redirect": "true"},
            ingress_cidrs=["192.0.2.0/28"],
        ),
    ],
    ids=["traefik", "haproxy on the hosts' network, one certificate"],
)
def test_traffic_is_as_the_cell_says(cell: Any) -> None:
    cell = dataclasses.replace(cell, cluster_issuer="" if cell.ingress_cidrs else "some-issuer")
    objects = build(spec(), cell=cell)
    assert check(spec(), objects) == []
    found = [Item(body) for body in objects]
    (ingress,) = find(found, "Ingress")
    assert ingress.spec["ingressClassName"] == cell.ingress_class
    assert ingress.annotations == cell.annotations
    assert ingress.spec["tls"][0].get("secretName") == cell.tls_secret(spec().customer_id)
    sources = {
        policy.name: policy.spec["ingress"][0]["from"]
        for policy in find(found, "NetworkPolicy")
        if policy.labels.get("tenantry.dev/source") == "ingress-controller"
    }
    assert sources == {"from-ingress": cell.sources, "acme-solver": cell.sources}


def test_built_objects_are_as_stored() -> None:
    """Unit tests of the checks start from the stored objects, which hold no files' contents."""
    names = {item.name for item in built().of_kind("ConfigMap")}
    hashes = re.compile(rf"(?<=-)({'|'.join(name.rpartition('-')[2] for name in names)})$")
    objects = [_shorten(body, hashes) for body in build(spec())]
    content = b"---\n".join(dump(body) for body in objects)
    assert objects == load_all(golden("built.yaml", content), "built.yaml")


def _shorten(part: Any, hashes: re.Pattern[str]) -> Any:
    """Without what changes with every change of a file: its content, its ConfigMap's hash."""
    if isinstance(part, dict):
        is_config = part.get("kind") == "ConfigMap"
        short = {key: _shorten(value, hashes) for key, value in part.items()}
        return {**short, "data": dict.fromkeys(part["data"], "...")} if is_config else short
    if isinstance(part, list):
        return [_shorten(each, hashes) for each in part]
    return hashes.sub("0000000000", part) if isinstance(part, str) else part
