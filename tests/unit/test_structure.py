"""A tenant against the shape of its class: only values that may differ, differ (R27)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tenantry.core.model import State
from tenantry.core.objects.checks import Expected
from tenantry.core.overlay import load_templates
from tenantry.core.structure import Shape, check_structure, class_key, find_shape
from tests.overlays import CELL, product, rendered, spec, vendor

WIDE = 'sealedsecrets.bitnami.com/cluster-wide: "true"'
OTHER = spec(
    "zzzzzzzzzz",
    license_id="other",
    company=": -",
    volumes={**spec().volumes, "postgres-data": "9Gi"},
)


@pytest.fixture(scope="module")
def shape() -> Shape:
    found = find_shape(rendered(spec()), vendor().templates)
    assert found
    return found


def problems(files: dict[str, bytes], shape: Shape, tenant: Any = OTHER) -> list[str]:
    expected = Expected.of(tenant, product())
    return [str(problem) for problem in check_structure(files, shape, expected=expected)]


def test_another_tenant_of_the_class_is_good(shape: Shape) -> None:
    assert problems(rendered(OTHER, seed="other"), shape) == []
    assert problems(rendered(spec()), shape, spec()) == []


CHANGES: dict[str, tuple[str, str, str]] = {
    "another namespace": ("kustomization.yaml", "customer-zzzzzzzzzz", "customer-bcdfghjkmn"),
    "system namespace": ("kustomization.yaml", "customer-zzzzzzzzzz", "kube-system"),
    "another platform": ("kustomization.yaml", "platform/v1/base", "platform/v2/base"),
    "another plan": ("kustomization.yaml", "plans/starter", "plans/enterprise"),
    "another state": ("kustomization.yaml", "states/active", "states/deleting"),
    "another license": ("kustomization.yaml", '"other"', '"stale"'),
    "another size": ("kustomization.yaml", '"9Gi"', '"5Gi"'),
    "a size that is none": ("kustomization.yaml", '"9Gi"', '"9Gi\\n"'),
    "key changed": ("kustomization.yaml", "op:", "ops:"),
    "one more key": ("kustomization.yaml", "kind:", 'namePrefix: "x"\nkind:'),
    "a comment": ("kustomization.yaml", "kind:", "# kind\nkind:"),
    "another host": ("ingress.yaml", "cust-zzzzzzzzzz.example.com", "cust-zzzzzzzzzz.example.org"),
    "another's host": ("ingress.yaml", "cust-zzzzzzzzzz.ex", "cust-bcdfghjkmn.ex"),
    "another service": ("ingress.yaml", 'name: "api"', 'name: "postgres"'),
    "another certificate": ("ingress.yaml", "cust-zzzzzzzzzz-tls", "wildcard-tls"),
    "another's certificate": ("ingress.yaml", "cust-zzzzzzzzzz-tls", "cust-bcdfghjkmn-tls"),
    "another source": ("kustomization.yaml", "ingress-nginx", "default"),
    "another path of a patch": ("kustomization.yaml", "/spec/resources/", "/spec/"),
    "another annotation": ("ingress.yaml", "letsencrypt-prod", "letsencrypt-staging"),
    "a port that is text": ("ingress.yaml", "number: 3001", 'number: "3001"'),
    "plain text": ("sealed-secret.yaml", 'JWT_SECRET: "Ag', 'JWT_SECRET: "plain'),
    "another key": ("sealed-secret.yaml", "JWT_SECRET:", "JWT_SECRETS:"),
    "another scope": ("sealed-secret.yaml", "annotations:", f"annotations:\n    {WIDE}"),
    "another label": ("namespace.yaml", 'enforce: "restricted"', 'enforce: "privileged"'),
    "another customer": ("namespace.yaml", "cust-zzzzzzzzzz", "cust-bcdfghjkmn"),
    "not a time": ("namespace.yaml", "2026-11-22T17:09:08Z", "yesterday"),
    "not quoted": ("namespace.yaml", 'kind: "Namespace"', "kind: Namespace"),
    "another plan in the record": ("tenant.json", '"starter"', '"enterprise"'),
    "another name in the record": ("tenant.json", "customer-zzzzzzzzzz", "customer-bcdfghjkmn"),
    "both names in the record": ("tenant.json", "zzzzzzzzzz", "bcdfghjkmn"),
    "another state in the record": ("tenant.json", '"active"', '"suspended"'),
    "a record in another style": ("tenant.json", ",\n", ", "),
    "no newline at the end": ("namespace.yaml", "\n", ""),
    "other line ends": ("namespace.yaml", "\n", "\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(shape: Shape, name: str) -> None:
    file, old, new = CHANGES[name]
    files = rendered(OTHER, seed="other")
    assert old in files[file].decode()
    changed = {**files, file: files[file].decode().replace(old, new).encode()}
    assert problems(changed, shape)


def test_a_cell_with_one_certificate_has_a_shape_of_its_own(shape: Shape) -> None:
    cell = replace(CELL, cluster_issuer="")
    found = find_shape(rendered(spec(), cell=cell), vendor().templates)
    assert found
    assert problems(rendered(OTHER, cell=cell), found) == []
    assert problems(rendered(OTHER, cell=cell), shape)
    assert problems(rendered(OTHER), found)


def test_the_place_is_told(shape: Shape) -> None:
    files = rendered(OTHER)
    files["namespace.yaml"] = files["namespace.yaml"].replace(b"restricted", b"baseline", 1)
    line = 1 + next(
        number
        for number, text in enumerate(files["namespace.yaml"].decode().splitlines())
        if "baseline" in text
    )
    (problem,) = problems(files, shape)
    assert problem.startswith(f"customer-zzzzzzzzzz/namespace.yaml:{line}: is not what its class")


def test_the_same_files_are_needed(shape: Shape) -> None:
    files = rendered(OTHER)
    assert "more.yaml" in problems({**files, "more.yaml": b""}, shape)[0]
    del files["ingress.yaml"]
    assert "ingress.yaml" in problems(files, shape)[0]


def test_values_that_are_not_known_must_still_be_legal(shape: Shape) -> None:
    expected = Expected(OTHER.name, OTHER.customer_id, OTHER.host, OTHER.state)
    files = rendered(OTHER, seed="x")
    assert check_structure(files, shape, expected=expected) == []
    text = files["kustomization.yaml"].decode()
    for old, new in (('"9Gi"', '"9 Gi"'), ('"other"', '"o ther"')):
        spoiled = {**files, "kustomization.yaml": text.replace(old, new).encode()}
        assert check_structure(spoiled, shape, expected=expected)


def test_an_expression_that_mixes_values_is_bound_too() -> None:
    files = dict(vendor().templates.files)
    files["ingress.yaml"] = files["ingress.yaml"].replace(
        "name: iotistic-ingress", "name: \"{{ tenant.name ~ '-x' }}\""
    )
    templates = load_templates(files, product())
    good = find_shape(rendered(spec()), templates)
    assert good
    foreign = rendered(OTHER)
    text = foreign["ingress.yaml"].decode().replace("iotistic-ingress", "cust-bcdfghjkmn-x")
    assert problems({**foreign, "ingress.yaml": text.encode()}, good) == [
        "customer-zzzzzzzzzz/ingress.yaml: names another tenant: cust-bcdfghjkmn"
    ]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tenant.json", b"{}"), ("namespace.yaml", b"a: ["), ("namespace.yaml", b"a: \xff"),
        ("kustomization.yaml", b"[]"), ("kustomization.yaml", b"kind: x"),
    ],
)  # fmt: skip
def test_what_is_not_written_by_the_templates_has_no_shape(file: str, content: bytes) -> None:
    assert find_shape({**rendered(spec()), file: content}, vendor().templates) is None


def test_what_is_written_differently_matches_nobody(shape: Shape) -> None:
    files = rendered(spec())
    files["namespace.yaml"] += b"# a comment\n"
    odd = find_shape(files, vendor().templates)
    assert odd is None or problems(files, odd, spec())


def test_classes_are_told_apart_by_all_that_shapes_them() -> None:
    def key(platform_tree: str = "t", has_local: bool = False, **changes: Any) -> str:
        return class_key(
            spec(**changes),
            templates=vendor().templates,
            platform_tree=platform_tree,
            has_local=has_local,
        )

    others = [
        key(platform_tree="u"), key(has_local=True), key(plan="enterprise"),
        key(state=State.SUSPENDED), key(platform="v2"), key(volumes={}),
    ]  # fmt: skip
    assert len({key(), *others}) == 7
    assert key() == class_key(
        OTHER, templates=vendor().templates, platform_tree="t", has_local=False
    )
