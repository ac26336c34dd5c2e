"""What NetworkPolicies must hold back, proven by policies that do not (R25)."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.core.objects.isolation import METADATA, check_isolation
from tenantry.core.objects.item import Item

OWN, OTHER = "customer-bcdfghjkmn", "customer-zzzzzzzzzz"
NAME = "kubernetes.io/metadata.name"
PRIVATE = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
DENY = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def policy(**spec: Any) -> Item:
    metadata = {"name": "p", "namespace": OWN}
    return Item({"kind": "NetworkPolicy", "metadata": metadata, "spec": spec})


def problems(*policies: Item) -> list[str]:
    workload = {"template": {"metadata": {"labels": {"app": "api"}}}}
    objects = [
        Item({"kind": "Namespace", "metadata": {"name": OWN}}),
        Item(
            {
                "kind": "Deployment",
                "metadata": {"name": "api", "namespace": OWN},
                "spec": workload,
            }
        ),
        *policies,
    ]
    return [str(problem) for problem in check_isolation(objects)]


def named(*names: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchExpressions": [
        {"key": NAME, "operator": "In", "values": list(names)}]}}  # fmt: skip


def block(cidr: str, *excepted: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, "except": list(excepted)}}


def test_product_without_any_policy_is_refused_with_the_remedy() -> None:
    ingress, egress = problems()
    assert "closes the ingress of Deployment/api, any other pod" in ingress
    assert "closes the egress of Deployment/api, any other pod" in egress
    assert "podSelector: {} and policyTypes: [Ingress, Egress]" in ingress


def test_closed_namespace_is_good() -> None:
    assert problems(policy(**DENY)) == []


@pytest.mark.parametrize(("way", "other"), [("Ingress", "Egress"), ("Egress", "Ingress")])
def test_all_is_closed_not_only_what_is_known(way: str, other: str) -> None:
    known = policy(podSelector={"matchLabels": {"app": "api"}}, policyTypes=[way])
    (found,) = problems(policy(podSelector={}, policyTypes=[other]), known)
    assert f"closes the {way.lower()} of any other pod" in found


@pytest.mark.parametrize(
    "peer",
    [
        {"podSelector": {}},
        {"podSelector": {"matchLabels": {"app": "api"}}},
        named("ingress-nginx"),
        named("traefik", "monitoring"),
        {"namespaceSelector": {"matchLabels": {NAME: OWN}}, "podSelector": {}},
        block("10.0.0.0/16"),
        block("10.20.30.0/24"),
        block("198.51.100.7/32"),
        block("2001:db8:5::/48"),
        block("10.0.0.0/8", "10.244.0.0/16"),
    ],
)
@pytest.mark.parametrize(("way", "peers"), [("ingress", "from"), ("egress", "to")])
def test_what_a_reviewer_may_open(way: str, peers: str, peer: dict[str, Any]) -> None:
    opened = policy(podSelector={}, policyTypes=[], **{way: [{peers: [peer], "ports": [{}]}]})
    assert problems(policy(**DENY), opened) == []


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ({"namespaceSelector": {}}, "by something else than their name"),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "api"}}}, "by something"),
        ({"namespaceSelector": {"matchLabels": {"customer-id": "cust-z"}}}, "by something else"),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": NAME, "operator": "Exists"}]}},
            "by something else",
        ),
        (named(OTHER), f"another tenant's namespace: {OTHER}"),
        (named("ingress-nginx", OTHER), f"another tenant's namespace: {OTHER}"),
        ({"namespaceSelector": {"matchLabels": {NAME: OTHER}}}, "another tenant's namespace"),
        (block("0.0.0.0/0"), "all of 10.0.0.0/8 by 0.0.0.0/0"),
        (block("10.0.0.0/8"), "all of 10.0.0.0/8"),
        (block("0.0.0.0/1"), "all of 10.0.0.0/8"),
        (block("172.0.0.0/8"), "all of 172.16.0.0/12"),
        (block("::/0"), "all of fd00::/8"),
        (block("fc00::/7"), "all of fd00::/8"),
        (block("everywhere"), "ipBlock that is none"),
        ({"ipBlock": {"cidr": 7}}, "ipBlock that is none"),
        (block("10.1.0.0/16", "x"), "ipBlock that is none"),
    ],
)
@pytest.mark.parametrize(("way", "peers"), [("ingress", "from"), ("egress", "to")])
def test_what_nobody_may_open(way: str, peers: str, peer: dict[str, Any], message: str) -> None:
    opened = policy(podSelector={"matchLabels": {"app": "api"}}, **{way: [{peers: [peer]}]})
    assert message in "\n".join(problems(policy(**DENY), opened))


@pytest.mark.parametrize("rule", [{}, {"ports": [{"port": 80}]}, {"from": []}, {"from": None}])
def test_rule_about_everybody_is_refused(rule: dict[str, Any]) -> None:
    (found,) = problems(policy(**DENY), policy(podSelector={}, ingress=[rule]))
    assert "NetworkPolicy/p: has a rule without `from`" in found
    (found,) = problems(policy(**DENY), policy(podSelector={}, egress=[{"ports": [{"port": 53}]}]))
    assert "has a rule without `to`" in found


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "192.0.0.0/2", "2000::/3", "::/0"])
def test_ingress_from_everywhere_is_refused(cidr: str) -> None:
    everywhere = block(cidr, *(["fd00::/8"] if ":" in cidr else PRIVATE))
    opened = policy(podSelector={}, ingress=[{"from": [everywhere]}])
    assert [text for text in problems(policy(**DENY), opened) if "from everywhere" in text]


@pytest.mark.parametrize("address", METADATA, ids=str)
def test_metadata_is_refused_however_it_is_spelled(address: Any) -> None:
    around = block(f"{address}/{address.max_prefixlen - 3}")
    for peer in (block(f"{address}/{address.max_prefixlen}"), around):
        opened = policy(podSelector={}, egress=[{"to": [peer], "ports": [{"port": 53}]}])
        assert f"leads to the cloud's metadata, {address}" in "\n".join(
            problems(policy(**DENY), opened)
        )
    held_back = block(around["ipBlock"]["cidr"], str(address))
    opened = policy(podSelector={}, policyTypes=["Egress"], egress=[{"to": [held_back]}])
    assert problems(policy(**DENY), opened) == []


def test_probes_may_come_from_where_a_cloud_has_its_metadata() -> None:
    opened = policy(podSelector={}, ingress=[{"from": [block("168.63.129.16/32")]}])
    assert problems(policy(**DENY), opened) == []


def test_public_addresses_may_be_reached() -> None:
    public = block("0.0.0.0/0", *PRIVATE, "168.63.129.16/32", "192.0.0.0/24")
    opened = policy(podSelector={}, egress=[{"to": [public, block("2000::/3")]}])
    assert problems(policy(**DENY), opened) == []
