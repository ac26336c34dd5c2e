"""The settings that docs/decisions/0013-traffic.md gives for ingress controllers, tried: a tenant
of such a cell is built, valid and good, and open to that controller (R23, R25).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tenantry.adapters.schemas import load_schemas
from tenantry.core.objects.item import Item, find
from tenantry.core.objects.network import Endpoint, Pod, Port, may_reach
from tenantry.core.overlay import CellFacts
from tenantry.settings import CellSettings, Settings
from tests.built import build, check
from tests.overlays import spec

PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "0013-traffic.md"
BLOCKS = [
    dict(line.split("=", 1) for line in shlex.split(block))
    for block in re.findall(r"```sh\n(TENANTRY_.*?)```", PAGE.read_text(), re.DOTALL)
]
NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Site:
    """A tenant of a cell with some controller."""

    cell: CellSettings
    objects: list[dict[str, Any]]

    def opened(self, source: Endpoint) -> set[str]:
        """Components that the source may connect to, at their port `http`."""
        items = [Item(body) for body in self.objects]
        policies = list(find(items, "NetworkPolicy"))
        pods = {item.name: Pod.of(item, {}) for item in items if item.template}
        return {
            name
            for name, pod in pods.items()
            if may_reach(policies, source, pod, pod.named_ports.get("http", Port(1)))
        }


@pytest.fixture(
    params=BLOCKS, ids=lambda block: block["TENANTRY_CELLS__MAIN__INGRESS_CLASS"], scope="module"
)
def site(request: pytest.FixtureRequest) -> Site:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in request.param.items():
            patch.setenv(name, value)
        cell = Settings().cells["main"]
    facts = CellFacts(
        cell.ingress_class,
        cell.ingress_annotations,
        cell.cluster_issuer,
        cell.ingress_namespace,
        cell.ingress_cidrs,
    )
    return Site(cell, build(spec(), cell=facts))


def test_page_tells_of_three_controllers() -> None:
    classes = [block["TENANTRY_CELLS__MAIN__INGRESS_CLASS"] for block in BLOCKS]
    assert classes == ["nginx", "traefik", "haproxy"]


def test_tenant_is_valid_and_good(site: Site) -> None:
    assert check(spec(), site.objects) == []
    schemas = load_schemas()
    assert schemas
    assert [schemas.find_problem(body) for body in site.objects] == [None] * len(site.objects)


def test_ingress_says_what_the_controller_asks_for(site: Site) -> None:
    (ingress,) = [body for body in site.objects if body["kind"] == "Ingress"]
    annotations = ingress["metadata"]["annotations"]
    assert ingress["spec"]["ingressClassName"] == site.cell.ingress_class
    assert site.cell.ingress_annotations.items() <= annotations.items()
    assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt-prod"


def test_the_cells_controller_gets_in_and_no_other(site: Site) -> None:
    routed = {"api", "grafana", "admin", "nginx"}
    spaces = ["ingress-nginx", "traefik", "haproxy-controller"]
    found = {space: site.opened(Pod(space, {}, {NAME: space})) for space in spaces}
    assert found == {
        space: routed if space == site.cell.ingress_namespace else set() for space in spaces
    }


def test_a_controller_on_the_hosts_network_gets_in_by_its_address(site: Site) -> None:
    on_hosts = site.cell.ingress_class == "haproxy"
    routed = {"api", "grafana", "admin", "nginx"}
    assert site.opened(ip_address("192.0.2.5")) == (routed if on_hosts else set())
    assert site.opened(ip_address("192.0.2.77")) == set()
