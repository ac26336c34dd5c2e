"""Who may talk to whom, as NetworkPolicies say: the rules of networking.k8s.io/v1, and no others.

A policy closes the pods that it selects, one way or both, and opens what its rules name. Policies
add up; a pod that none selects is open; both ends of a connection must let it. An `ipBlock` is
about addresses, and a pod is not known by one: whoever wonders whether a block reaches pods asks
for their addresses. What a pod says to itself, or exchanges with its own node, is never closed, and
is not asked about here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from tenantry.core.objects.item import Item, Tree, items, texts, tree

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Way(Enum):
    """A way that a policy can close; the value is the name of the peers in its rules."""

    INGRESS = "from"
    EGRESS = "to"

    @property
    def type(self) -> str:
        """As `policyTypes` has it."""
        return self.name.capitalize()

    def rules(self, policy: Item) -> list[Tree]:
        return items(policy.spec, self.name.lower())


@dataclass(frozen=True)
class Port:
    """What a connection is made to."""

    number: int
    protocol: str = "TCP"


@dataclass(frozen=True)
class Pod:
    """A pod, as far as policies can tell pods apart."""

    namespace: str
    labels: Tree
    namespace_labels: Tree = field(default_factory=dict)
    named_ports: Mapping[str, Port] = field(default_factory=dict)

    @classmethod
    def of(cls, workload: Item, namespace_labels: Tree) -> Pod:
        """A pod of the workload."""
        return cls(
            namespace=workload.namespace or "",
            labels=tree(workload.template, "metadata", "labels"),
            namespace_labels=namespace_labels,
            named_ports=dict(_named_ports(workload)),
        )


Endpoint = Pod | Address


def may_reach(policies: Sequence[Item], source: Endpoint, target: Endpoint, port: Port) -> bool:
    """Whether `source` may connect to `port` of `target`."""
    return all(
        _lets(policies, way, subject, peer, target, port)
        for way, subject, peer in (
            (Way.EGRESS, source, target),
            (Way.INGRESS, target, source),
        )
    )


def lets_somebody_in(policies: Sequence[Item], pod: Pod, port: int | str) -> bool:
    """Whether a rule opens the pod's port, given by number or name, to anybody at all."""
    wanted = Port(port) if isinstance(port, int) else pod.named_ports.get(str(port))
    return wanted is not None and any(
        _opens(rule, pod, wanted)
        for policy in policies
        if closes(policy, Way.INGRESS, pod)
        for rule in Way.INGRESS.rules(policy)
    )


def closes(policy: Item, way: Way, pod: Pod) -> bool:
    """Whether the policy selects the pod and is about this way."""
    return (
        policy.namespace == pod.namespace
        and way.type in _types(policy)
        and selects(policy.spec.get("podSelector"), pod.labels)
    )


def selects(selector: Any, labels: Tree) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    return tree(selector, "matchLabels").items() <= labels.items() and all(
        _expression_holds(expression, labels) for expression in items(selector, "matchExpressions")
    )


def read_block(peer: Tree) -> tuple[Network, list[Network]] | None:
    """The addresses of a peer's `ipBlock`, and those among them that are excepted; None where the
    peer has none. ValueError for what is no network.
    """
    block = tree(peer, "ipBlock")
    if not block:
        return None
    return _network(block.get("cidr")), [_network(text) for text in texts(block.get("except"))]


def _lets(
    policies: Sequence[Item],
    way: Way,
    subject: Endpoint,
    peer: Endpoint,
    target: Endpoint,
    port: Port,
) -> bool:
    """Whether the subject's end is open for a connection from or to the peer."""
    if not isinstance(subject, Pod):
        return True
    closing = [policy for policy in policies if closes(policy, way, subject)]
    return not closing or any(
        _names(rule, way, peer, policy.namespace) and _opens(rule, target, port)
        for policy in closing
        for rule in way.rules(policy)
    )


def _types(policy: Item) -> list[str]:
    """What is not said is `Ingress`, and `Egress` where there is a rule for it."""
    return texts(policy.spec.get("policyTypes")) or [
        "Ingress",
        *(["Egress"] if Way.EGRESS.rules(policy) else []),
    ]


def _names(rule: Tree, way: Way, endpoint: Endpoint, namespace: str | None) -> bool:
    """Whether the peers of a rule include the endpoint; none at all are everybody."""
    if not rule.get(way.value):
        return True
    if isinstance(endpoint, Pod):
        return any(_is_pod(peer, endpoint, namespace) for peer in items(rule, way.value))
    return any(_holds(peer, endpoint) for peer in items(rule, way.value))


def _is_pod(peer: Tree, pod: Pod, namespace: str | None) -> bool:
    """Pods of the policy's own namespace, or of those that the peer selects."""
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    if spaces is None and pods is None:
        return False
    near = pod.namespace == namespace if spaces is None else selects(spaces, pod.namespace_labels)
    return near and (pods is None or selects(pods, pod.labels))


def _holds(peer: Tree, address: Address) -> bool:
    try:
        block = read_block(peer)
    except ValueError:
        return False
    return (
        block is not None
        and address in block[0]
        and not any(address in excepted for excepted in block[1])
    )


def _opens(rule: Tree, target: Endpoint, port: Port) -> bool:
    """Whether the ports of a rule include the port; none at all are all."""
    return not rule.get("ports") or any(
        _is_port(entry, target, port) for entry in items(rule, "ports")
    )


def _is_port(entry: Tree, target: Endpoint, port: Port) -> bool:
    if entry.get("protocol", "TCP") != port.protocol:
        return False
    first = entry.get("port")
    if isinstance(first, str):  # what it means, the pod that is connected to says
        return isinstance(target, Pod) and target.named_ports.get(first) == port
    if isinstance(first, int):
        return port.number in range(first, int(entry.get("endPort", first)) + 1)
    return first is None


def _expression_holds(expression: Tree, labels: Tree) -> bool:
    key, values = str(expression.get("key")), texts(expression.get("values"))
    match expression.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def _named_ports(workload: Item) -> Iterator[tuple[str, Port]]:
    for container in workload.containers:
        for port in items(container, "ports"):
            number = port.get("containerPort")
            if isinstance(number, int) and "name" in port:
                yield str(port["name"]), Port(number, str(port.get("protocol", "TCP")))


def _network(text: Any) -> Network:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no network")
    return ip_network(text, strict=False)
