"""Files of configuration get into the pods that are to have them."""

from __future__ import annotations

import pytest
import yaml

from tests.contract.stack.deployment import BASE, CONFIG, mounted

# component: {where its program looks: what is to be there}
PLACES = {
    "postgres": {"/docker-entrypoint-initdb.d": {"postgres/grafana.sql"}},
    "mosquitto": {"/mosquitto/config": {"mosquitto/mosquitto.conf"}},
    "api": {"/etc/api": {"api/nginx.conf"}},
    "node-red": {"/etc/node-red": {"node-red/settings.js"}},
    "grafana": {
        "/etc/grafana/provisioning/datasources": {"grafana/datasources.yaml"},
        "/etc/grafana/provisioning/dashboards": {"grafana/dashboards.yaml"},
        "/var/lib/grafana-dashboards": {"grafana/dashboards/overview.json"},
    },
    "admin": {"/etc/admin": {"admin/nginx.conf", "admin/index.html"}},
    "nginx": {"/etc/nginx/tenant": {"nginx/nginx.conf", "nginx/upstreams.conf"}},
}


def generated() -> dict[str, set[str]]:
    """Files below config/ of each ConfigMap."""
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text("utf-8"))
    return {
        generator["name"]: {name.removeprefix("config/") for name in generator["files"]}
        for generator in kustomization["configMapGenerator"]
    }


@pytest.mark.parametrize("component", PLACES)
def test_each_program_finds_its_files_where_it_looks(component: str) -> None:
    found = {path: generated()[name] for path, name in mounted(component).items()}
    assert found == PLACES[component]


def test_no_file_is_left_behind() -> None:
    files = {str(path.relative_to(CONFIG)) for path in CONFIG.rglob("*") if path.is_file()}
    assert files == set().union(*generated().values())
