"""argocd/ of a tenants repository: complete, one set for each shard, no wider than the checks."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.core import naming, shards
from tenantry.core.argocd_files import ArgoCDFacts, render_argocd
from tenantry.core.document import load, load_all
from tenantry.core.errors import ProductError
from tenantry.core.objects.checks import ALLOWED_KINDS
from tests import overlays

URL = "https://git.example.com/acme/tenants.git"
FACTS = ArgoCDFacts(URL, "https://{host}:8443", 64)
# made by what tenants have, and hidden in Argo CD's resource tree unless listed
SEEN_ONLY = {"Pod", "ReplicaSet", "ControllerRevision", "Endpoints", "EndpointSlice"}
SEEN_ONLY |= {"CertificateRequest"}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return overlays.argocd_templates()


@pytest.fixture(scope="module")
def rendered(files: dict[str, bytes]) -> dict[str, bytes]:
    return render_argocd(files, FACTS)


@pytest.fixture(scope="module")
def sets(rendered: dict[str, bytes]) -> list[Any]:
    return load_all(rendered["applicationsets.yaml"], "applicationsets.yaml")


@pytest.fixture(scope="module")
def project(rendered: dict[str, bytes]) -> Any:
    return load(rendered["appproject.yaml"], "appproject.yaml")


def test_each_shard_has_a_set_that_watches_its_own_branch(sets: list[Any]) -> None:
    assert [tree["metadata"]["name"] for tree in sets] == [
        f"tenants-{shard}" for shard in shards.all_shards(64)
    ]
    git = [tree["spec"]["generators"][0]["git"] for tree in sets]
    assert [one["revision"] for one in git[:2]] == ["refs/heads/shard/00", "refs/heads/shard/01"]
    assert _paths(sets[1]) == [
        f"tenants/{prefix}/*/tenant.json" for prefix in ("04", "05", "06", "07")
    ]


@pytest.mark.parametrize("many", [1, 64, 256])
def test_every_folder_is_looked_for_by_exactly_one_set(files: dict[str, bytes], many: int) -> None:
    facts = ArgoCDFacts(URL, "https://{host}", many)
    trees = load_all(render_argocd(files, facts)["applicationsets.yaml"], "")
    asked = [
        each["path"] for tree in trees for each in tree["spec"]["generators"][0]["git"]["files"]
    ]
    assert sorted(asked) == [f"tenants/{prefix:02x}/*/tenant.json" for prefix in range(256)]
    folder = naming.folder("customer-bcdfghjkmn")
    shard = shards.shard_of(folder, many)
    (found,) = [tree for tree in trees if tree["metadata"]["name"] == f"tenants-{shard}"]
    prefix = folder.split("/")[1]
    assert f"tenants/{prefix}/*/tenant.json" in _paths(found)


def test_the_url_is_in_its_places(sets: list[Any], project: Any) -> None:
    assert project["spec"]["sourceRepos"] == [URL]
    for tree in sets:
        assert tree["spec"]["generators"][0]["git"]["repoURL"] == URL
        assert tree["spec"]["template"]["spec"]["source"]["repoURL"] == URL


def test_sets_differ_only_in_name_branch_and_folders(sets: list[Any]) -> None:
    def common(tree: Any) -> Any:
        git = {**tree["spec"]["generators"][0]["git"], "revision": "", "files": []}
        return {
            **tree,
            "metadata": {**tree["metadata"], "name": ""},
            "spec": {**tree["spec"], "generators": [{"git": git}]},
        }

    assert all(common(tree) == common(sets[0]) for tree in sets)


def test_applications_follow_main_and_argo_cds_own_templates_arrive(sets: list[Any]) -> None:
    template = sets[0]["spec"]["template"]
    assert template["metadata"]["name"] == "{{ .name }}"
    assert template["spec"]["source"]["path"] == "{{ .path.path }}"
    assert template["spec"]["source"]["targetRevision"] == "refs/heads/main"
    assert {entry["name"]: entry["value"] for entry in template["spec"]["info"]} == {
        "Company": "{{ .company }}",
        "Customer": "{{ .customer_id }}",
        "Instance": "https://{{ .host }}:8443",
    }


def test_a_set_never_deletes_and_its_project_is_fixed(sets: list[Any]) -> None:
    for tree in sets:
        spec = tree["spec"]
        assert spec["syncPolicy"] == {"applicationsSync": "create-update"}
        # only with this does create-update hold when the set itself is deleted
        assert tree["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
        assert spec["goTemplateOptions"] == ["missingkey=error"]
        assert spec["template"]["spec"]["project"] == "tenants"


def test_the_project_allows_what_the_checks_allow_and_what_comes_of_it(project: Any) -> None:
    spec = project["spec"]
    kinds = {(rule["group"], rule["kind"]) for rule in spec["namespaceResourceWhitelist"]}
    assert kinds >= ALLOWED_KINDS
    assert {kind for _, kind in kinds - ALLOWED_KINDS} == SEEN_ONLY
    assert spec["clusterResourceWhitelist"] == [
        {"group": "", "kind": "Namespace", "name": "customer-*"}
    ]
    assert [rule["namespace"] for rule in spec["destinations"]] == ["customer-*"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("applicationset.yaml", text)
            for text in (b"a: 1", b"- a", b"metadata: {name: a}\nspec: {generators: []}")
        ),
        *(("appproject.yaml", text) for text in (b"a: 1", b"- a", b"spec: 1")),
    ],
)
def test_a_file_without_a_place_for_what_is_the_cells_is_refused(
    files: dict[str, bytes], name: str, text: bytes
) -> None:
    with pytest.raises(ProductError, match=f"{name}.*lacks a place"):
        render_argocd({**files, name: text}, FACTS)


def test_an_application_without_a_link_is_refused(files: dict[str, bytes]) -> None:
    text = files["applicationset.yaml"].replace(b"name: Instance", b"name: Link")
    with pytest.raises(ProductError, match="lacks a place"):
        render_argocd({**files, "applicationset.yaml": text}, FACTS)


def _paths(tree: Any) -> list[str]:
    return [each["path"] for each in tree["spec"]["generators"][0]["git"]["files"]]
