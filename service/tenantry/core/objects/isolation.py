"""What the NetworkPolicies of a tenant must hold back, whatever else they open (R25).

Asked of every overlay, so also of what reviewers put into `local/`: every pod is closed both ways,
nobody gets in from everywhere, nothing leads to another tenant, and nothing to the address at which
clouds hand out credentials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from tenantry.core.objects.item import Item, Tree, find, items, texts, tree
from tenantry.core.objects.network import Network, Pod, Way, closes, read_block
from tenantry.core.overlay import NAMESPACE_NAME
from tenantry.core.problem import Problem

# where clouds tell a machine who it is, and give it credentials
METADATA = tuple(
    ip_address(text)
    for text in (
        "169.254.169.254",  # nearly all
        "169.254.170.2",  # AWS: tasks of ECS
        "169.254.170.23",  # AWS: pod identities of EKS
        "169.254.0.23",  # Tencent Cloud
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud Classic
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS: pod identities of EKS
        "fd20:ce::254",  # Google Cloud
        "fd00:42::42",  # Scaleway
        "fe80::a9fe:a9fe",  # OpenStack
        "::ffff:169.254.169.254",  # the first one, as IPv6 can spell it
        "64:ff9b::169.254.169.254",  # and as NAT64 reaches it
    )
)
# where clusters have their pods, so other tenants'; which part of it, only the cluster knows
_PRIVATE = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
)
_SMALLEST_PREFIX = 8  # bits; whoever lets in more than that lets in everybody
_TENANTS = "customer-"  # what the namespaces of tenants begin with


def check_isolation(objects: Sequence[Item]) -> list[Problem]:
    """Pods that are open, and rules that open too much."""
    policies = list(find(objects, "NetworkPolicy"))
    return [
        *_check_closed(objects, policies),
        *(problem for policy in policies for problem in _check_rules(policy)),
    ]


def _check_closed(objects: Sequence[Item], policies: Sequence[Item]) -> Iterator[Problem]:
    pods = [(item.where, Pod.of(item, {})) for item in objects if item.template]
    # cert-manager's solver, or a Job by hand: what no object tells of is closed too
    pods += [("any other pod", Pod(item.name, {})) for item in find(objects, "Namespace")]
    for way in Way:
        opened = [
            where for where, pod in pods if not any(closes(policy, way, pod) for policy in policies)
        ]
        if opened:
            yield Problem(
                "NetworkPolicy",
                f"none closes the {way.name.lower()} of {', '.join(opened)}",
                "one with podSelector: {} and policyTypes: [Ingress, Egress] closes all",
            )


def _check_rules(policy: Item) -> Iterator[Problem]:
    for way in Way:
        for rule in way.rules(policy):
            if not items(rule, way.value):
                yield Problem(
                    policy.where,
                    f"has a rule without `{way.value}`, which is about everybody",
                    "name pods, a namespace or addresses",
                )
            for peer in items(rule, way.value):
                yield from _check_spaces(policy, peer)
                yield from _check_block(policy, way, peer)


def _check_spaces(policy: Item, peer: Tree) -> Iterator[Problem]:
    if peer.get("namespaceSelector") is None:
        return
    names = list(_names(tree(peer, "namespaceSelector")))
    if not names:
        yield Problem(
            policy.where,
            "selects namespaces by something else than their name, so maybe another tenant's",
            f"name them by the label {NAMESPACE_NAME}, which the API server alone sets",
        )
    for name in names:
        if name.startswith(_TENANTS) and name != policy.namespace:
            yield Problem(policy.where, f"names another tenant's namespace: {name}")


def _names(selector: Tree) -> Iterator[str]:
    """Names outside of which the selector matches no namespace."""
    if NAMESPACE_NAME in (labels := tree(selector, "matchLabels")):
        yield str(labels[NAMESPACE_NAME])
    for expression in items(selector, "matchExpressions"):
        if (expression.get("key"), expression.get("operator")) == (NAMESPACE_NAME, "In"):
            yield from texts(expression.get("values"))


def _check_block(policy: Item, way: Way, peer: Tree) -> Iterator[Problem]:
    try:
        found = read_block(peer)
    except ValueError as error:
        yield Problem(policy.where, f"has an ipBlock that is none: {error}")
        return
    if found is None:
        return
    block, excepted = found
    if way is Way.INGRESS and block.prefixlen < _SMALLEST_PREFIX:
        yield Problem(policy.where, f"lets in from everywhere: {block}", "only from the cluster")
    for network in _PRIVATE:
        if _within(network, block) and not any(map(network.overlaps, excepted)):
            yield Problem(
                policy.where,
                f"is about all of {network} by {block}, so maybe about other tenants' pods",
                "narrow it, or except the addresses of the cluster's pods",
            )
    for address in METADATA if way is Way.EGRESS else ():
        if address in block and not any(address in network for network in excepted):
            yield Problem(
                policy.where, f"leads to the cloud's metadata, {address}", f"except {address}"
            )


def _within(network: Network, block: Network) -> bool:
    return (
        network.version == block.version
        and network.prefixlen >= block.prefixlen
        and network.network_address in block
    )
