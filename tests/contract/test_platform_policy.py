"""What every object of every product that ships must be, beyond what is refused of any vendor: each
plan in each state, walked through object by object (R22, R24, R27).
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tenantry.core.model import State
from tenantry.core.objects.item import Item, items, tree
from tenantry.core.objects.needs import claims_used, config_keys_read, secret_keys_read
from tenantry.core.objects.rollout import check_plans
from tenantry.core.secret import Source
from tests.built import EXAMPLES, TEMPLATES, Built, classes, vendor

# Kubernetes supports its three newest minor versions, and clusters are slow: one more, and the
# newest whose schemas are installed.
KUBERNETES = ["1.34", kubernetes_validate.latest_version()]
CRDS = Path(__file__).parents[1] / "data" / "crds"
MOST = 150 * 1024  # bytes of one tenant's objects

# Containers whose root file system may be written, with the reason; none so far.
WRITABLE: dict[str, str] = {}
USED = ("cpu", "memory")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
ACTIVE = [one for one in classes() if one.state is State.ACTIVE]


@pytest.fixture(params=classes(), ids=str)
def built(request: pytest.FixtureRequest) -> Built:
    found: Built = request.param
    return found


def containers(built: Built) -> Iterator[tuple[str, Item, Any]]:
    """Every container: a name for messages, its workload, itself."""
    for item in built.workloads:
        for container in item.all_containers:
            yield f"{item.name}/{container['name']}", item, container


# --- All objects ---


def test_nothing_is_refused(built: Built) -> None:
    assert built.problems == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_objects_are_what_the_api_server_takes(built: Built, version: str) -> None:
    found = {item.where: schema_problem(version, json.dumps(item.body)) for item in built.items}
    assert {where: problem for where, problem in found.items() if problem} == {}


@cache
def schema_problem(version: str, body: str) -> str | None:
    """Why the API server would refuse an object, unknown fields included."""
    tree = json.loads(body)
    try:
        if tree["kind"] == "SealedSecret":
            jsonschema.validate(tree, json.loads((CRDS / "SealedSecret.json").read_text()))
        else:
            kubernetes_validate.validate(tree, version, strict=True)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        return str(error.message)
    return None


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "Ingress", "SealedSecret"])
def test_schemas_do_find_a_mistake(kind: str, version: str) -> None:
    body = copy.deepcopy(dict(classes(TEMPLATES)[0].of_kind(kind)[0].body))
    body["spec"]["misspelt"] = 1
    assert "misspelt" in (schema_problem(version, json.dumps(body)) or "")


def test_objects_of_a_tenant_are_small(built: Built) -> None:
    assert sum(len(json.dumps(body).encode()) for body in built.objects) < MOST


def test_objects_say_what_they_belong_to(built: Built) -> None:
    for item in built.items:
        if item.kind in ("Namespace", "SealedSecret", "Ingress"):  # of the overlay
            assert item.labels["app.kubernetes.io/managed-by"] == "tenantry", item.where
            assert item.labels["customer-id"] == built.tenant.customer_id, item.where
        elif item.kind not in ("ResourceQuota", "LimitRange"):  # of the platform's base
            assert item.labels["app.kubernetes.io/part-of"] == built.product.name, item.where
        if item.kind in ("Deployment", "Service", "PersistentVolumeClaim"):
            assert "app.kubernetes.io/name" in item.labels, item.where


def test_namespace_asks_for_the_strictest_level(built: Built) -> None:
    (namespace,) = built.of_kind("Namespace")
    for mode in ("enforce", "warn", "audit"):
        assert namespace.labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


# --- Pods ---


def test_pods_are_shut_in(built: Built) -> None:
    for item in built.workloads:
        pod, context = item.pod, tree(item.pod, "securityContext")
        assert pod["automountServiceAccountToken"] is False, item.where
        assert pod["enableServiceLinks"] is False, item.where
        assert context["runAsNonRoot"] is True, item.where
        assert context["runAsUser"] > 0, item.where  # a name cannot be proven to be no root
        assert context["runAsGroup"] > 0, item.where
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, item.where
        if "fsGroup" in context:  # else every start changes the owner of every file
            assert context["fsGroupChangePolicy"] == "OnRootMismatch", item.where
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod), item.where


def test_containers_are_shut_in(built: Built) -> None:
    for name, _, container in containers(built):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert context["readOnlyRootFilesystem"] is (name not in WRITABLE), name
        assert not {"privileged", "procMount", "runAsUser", "runAsNonRoot"} & set(context), name


def test_containers_say_what_they_need_and_get_at_most(built: Built) -> None:
    for name, _, container in containers(built):
        requests, limits = (container["resources"][kind] for kind in ("requests", "limits"))
        assert set(requests) == set(limits) == {"cpu", "memory"}, name
        for resource in requests:
            assert 0 < number(requests[resource]) <= number(limits[resource]), (name, resource)


def test_containers_are_watched(built: Built) -> None:
    for item in (one for one in built.workloads if one.kind != "CronJob"):  # it ends by itself
        for container in item.containers:
            names = {port["name"] for port in items(container, "ports")}
            assert all(names), item.where
            for probe in PROBES:
                (action,) = set(container[probe]) & {"httpGet", "tcpSocket", "exec"}
                if action != "exec":  # by name: a number says nothing to a reader
                    assert container[probe][action]["port"] in names, (item.where, probe)
                if action == "exec":  # one second is little for a process on a busy node
                    assert container[probe]["timeoutSeconds"] >= 5, (item.where, probe)


def test_grafana_is_asked_where_it_answers() -> None:
    """Outside its sub-path Grafana redirects anything, and the kubelet counts that as a success."""
    for built in classes(TEMPLATES):
        (container,) = built.get("Deployment", "grafana")["spec"]["template"]["spec"]["containers"]
        (root,) = (one["value"] for one in container["env"] if one["name"] == "GF_SERVER_ROOT_URL")
        asked = {container[probe]["httpGet"]["path"] for probe in PROBES}
        assert asked == {f"/{root.rpartition('/')[2]}/api/health"}


def test_databases_may_take_their_time_to_start() -> None:
    """Whoever kills a first start leaves half a database: late is told by the rollout instead."""
    for built in classes(TEMPLATES):
        for name in ("postgres", "influxdb"):
            spec = built.get("Deployment", name)["spec"]
            probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
            assert probe["periodSeconds"] * probe["failureThreshold"] >= 300, name


def test_rollouts_end_and_leave_little_behind(built: Built) -> None:
    for item in built.of_kind("Deployment"):
        assert item.spec["progressDeadlineSeconds"] == 120, item.where
        assert item.spec["revisionHistoryLimit"] == 2, item.where


def test_pods_have_time_to_stop(built: Built) -> None:
    for item in built.workloads:
        grace = item.pod["terminationGracePeriodSeconds"]
        assert grace >= 30, item.where
        for container in item.containers:
            command = tree(container, "lifecycle", "preStop", "exec").get("command", ["sleep", "0"])
            assert command[0] == "sleep", item.where
            assert int(command[1]) <= grace / 3, item.where
        if "tenantry.dev/from-ingress" in tree(item.template, "metadata", "labels"):
            is_replaced = not list(claims_used(item))
            assert is_replaced is ("lifecycle" in item.containers[0]), item.where


def test_selectors_are_of_the_pods(built: Built) -> None:
    for item in built.of_kind("Deployment"):
        name = {"app.kubernetes.io/name": item.name}
        assert item.spec["selector"] == {"matchLabels": name}, item.where
        assert name.items() <= tree(item.template, "metadata", "labels").items(), item.where


# --- What Argo CD makes of it ---


def test_claims_do_not_keep_a_tenant_from_being_healthy(built: Built) -> None:
    """A claim that no pod has used yet, as in a tenant suspended early, is unbound for ever; and a
    nightly run that failed is no outage until the next night.
    """
    for kind in ("PersistentVolumeClaim", "CronJob"):
        for item in built.of_kind(kind):
            assert item.annotations.get("argocd.argoproj.io/ignore-healthcheck") == "true"


def test_stopped_states_apply_nothing_whose_health_is_waited_for(built: Built) -> None:
    """Argo CD takes the routes away last, once what it applied is healthy, and until that has ended
    it begins nothing else: a CronJob that is suspended is not healthy in every version of it.
    """
    if built.state in (State.SUSPENDED, State.DELETING):
        kinds = {item.kind for item in built.items}
        assert not kinds & {"CronJob", "Job", "HorizontalPodAutoscaler", "Ingress"}


# --- Data ---


def test_what_has_data_is_alone_with_it(built: Built) -> None:
    users = Counter(claim for item in built.workloads for claim in claims_used(item))
    assert set(users) == {item.name for item in built.of_kind("PersistentVolumeClaim")}
    assert set(users.values()) <= {1}
    assert set(users) == set(built.tenant.volumes)
    for item in built.of_kind("PersistentVolumeClaim"):  # "once" alone would be once for each node
        assert item.spec["accessModes"] == ["ReadWriteOncePod"], item.where
    for item in built.of_kind("StatefulSet"):
        assert item.replicas <= 1, item.where
        assert "volumeClaimTemplates" not in item.spec, item.where  # none could grow
    for item in built.of_kind("Deployment"):
        if list(claims_used(item)):
            assert item.replicas <= 1, item.where
            assert item.spec["strategy"] == {"type": "Recreate"}, item.where
        else:
            rolling = {"maxSurge": 1, "maxUnavailable": 0}
            assert item.spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}


def test_volumes_are_mounted_and_bounded(built: Built) -> None:
    for item in built.workloads:
        mounted = {
            mount["name"]
            for container in item.all_containers
            for mount in items(container, "volumeMounts")
        }
        assert {volume["name"] for volume in item.volumes} == mounted, item.where
        for volume in item.volumes:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], (item.where, volume["name"])


def test_configuration_is_only_read(built: Built) -> None:
    for item in built.workloads:
        read_only = {volume["name"] for volume in item.volumes if "configMap" in volume}
        for container in item.all_containers:
            for mount in items(container, "volumeMounts"):
                assert mount["name"] not in read_only or mount["readOnly"] is True, item.where


# --- What objects ask of each other ---


def test_changed_configuration_restarts_what_reads_it(built: Built) -> None:
    names = {item.name for item in built.of_kind("ConfigMap")}
    assert names == {name for item in built.workloads for name, _ in config_keys_read(item)}
    assert all(re.fullmatch(r"[a-z-]+-[a-z0-9]{10}", name) for name in names), names


def test_services_lead_to_one_workload_by_names(built: Built) -> None:
    for service in built.of_kind("Service"):
        (workload,) = (
            item
            for item in built.workloads
            if service.spec["selector"].items() <= tree(item.template, "metadata", "labels").items()
        )
        declared = [port for one in workload.containers for port in items(one, "ports")]
        names = {port["name"] for port in items(service.spec, "ports")}
        assert names == {port["targetPort"] for port in items(service.spec, "ports")}
        assert names == {port["name"] for port in declared}, service.where


def test_every_secret_is_read_and_restarts_what_reads_it(built: Built) -> None:
    secret = built.product.secret
    read: set[str] = set()
    for item in built.workloads:
        keys = {str(key) for name, key in secret_keys_read(item) if name == secret.name}
        read |= keys
        if item.kind == "CronJob":  # each run reads what there is
            continue
        annotations = tree(item.template, "metadata", "annotations")
        for annotation, wanted in (
            ("tenantry.dev/license-version", keys & set(secret.keys_from(Source.LICENSE))),
            ("tenantry.dev/secrets-version", {key for key in keys if secret.keys[key].restarts}),
        ):
            assert (annotation in annotations) is bool(wanted), (item.where, annotation)
    assert read == set(secret.keys)


# --- Sizes ---


def number(quantity: Any) -> Decimal:
    """A quantity as a number; a way of its own, to try the service's by."""
    found = re.fullmatch(r"(\d+)(m|Ki|Mi|Gi|)", str(quantity))
    assert found is not None, quantity
    factors = {"m": Decimal("0.001")} | {
        unit: Decimal(1024**power) for power, unit in enumerate(["", "Ki", "Mi", "Gi"])
    }
    return Decimal(found[1]) * factors[found[2]]


def rolls(item: Item) -> bool:
    """Whether its old pods stay until new ones are ready, one of which comes at a time."""
    return item.kind == "Deployment" and item.spec["strategy"]["type"] == "RollingUpdate"


def pods(item: Item) -> int:
    return 1 if item.kind == "CronJob" else item.replicas


def pod(item: Item, name: str) -> Decimal:
    """What one of its pods takes of what a quota calls so."""
    if name == "pods":
        return Decimal(1)
    kind, resource = name.split(".")
    of_pod = sum(number(one["resources"][kind][resource]) for one in item.pod["containers"])
    for starter in items(item.pod, "initContainers"):
        assert number(starter["resources"][kind][resource]) <= of_pod
    return Decimal(of_pod)


def largest(built: Built, item: Item, name: str) -> Decimal:
    """What one of its pods takes in the plan where that is most."""
    return max(
        pod(same, name)
        for other in ACTIVE
        if other.folder == built.folder
        for same in other.workloads
        if same.where == item.where
    )


def need(built: Built, name: str) -> list[Decimal]:
    """In a change from the largest plan: of what ends first, of old pods that stay, of new ones
    beside them, and of cert-manager's solver.
    """
    rolling = [item for item in built.workloads if rolls(item)]
    solver = {"pods": "1", "requests.cpu": "10m", "limits.cpu": "100m"}.get(name, "64Mi")
    return [
        sum((pod(i, name) * pods(i) for i in built.workloads if not rolls(i)), Decimal(0)),
        sum((largest(built, item, name) * pods(item) for item in rolling), Decimal(0)),
        sum((pod(item, name) for item in rolling), Decimal(0)),
        number(solver),
    ]


def needs(built: Built) -> dict[str, list[Decimal]]:
    amounts = [f"{kind}.{resource}" for kind in ("requests", "limits") for resource in USED]
    return {name: need(built, name) for name in ["pods", *amounts]}


@pytest.mark.parametrize("built", ACTIVE, ids=str)
def test_quota_fits_the_plan_with_a_little_room(built: Built) -> None:
    (quota,) = built.of_kind("ResourceQuota")
    hard = dict(quota.spec["hard"])
    for name, parts in needs(built).items():
        assert sum(parts) <= number(hard.pop(name)) <= sum(parts) * Decimal("1.5"), name
    assert hard == {
        "persistentvolumeclaims": str(len(built.of_kind("PersistentVolumeClaim"))),
        "services.loadbalancers": "0",
        "services.nodeports": "1",
    }


@pytest.mark.parametrize("built", ACTIVE, ids=str)
def test_quota_says_how_it_was_reckoned(built: Built) -> None:
    """`#   <name>  <ends> + <stays> + <comes> + <solver> = <sum>`, so that a reader need not."""
    text = vendor(built.folder).platform[f"plans/{built.plan}/quota.yaml"].decode()
    told = re.findall(r"#   (\S+)" + r" +(\S+) \+" * 3 + r" +(\S+) = +(\S+)", text)
    assert {
        name: ([number(part) for part in parts], number(total)) for name, *parts, total in told
    } == {name: (parts, sum(parts)) for name, parts in needs(built).items()}


@pytest.mark.parametrize("built", ACTIVE, ids=str)
def test_limit_range_lets_the_plan_in(built: Built) -> None:
    (limits,) = built.of_kind("LimitRange")
    (rule,) = items(limits.spec, "limits")
    for resource in ("cpu", "memory"):
        most = max(number(one["resources"]["limits"][resource]) for _, _, one in containers(built))
        assert number(rule["max"][resource]) == most
        assert number(rule["defaultRequest"][resource]) <= number(rule["default"][resource]) <= most


# --- Changes of the plan ---


@pytest.mark.parametrize("folder", [TEMPLATES, *EXAMPLES], ids=lambda folder: folder.name)
def test_every_plan_can_be_changed_to_every_other(folder: Path) -> None:
    built = {
        f"{plan}, {state}": Built(folder, plan, state).objects
        for plan in vendor(folder).product.plans
        for state in State
        if state is not State.DELETING
    }
    assert check_plans(built) == []
