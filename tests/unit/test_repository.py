"""argocd/ of a tenants repository: complete, and no wider than the checks."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry import assets
from tenantry.core.checks import ALLOWED_KINDS
from tenantry.core.document import load
from tenantry.core.errors import ProductError
from tenantry.core.repository import render_argocd

URL = "https://git.example.com/acme/tenants.git"
# made by what tenants have, and hidden in Argo CD's resource tree unless listed
SEEN_ONLY = {"Pod", "ReplicaSet", "ControllerRevision", "Endpoints", "EndpointSlice"}
SEEN_ONLY |= {"CertificateRequest"}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {
        path.name: path.read_text("utf-8") for path in (assets.path("tenants") / "argocd").iterdir()
    }


@pytest.fixture(scope="module")
def trees(texts: dict[str, str]) -> dict[str, Any]:
    rendered = render_argocd(texts, repository_url=URL)
    return {name: load(content, name) for name, content in rendered.items()}


def test_the_url_is_in_its_three_places(trees: dict[str, Any]) -> None:
    assert set(trees) == {"appproject.yaml", "applicationset.yaml"}
    spec = trees["applicationset.yaml"]["spec"]
    assert trees["appproject.yaml"]["spec"]["sourceRepos"] == [URL]
    assert spec["generators"][0]["git"]["repoURL"] == URL
    assert spec["template"]["spec"]["source"]["repoURL"] == URL


def test_nothing_else_changes(texts: dict[str, str], trees: dict[str, Any]) -> None:
    again = render_argocd(texts, repository_url="")
    for name, content in again.items():
        stored = load(texts[name], name)
        if name == "appproject.yaml":
            stored["spec"]["sourceRepos"] = [""]
        assert load(content, name) == stored


def test_argo_cds_own_templates_arrive_as_they_are(trees: dict[str, Any]) -> None:
    template = trees["applicationset.yaml"]["spec"]["template"]
    assert template["metadata"]["name"] == "{{ .name }}"
    assert template["spec"]["source"]["path"] == "{{ .path.path }}"


def test_the_application_set_never_deletes_and_its_project_is_fixed(trees: dict[str, Any]) -> None:
    spec = trees["applicationset.yaml"]["spec"]
    assert spec["syncPolicy"] == {"applicationsSync": "create-update"}
    assert spec["goTemplateOptions"] == ["missingkey=error"]
    assert spec["template"]["spec"]["project"] == "tenants"


def test_the_project_allows_what_the_checks_allow_and_what_comes_of_it(
    trees: dict[str, Any],
) -> None:
    spec = trees["appproject.yaml"]["spec"]
    kinds = {(rule["group"], rule["kind"]) for rule in spec["namespaceResourceWhitelist"]}
    assert kinds >= ALLOWED_KINDS
    assert {kind for _, kind in kinds - ALLOWED_KINDS} == SEEN_ONLY
    assert spec["clusterResourceWhitelist"] == [
        {"group": "", "kind": "Namespace", "name": "customer-*"}
    ]
    assert [rule["namespace"] for rule in spec["destinations"]] == ["customer-*"]


@pytest.mark.parametrize("text", ["a: 1", "- a", "spec: {}", "spec: {generators: 1}"])
def test_a_file_without_a_place_for_the_url_is_refused(text: str) -> None:
    with pytest.raises(ProductError, match="no place"):
        render_argocd({"applicationset.yaml": text}, repository_url=URL)
