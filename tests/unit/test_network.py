"""The evaluator of NetworkPolicies: each rule of the API, and any policies against a second reading
that is as naive as can be.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.core.objects.item import Item
from tenantry.core.objects.network import Endpoint, Pod, Port, may_reach

HOME, AWAY = "home", "away"
SPACES = {HOME: {"space": "home"}, AWAY: {"space": "away", "extra": "x"}}


def pod(app: str, namespace: str = HOME, **named: int) -> Pod:
    ports = {name: Port(number) for name, number in named.items()}
    return Pod(namespace, {"app": app}, SPACES[namespace], ports)


A, B = pod("a"), pod("b", http=80)
FAR = pod("a", AWAY)
OUTSIDE = ip_address("192.0.2.7")
ALL: dict[str, Any] = {}


def policy(namespace: str = HOME, **spec: Any) -> Item:
    return Item(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "p", "namespace": namespace},
            "spec": {"podSelector": {}, **spec},
        }
    )


def labels(**wanted: str) -> dict[str, Any]:
    return {"matchLabels": wanted}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    found = {"key": key, "operator": operator}
    return {"matchExpressions": [{**found, "values": list(values)} if values else found]}


def lets_in(*peers: Any, ports: Any = None) -> Item:
    """Closes B, but for the peers."""
    rule = {"from": list(peers)} if ports is None else {"from": list(peers), "ports": ports}
    return policy(podSelector=labels(app="b"), ingress=[rule])


DENY_IN = policy(policyTypes=["Ingress"])
DENY_OUT = policy(policyTypes=["Egress"])
OUT = policy(policyTypes=["Egress"], egress=[{}])


@pytest.mark.parametrize(
    ("policies", "source", "target", "expected"),
    [
        pytest.param([], A, B, True, id="open where no policy is"),
        pytest.param([DENY_IN], A, B, False, id="in is closed"),
        pytest.param([DENY_IN], B, FAR, True, id="only in, and only at home"),
        pytest.param([DENY_IN], A, OUTSIDE, True, id="in says nothing of out"),
        pytest.param([DENY_OUT], A, B, False, id="out is closed"),
        pytest.param([DENY_OUT], FAR, B, True, id="out says nothing of in"),
        pytest.param([DENY_OUT, OUT], A, B, True, id="policies add up"),
        pytest.param([DENY_IN, OUT], A, B, False, id="both ends must open"),
        pytest.param([policy(AWAY, policyTypes=["Ingress"])], A, B, True, id="not of the pod"),
        pytest.param([policy(podSelector=labels(app="a"))], A, B, True, id="not selected"),
        pytest.param([policy(podSelector=labels(app="b"))], A, B, False, id="selected"),
        # policyTypes
        pytest.param([policy()], A, OUTSIDE, True, id="by default, in alone"),
        pytest.param([policy()], OUTSIDE, A, False, id="by default, in"),
        pytest.param([policy(egress=[])], A, OUTSIDE, True, id="no rule is no reason for out"),
        pytest.param(
            [policy(egress=[{"ports": [{"port": 1}]}])], A, OUTSIDE, False,
            id="by default, out as well where there is a rule",
        ),
        pytest.param(
            [policy(policyTypes=["Egress"], ingress=[], egress=[{}])], OUTSIDE, A, True,
            id="rules do not count for a way that is not named",
        ),
        # peers
        pytest.param([policy(ingress=[{}])], FAR, A, True, id="no peers are everybody"),
        pytest.param([policy(ingress=[{"from": []}])], OUTSIDE, A, True, id="empty peers too"),
        pytest.param([lets_in({"podSelector": ALL})], A, B, True, id="all pods at home"),
        pytest.param([lets_in({"podSelector": ALL})], FAR, B, False, id="not those elsewhere"),
        pytest.param([lets_in({"podSelector": ALL})], OUTSIDE, B, False, id="no address is a pod"),
        pytest.param([lets_in({"namespaceSelector": ALL})], FAR, B, True, id="all namespaces"),
        pytest.param(
            [lets_in({"namespaceSelector": labels(space="home")})], FAR, B, False,
            id="another namespace",
        ),
        pytest.param(
            [lets_in({"namespaceSelector": labels(space="away"), "podSelector": labels(app="b")})],
            FAR, B, False, id="namespace and pod, both",
        ),
        pytest.param(
            [lets_in({"namespaceSelector": labels(space="away")}, {"podSelector": labels(app="")})],
            FAR, B, True, id="namespace or pod, as two peers",
        ),
        pytest.param([lets_in({})], A, B, False, id="a peer that is nobody"),
        # expressions
        pytest.param(
            [lets_in({"podSelector": expression("app", "In", "a", "c")})], A, B, True, id="In"
        ),
        pytest.param(
            [lets_in({"podSelector": expression("app", "In", "c")})], A, B, False, id="not In"
        ),
        pytest.param(
            [lets_in({"podSelector": expression("none", "NotIn", "x")})], A, B, True,
            id="NotIn holds where the label is not there",
        ),
        pytest.param(
            [lets_in({"podSelector": expression("app", "NotIn", "a")})], A, B, False, id="NotIn"
        ),
        pytest.param([lets_in({"podSelector": expression("app", "Exists")})], A, B, True, id="has"),
        pytest.param(
            [lets_in({"namespaceSelector": expression("extra", "DoesNotExist")})], FAR, B, False,
            id="DoesNotExist",
        ),
        pytest.param(
            [lets_in({"podSelector": {**labels(app="a"), **expression("b", "Exists")}})],
            A, B, False, id="labels and expressions, both",
        ),
        # blocks
        pytest.param(
            [lets_in({"ipBlock": {"cidr": "192.0.2.0/24"}})], OUTSIDE, B, True, id="addresses"
        ),
        pytest.param([lets_in({"ipBlock": {"cidr": "0.0.0.0/0"}})], A, B, False, id="not of pods"),
        pytest.param([lets_in({"ipBlock": {"cidr": "::/0"}})], OUTSIDE, B, False, id="IPv6"),
        pytest.param(
            [lets_in({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.0/28"]}})],
            OUTSIDE, B, False, id="excepted",
        ),
        pytest.param(
            [lets_in({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.0/29"]}},
                     {"ipBlock": {"cidr": "192.0.2.7/32"}})],
            OUTSIDE, B, True, id="excepted here, let in there",
        ),
        pytest.param([lets_in({"ipBlock": {"cidr": "no"}})], OUTSIDE, B, False, id="no block"),
    ],
)  # fmt: skip
def test_who(policies: list[Item], source: Endpoint, target: Endpoint, expected: bool) -> None:
    assert may_reach(policies, source, target, Port(80)) is expected


@pytest.mark.parametrize(
    ("ports", "port", "expected"),
    [
        ([], Port(7), True),
        ([{}], Port(7), True),
        ([{}], Port(7, "UDP"), False),
        ([{"protocol": "UDP"}], Port(7, "UDP"), True),
        ([{"port": 80}], Port(80), True),
        ([{"port": 80}], Port(81), False),
        ([{"port": 80}], Port(80, "UDP"), False),
        ([{"port": 80, "protocol": "UDP"}], Port(80, "UDP"), True),
        ([{"port": 1}, {"port": 80}], Port(80), True),
        ([{"port": 80, "endPort": 90}], Port(90), True),
        ([{"port": 80, "endPort": 90}], Port(91), False),
        ([{"port": 80, "endPort": 90}], Port(79), False),
        ([{"port": "http"}], Port(80), True),
        ([{"port": "http"}], Port(81), False),
        ([{"port": "http", "protocol": "UDP"}], Port(80, "UDP"), False),
        ([{"port": "other"}], Port(80), False),
    ],
)
def test_which_port(ports: list[Any], port: Port, expected: bool) -> None:
    assert may_reach([lets_in({"podSelector": {}}, ports=ports)], A, B, port) is expected


def test_name_of_a_port_is_the_targets_on_the_way_out_too() -> None:
    out = policy(
        policyTypes=["Egress"],
        egress=[{"to": [{"podSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}],
                 "ports": [{"port": "http"}]}],
    )  # fmt: skip
    assert may_reach([out], A, B, Port(80))
    assert not may_reach([out], B, A, Port(80))  # a has no port of that name
    assert not may_reach([out], A, OUTSIDE, Port(80))  # addresses have no names for ports


def test_pod_of_a_workload() -> None:
    container = {"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "x"}]}
    workload = Item(
        {
            "kind": "StatefulSet",
            "metadata": {"name": "s", "namespace": HOME, "labels": {"app": "not the pod's"}},
            "spec": {
                "template": {
                    "metadata": {"labels": {"app": "s"}},
                    "spec": {"containers": [container]},
                }
            },
        }
    )
    assert Pod.of(workload, {"a": "b"}) == Pod(
        HOME, {"app": "s"}, {"a": "b"}, {"dns": Port(53, "UDP")}
    )


# A second reading: every policy is written out as the connections that it opens in a small world.

_PODS = [Pod(space, {"app": app}, SPACES[space], {"http": Port(number)})
         for space in SPACES for app, number in (("a", 1), ("b", 2))]  # fmt: skip
_WORLD: list[Endpoint] = [*_PODS, ip_address("10.0.0.1"), ip_address("10.0.0.2")]
_PORTS = [Port(number, protocol) for number in (1, 2, 3) for protocol in ("TCP", "UDP")]

_SELECTORS = st.sampled_from(
    [{}, labels(app="a"), labels(app="b"), expression("app", "In", "a", "b"),
     expression("app", "NotIn", "a"), expression("app", "Exists")]
)  # fmt: skip
_SPACES = st.sampled_from(
    [{}, labels(space="home"), expression("extra", "Exists"), expression("extra", "DoesNotExist")]
)
_PEERS = st.one_of(
    st.builds(lambda pods: {"podSelector": pods}, _SELECTORS),
    st.builds(lambda spaces: {"namespaceSelector": spaces}, _SPACES),
    st.builds(
        lambda spaces, pods: {"namespaceSelector": spaces, "podSelector": pods}, _SPACES, _SELECTORS
    ),
    st.sampled_from(
        [{"ipBlock": {"cidr": "10.0.0.0/24"}}, {"ipBlock": {"cidr": "10.0.0.1/32"}},
         {"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.1/32"]}}]
    ),
)  # fmt: skip
_ENTRIES = st.sampled_from(
    [{}, {"port": 1}, {"port": 2, "protocol": "UDP"}, {"port": 1, "endPort": 2}, {"port": "http"}]
)


def _rules(peers: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    rule = st.fixed_dictionaries(
        {},
        optional={peers: st.lists(_PEERS, max_size=2), "ports": st.lists(_ENTRIES, max_size=2)},
    )
    return st.lists(rule, max_size=2)


_POLICIES = st.builds(
    policy,
    st.sampled_from([HOME, AWAY]),
    podSelector=_SELECTORS,
    ingress=_rules("from"),
    egress=_rules("to"),
    policyTypes=st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"], []]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_POLICIES, max_size=4))
def test_any_policies_mean_what_the_naive_reading_says(policies: list[Item]) -> None:
    bodies = [found.body for found in policies]
    for source, target in itertools.permutations(_WORLD, 2):
        for port in _PORTS:
            expected = _naive_end(bodies, "egress", source, target, target, port) and _naive_end(
                bodies, "ingress", target, source, target, port
            )
            assert may_reach(policies, source, target, port) is expected


def _naive_end(
    bodies: Sequence[Any], way: str, at: Endpoint, peer: Endpoint, target: Endpoint, port: Port
) -> bool:
    closed = opened = False
    for body in bodies:
        spec = body["spec"]
        types = spec["policyTypes"] or (["Ingress", "Egress"] if spec["egress"] else ["Ingress"])
        if (
            not isinstance(at, Pod)
            or body["metadata"]["namespace"] != at.namespace
            or way not in [name.lower() for name in types]
            or at.labels["app"] not in _naive_apps(spec["podSelector"])
        ):
            continue
        closed = True
        for rule in spec[way]:
            peers = rule.get("from", []) + rule.get("to", [])
            everybody = [_naive_peers(found, at.namespace) for found in peers] or [_WORLD]
            ports = [_naive_ports(found, target) for found in rule.get("ports", [])] or [_PORTS]
            opened |= any(peer in some for some in everybody) and any(
                port in some for some in ports
            )
    return opened or not closed


def _naive_apps(selector: Any) -> list[str]:
    return {
        str(labels(app="a")): ["a"],
        str(labels(app="b")): ["b"],
        str(expression("app", "NotIn", "a")): ["b"],
    }.get(str(selector), ["a", "b"])


def _naive_peers(peer: Any, home: str) -> list[Endpoint]:
    if "ipBlock" in peer:
        some = ["10.0.0.1", "10.0.0.2"]
        if peer["ipBlock"]["cidr"].endswith("/32"):
            some = ["10.0.0.1"]
        if "except" in peer["ipBlock"]:
            some = ["10.0.0.2"]
        return [ip_address(text) for text in some]
    spaces = [home]
    if "namespaceSelector" in peer:
        spaces = {
            str(labels(space="home")): [HOME],
            str(expression("extra", "Exists")): [AWAY],
            str(expression("extra", "DoesNotExist")): [HOME],
        }.get(str(peer["namespaceSelector"]), [HOME, AWAY])
    apps = _naive_apps(peer.get("podSelector", {}))
    return [pod for pod in _PODS if pod.namespace in spaces and pod.labels["app"] in apps]


def _naive_ports(entry: Any, target: Endpoint) -> list[Port]:
    if entry.get("port") == "http":
        return [target.named_ports["http"]] if isinstance(target, Pod) else []
    numbers = {1: [1], 2: [2], None: [1, 2, 3]}[entry.get("port")]
    if "endPort" in entry:
        numbers = [1, 2]
    return [Port(number, entry.get("protocol", "TCP")) for number in numbers]
