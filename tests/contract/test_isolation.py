"""Who may talk to whom in the platform that ships, asked of its built policies for every pair, both
ways and on every port (R25).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tenantry.adapters.kustomize import Kustomize
from tenantry.core import naming
from tenantry.core.model import State
from tenantry.core.objects.isolation import METADATA, check_isolation
from tenantry.core.objects.item import Item, Tree, container_ports, find, items, tree
from tenantry.core.objects.network import Endpoint, Pod, Port, Way, closes, may_reach, selects
from tests.built import TEMPLATES, Built, check
from tests.overlays import rendered, spec, write_repository
from tests.programs import require

# The table of edges: who may connect to what inside a tenant. Nothing else is open.
EDGES = {
    "api": "postgres:5432 influxdb:8086 mosquitto:1883 mosquitto:9001",
    "grafana": "postgres:5432 influxdb:8086",
    "node-red": "api:3001 influxdb:8086 mosquitto:1883 mosquitto:9001",
    "admin": "api:3001 node-red:1880",
    "nginx": "api:3001 grafana:3000 admin:8080 node-red:1880 influxdb:8086"
    " mosquitto:1883 mosquitto:9001",
    "ingress controller": "api:3001 grafana:3000 admin:8080 nginx:8080 solver:8089",
}
COMPONENTS = {"postgres", "influxdb", "mosquitto", "api", "node-red", "grafana", "admin", "nginx"}
# Node-RED may call the internet, and nobody else
INTERNET = {"starter": [Port(443)], "professional": "any port", "enterprise": "any port"}
PUBLIC = ["1.1.1.1", "100.63.255.255", "172.15.0.1", "172.32.0.1", "223.255.255.255",
          "2606:4700:4700::1111", "2a00:1450::1"]  # fmt: skip
# one of each range that is not public, and what is found at some of them
NOT_PUBLIC = [
    "0.0.0.1", "10.96.0.1", "10.244.3.7", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1",
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.10", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "2001::1", "2001:db8::1",
    "2002:a00:1::1", "3fff::1", "fc00::1", "fd12::1", "fe80::1", "ff02::1",
]  # fmt: skip
OTHER = "customer-zzzzzzzzzz"
NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Town:
    """A tenant's pods and policies, and who else is around."""

    policies: list[Item]
    pods: dict[str, Pod]  # by component, and two that nobody's objects tell of
    ports: list[Port]

    @classmethod
    def of(cls, objects: list[dict[str, Any]]) -> Town:
        built = [Item(body) for body in objects]
        (namespace,) = find(built, "Namespace")
        around = {**namespace.labels, NAME: namespace.name}
        pods = {item.name: Pod.of(item, around) for item in built if item.template}
        solver = {"acme.cert-manager.io/http01-solver": "true"}
        pods |= {
            "solver": Pod(namespace.name, solver, around, {"http": Port(8089)}),
            "unknown": Pod(namespace.name, {}, around, {}),
        }
        numbers = {n for item in built if item.template for n in container_ports(item)[0]}
        return cls(
            policies=list(find(built, "NetworkPolicy")),
            pods=pods,
            ports=[
                *map(Port, sorted(numbers | {22, 53, 80, 443, 8053, 8089, 65535})),
                *(Port(number, "UDP") for number in (53, 443, 5432, 8053)),
            ],
        )

    def reach(self, source: Endpoint, target: Endpoint) -> list[Port]:
        """Ports of the target that the source may connect to."""
        ends = {Way.EGRESS: source, Way.INGRESS: target}
        policies = [  # the others say nothing of these two, and asking them takes its time
            policy
            for policy in self.policies
            if any(isinstance(end, Pod) and closes(policy, way, end) for way, end in ends.items())
        ]
        return [port for port in self.ports if may_reach(policies, source, target, port)]

    def half(self, way: Way) -> Town:
        """The same where one end alone is closed."""
        policies = [
            Item({**policy.body, "spec": {**policy.spec, "policyTypes": [way.type]}})
            for policy in self.policies
            if way.type in policy.spec["policyTypes"]
        ]
        return Town(policies, self.pods, self.ports)


def elsewhere(namespace: str, **labels: str) -> Pod:
    """A pod of another namespace, where no policy is."""
    known = {key.replace("_", "-"): value for key, value in labels.items()}
    return Pod(namespace, known, {NAME: namespace}, {})


CONTROLLER = elsewhere("ingress-nginx", app="controller")
DNS = elsewhere("kube-system", k8s_app="kube-dns")
STRANGERS: dict[str, Endpoint] = {
    "a pod of the default namespace": elsewhere("default"),
    "a system pod": elsewhere("kube-system", k8s_app="metrics-server"),
    "another namespace's DNS": elsewhere("default", k8s_app="kube-dns"),
    "who takes the client labels on elsewhere": Pod(
        "default",
        {f"tenantry.dev/reaches-{name}": "true" for name in COMPONENTS},
        {NAME: "default"},
    ),
    "a node": ip_address("192.168.1.10"),
    "the internet": ip_address("1.1.1.1"),
}


def find_differences(objects: list[dict[str, Any]], plan: str) -> Iterator[str]:
    """Where what is open is not what the tables say."""
    town = Town.of(objects)
    yield from _compare_edges(town)
    yield from _compare_halves(town)
    yield from _compare_names(town)
    yield from _compare_strangers(town)
    yield from _compare_twin(town)
    yield from _compare_addresses(town, plan)


def _compare_edges(town: Town) -> Iterator[str]:
    """Inside the tenant, and from the ingress controller."""
    wanted = {f"{source} {target}" for source, all_ in EDGES.items() for target in all_.split()}
    found = _edges(town, {**town.pods, "ingress controller": CONTROLLER})
    yield from (f"is closed: {edge}" for edge in sorted(wanted - found))
    yield from (f"is open: {edge}" for edge in sorted(found - wanted))


def _compare_halves(town: Town) -> Iterator[str]:
    """Both ends of each edge say it, so that a mistake at one opens nothing."""
    wanted = _edges(town, town.pods)
    for way in Way:
        for edge in sorted(_edges(town.half(way), town.pods) - wanted):
            yield f"is open but for the other end: {edge}"


def _edges(town: Town, sources: dict[str, Pod]) -> set[str]:
    return {
        f"{source} {target}:{port.number}{'/udp' if port.protocol == 'UDP' else ''}"
        for source, target in itertools.product(sources, town.pods)
        if source != target
        for port in town.reach(sources[source], town.pods[target])
    }


def _compare_names(town: Town) -> Iterator[str]:
    """Everybody may ask the cluster's DNS, and NodeLocal DNSCache."""
    local = {Port(53), Port(53, "UDP")}
    cluster = {*local, Port(8053), Port(8053, "UDP")}
    for name, pod in town.pods.items():
        if (found := set(town.reach(pod, DNS))) != cluster:
            yield f"DNS for {name}: {found}"
        if (found := set(town.reach(pod, ip_address("169.254.20.10")))) != local:
            yield f"NodeLocal DNS for {name}: {found}"


def _compare_strangers(town: Town) -> Iterator[str]:
    """Nobody else gets in, and nobody gets out to another pod; the controller neither."""
    for stranger, (name, pod) in itertools.product(STRANGERS, town.pods.items()):
        if town.reach(STRANGERS[stranger], pod):
            yield f"{stranger} reaches {name}"
        if isinstance(STRANGERS[stranger], Pod) and town.reach(pod, STRANGERS[stranger]):
            yield f"{name} reaches {stranger}"
    for name, pod in town.pods.items():
        if town.reach(pod, CONTROLLER):
            yield f"{name} reaches the ingress controller"


def _compare_twin(town: Town) -> Iterator[str]:
    """Another tenant has the same labels, and here not even policies of its own."""
    for (source, near), (target, pod) in itertools.product(town.pods.items(), repeat=2):
        far = Pod(OTHER, pod.labels, {**pod.namespace_labels, NAME: OTHER}, pod.named_ports)
        if town.reach(near, far):
            yield f"{source} reaches another tenant's {target}"
        if town.reach(far, near):
            yield f"another tenant's {target} reaches {source}"


def _compare_addresses(town: Town, plan: str) -> Iterator[str]:
    """Node-RED gets out to public addresses; no pod to any other."""
    calls = town.ports if INTERNET[plan] == "any port" else INTERNET[plan]
    for name, pod in town.pods.items():
        for address in map(ip_address, PUBLIC):
            if town.reach(pod, address) != (calls if name == "node-red" else []):
                yield f"{name} to {address}: {town.reach(pod, address)}"
        for address in (*map(ip_address, NOT_PUBLIC), *METADATA):
            if town.reach(pod, address):
                yield f"{name} reaches {address}"


def built(plan: str, state: State = State.ACTIVE) -> list[dict[str, Any]]:
    return Built(TEMPLATES, plan, state).objects


@pytest.mark.parametrize("plan", INTERNET)
def test_what_is_open_is_what_the_tables_say(plan: str) -> None:
    assert list(find_differences(built(plan), plan)) == []


@pytest.mark.parametrize(("plan", "state"), list(itertools.product(INTERNET, State)))
def test_no_state_opens_anything(plan: str, state: State) -> None:
    active, other = Town.of(built(plan)), Town.of(built(plan, state))
    assert other.policies == active.policies
    assert {name: (pod.labels, pod.named_ports) for name, pod in other.pods.items()} == {
        name: (pod.labels, pod.named_ports) for name, pod in active.pods.items()
    }


def test_tables_tell_of_every_component() -> None:
    assert set(Town.of(built("starter")).pods) == {*COMPONENTS, "solver", "unknown"}


def test_policies_have_both_ends() -> None:
    """No policy is about pods that nobody has, or ports that those do not have."""
    town = Town.of(built("starter"))
    for policy in town.policies:
        selected = _matching(town, policy.spec["podSelector"])
        assert selected, policy.name
        for rule in Way.INGRESS.rules(policy):
            _has_ports(selected, rule)
            assert all(_matching(town, peer) for peer in _near(rule, Way.INGRESS)), policy.name
        for rule in Way.EGRESS.rules(policy):
            for peer in _near(rule, Way.EGRESS):
                _has_ports(_matching(town, peer), rule)


def _near(rule: Tree, way: Way) -> list[Any]:
    """Selectors of pods of the tenant's own."""
    return [
        peer["podSelector"]
        for peer in items(rule, way.value)
        if "namespaceSelector" not in peer and "ipBlock" not in peer
    ]


def _has_ports(targets: list[Pod], rule: Tree) -> None:
    assert targets
    for port, target in itertools.product(items(rule, "ports"), targets):
        numbers = {known.number for known in target.named_ports.values()}
        assert port["port"] in numbers | set(target.named_ports)


def test_labels_of_clients_are_of_some_use() -> None:
    objects = built("starter")
    used = {
        key
        for body in objects
        if body["kind"] == "NetworkPolicy"
        for key in tree(body, "spec", "podSelector", "matchLabels")
    }
    for pod in Town.of(objects).pods.values():
        assert {key for key in pod.labels if key.startswith("tenantry.dev/")} <= used


def _matching(town: Town, selector: Any) -> list[Pod]:
    return [pod for pod in town.pods.values() if selects(selector, pod.labels)]


# What must be noticed: a name, what is done to the policies by name, and whether every vendor's
# overlay is refused for it (the tables are the sample product's alone)
Policies = dict[str, dict[str, Any]]
MUTATIONS: dict[str, tuple[Callable[[Policies], Any], bool]] = {
    "no default-deny": (lambda p: p.pop("default-deny"), True),
    "default-deny of some": (
        lambda p: p["default-deny"].update(podSelector={"matchLabels": {"a": "b"}}),
        True,
    ),
    "no dns": (lambda p: p.pop("dns"), False),
    "any namespace's dns": (
        lambda p: p["dns"]["egress"][0]["to"][0].update(namespaceSelector={}),
        True,
    ),
    "any pod as dns": (lambda p: p["dns"]["egress"][0]["to"][0].pop("podSelector"), False),
    "any port of dns": (lambda p: p["dns"]["egress"][0].pop("ports"), False),
    "NodeLocal at any address": (
        lambda p: p["dns"]["egress"][1]["to"][0]["ipBlock"].update(cidr="169.254.0.0/16"),
        True,
    ),
    "anybody at an ingress": (lambda p: p["from-ingress"]["ingress"][0].pop("from"), True),
    "all pods from the ingress": (lambda p: p["from-ingress"].update(podSelector={}), False),
    "any port from the ingress": (lambda p: p["from-ingress"]["ingress"][0].pop("ports"), False),
    "any namespace as ingress": (
        lambda p: p["from-ingress"]["ingress"][0].update({"from": [{"namespaceSelector": {}}]}),
        True,
    ),
    "another tenant as ingress": (
        lambda p: p["from-ingress"]["ingress"][0].update(
            {"from": [{"namespaceSelector": {"matchLabels": {NAME: OTHER}}}]}
        ),
        True,
    ),
    "no solver": (lambda p: p.pop("acme-solver"), False),
    "clients of any label": (
        lambda p: p["to-postgres"]["ingress"][0].update({"from": [{"podSelector": {}}]}),
        False,
    ),
    "clients of any namespace": (
        lambda p: p["to-postgres"]["ingress"][0]["from"][0].update(namespaceSelector={}),
        True,
    ),
    "one end only": (lambda p: p.pop("reaches-influxdb"), False),
    "the other end only": (lambda p: p.pop("to-influxdb"), False),
    "way out for all": (lambda p: p["node-red-out"].update(podSelector={}), False),
    "way out to anywhere": (lambda p: p["node-red-out"]["egress"][0].pop("to"), True),
    "way out by any port": (lambda p: p["node-red-out"]["egress"][0].pop("ports"), False),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_is_noticed(name: str) -> None:
    change, refused = MUTATIONS[name]
    objects = copy.deepcopy(built("starter"))
    policies = {b["metadata"]["name"]: b["spec"] for b in objects if b["kind"] == "NetworkPolicy"}
    change(policies)
    kept = [b for b in objects if b["kind"] != "NetworkPolicy" or b["metadata"]["name"] in policies]
    assert next(find_differences(kept, "starter"), None)
    assert bool(check_isolation([Item(body) for body in kept])) is refused


def test_each_exception_of_the_way_out_is_needed() -> None:
    objects = copy.deepcopy(built("enterprise"))
    (out,) = [body for body in objects if body["metadata"]["name"] == "node-red-out"]
    for peer in out["spec"]["egress"][0]["to"]:
        complete = peer["ipBlock"]["except"]
        for excepted in complete:
            peer["ipBlock"]["except"] = [other for other in complete if other != excepted]
            town = Town.of(objects)
            town = replace(town, pods={"node-red": town.pods["node-red"]})
            assert next(_compare_addresses(town, "enterprise"), None), excepted
        peer["ipBlock"]["except"] = complete


def test_what_a_reviewer_puts_beside_is_looked_at_too(tmp_path: Path) -> None:
    tenant = spec()
    folder = write_repository(tmp_path, tenant) / naming.folder(tenant.name)
    for name, content in rendered(tenant, has_local=True).items():
        (folder / name).write_bytes(content)
    (folder / "local").mkdir()
    (folder / "local" / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [open.yaml]\n"
    )
    (folder / "local" / "open.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: open}\n"
        "spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}\n"
    )
    objects = Kustomize(require("kustomize")).build(folder)
    (problem,) = check(tenant, objects)
    assert problem.startswith("NetworkPolicy/open: has a rule without `to`")
