"""Sealed secrets as they stand in Git: the product's, with their keys and types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.core.document import load
from tenantry.core.errors import ProductError
from tenantry.core.objects.checks import Expected
from tenantry.core.objects.item import Item
from tenantry.core.objects.sealed import check_sealed
from tenantry.core.overlay import load_templates, render
from tenantry.core.pull_secret import KEY, TYPE, check_credentials
from tenantry.core.structure import check_structure, find_shape
from tests.overlays import CELL, PULL_SECRET, ciphertext, product, spec, vendor

PRIVATE = product().model_copy(update={"pull_secret": "acme-registry"})
TEMPLATES = load_templates({**vendor().templates.files, "pull-secret.yaml": PULL_SECRET}, PRIVATE)


def files(key: str, *, seed: str = "") -> dict[str, bytes]:
    """A tenant's files, with both secrets."""
    sealed = {name: ciphertext(f"{seed}{name}") for name in PRIVATE.sealed_keys}
    return render(
        spec(key), sealed, product=PRIVATE, templates=TEMPLATES, cell=CELL, has_local=False
    )


def secrets() -> list[Any]:
    rendered = files("bcdfghjkmn")
    return [load(rendered[name], name) for name in ("sealed-secret.yaml", "pull-secret.yaml")]


def problems(bodies: list[Any]) -> list[str]:
    return [str(problem) for problem in check_sealed([Item(body) for body in bodies], PRIVATE)]


def test_both_secrets_as_they_are_rendered_are_good() -> None:
    first, second = secrets()
    assert problems([first, second]) == []
    assert list(first["spec"]["encryptedData"]) == list(PRIVATE.secret.keys)
    assert list(second["spec"]["encryptedData"]) == [KEY]
    assert second["spec"]["template"]["type"] == TYPE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda own, pull: [own], "SealedSecret/acme-registry: is missing"),
        (lambda own, pull: [pull], "SealedSecret/iotistic-secrets: is missing"),
        (lambda own, pull: pull["spec"]["template"].update(type="Opaque"), f"'Opaque', not {TYPE}"),
        (lambda own, pull: own["spec"]["template"].update(type=TYPE), "not Opaque"),
        (lambda own, pull: pull["spec"]["encryptedData"].update(more=ciphertext("x")), "['more']"),
        (lambda own, pull: pull["spec"]["encryptedData"].update({KEY: "e30="}), "is not sealed"),
    ],
)
def test_what_a_secret_lacks_is_found(change: Callable[[Any, Any], Any], says: str) -> None:
    own, pull = secrets()
    (problem,) = problems(change(own, pull) or [own, pull])
    assert says in problem


def test_a_product_that_asks_for_credentials_needs_a_template_that_seals_them() -> None:
    with pytest.raises(ProductError, match=r"pull_secret.*pull_ciphertext"):
        load_templates(vendor().templates.files, PRIVATE)


def test_a_template_that_seals_credentials_needs_a_product_that_names_their_secret() -> None:
    with pytest.raises(ProductError, match=r"product\.yaml names none"):
        load_templates(TEMPLATES.files, product())


def test_another_tenants_credentials_have_the_same_shape_and_must_be_sealed() -> None:
    shape = find_shape(files("bcdfghjkmn"), TEMPLATES)
    assert shape
    other = files("zzzzzzzzzz", seed="other")
    expected = Expected.of(spec("zzzzzzzzzz"), PRIVATE)
    assert check_structure(other, shape, expected=expected) == []
    sealed = load(other["pull-secret.yaml"], "f")["spec"]["encryptedData"][KEY]
    plain = other["pull-secret.yaml"].replace(sealed.encode(), b"e30=")
    assert check_structure({**other, "pull-secret.yaml": plain}, shape, expected=expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("canary", "is not JSON"),
        ("[]", "has no `auths`"),
        ('{"auths": {}}', "has no `auths`"),
        ('{"credsStore": "desktop"}', "has no `auths`"),
        ('{"auths": {"registry.example": {}}}', "no credentials for registry.example"),
        ('{"auths": {"registry.example": "canary"}}', "no credentials for registry.example"),
        ('{"auths": {"a": {"auth": "x"}, "b": {"username": "canary"}}}', "no credentials for b"),
    ],
)
def test_credentials_that_no_cluster_could_use_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        check_credentials(text)
    assert "canary" not in str(caught.value)


def test_credentials_tell_their_registries() -> None:
    text = '{"auths": {"a": {"auth": "eDp5"}, "b": {"username": "u", "password": "p"}}}'
    assert check_credentials(text) == ["a", "b"]
