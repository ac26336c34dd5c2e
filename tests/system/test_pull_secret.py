"""Credentials for private images: the cell's, sealed for each tenant, and taken up when changed
(R28).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.product_folder import read_product_folder
from tenantry.adapters.vault import Vault
from tenantry.core.errors import SettingsError
from tenantry.core.pull_secret import KEY, TYPE
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.fleet.bulk import Marked
from tenantry.flows.fleet.rerender import mark_for_rendering
from tenantry.flows.fleet.reseal import mark_for_resealing
from tests.invariants import check_invariants
from tests.overlays import private_product
from tests.system.fleet import ALL, ciphertexts, found, look, marked, publish_all, steps
from tests.system.test_sealing import THROWAWAY_KEY, unseal
from tests.system.world import PASSWORD, World, make_world


def credentials(token: str) -> str:
    return json.dumps({"auths": {"registry.example": {"auth": token}}})


OLD, NEW = credentials("b2xkIHRva2Vu"), credentials("bmV3IHRva2Vu")


@pytest.fixture(scope="module")
def product_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return private_product(tmp_path_factory.mktemp("product") / "product")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "registry.json"
    path.write_text(OLD)
    return path


@pytest.fixture
def world(tmp_path: Path, database_url: str, product_dir: Path, file: Path) -> Iterator[World]:
    world = make_world(
        tmp_path, database_url, product_dir=product_dir, cell={"registry_credentials_file": file}
    )
    yield world
    check_invariants(world.service, canaries=[PASSWORD, OLD, NEW])
    world.service.database.close()


def on_main(world: World, customer_id: str, name: str = "pull-secret.yaml") -> str:
    return world.git("show", f"main:{world.folder_of(customer_id)}/{name}")


def changed_files(world: World) -> set[str]:
    """Of the last commit to main."""
    paths = world.git("show", "--format=", "--name-only", "main").split()
    return {path.rpartition("/")[2] for path in paths}


def test_each_tenant_gets_the_credentials_sealed_for_its_namespace_alone(world: World) -> None:
    one, other = publish_all(world, 2)
    sealed = on_main(world, one)
    assert unseal(sealed, THROWAWAY_KEY) == {KEY: OLD}
    assert yaml.safe_load(sealed)["spec"]["template"]["type"] == TYPE
    assert KEY not in yaml.safe_load(on_main(world, one, "sealed-secret.yaml"))["spec"][
        "encryptedData"
    ]  # fmt: skip
    moved = sealed.replace(world.tenant(one).name, world.tenant(other).name)
    with pytest.raises(Exception, match="decrypt"):
        unseal(moved, THROWAWAY_KEY)


def test_other_credentials_are_taken_up_by_resealing_and_nothing_else_changes(
    world: World, file: Path
) -> None:
    ids = publish_all(world, 2)
    before, head = ciphertexts(world), world.git("rev-parse", "main")
    assert marked(mark_for_resealing(world.service, world.cell, ALL)) == {}
    file.write_text(NEW)
    assert world.publish().tenants == {}
    assert world.git("rev-parse", "main") == head
    assert {customer_id for _, customer_id in found(look(world))} == set(ids)
    generations = marked(mark_for_resealing(world.service, world.cell, ALL))
    assert generations == dict.fromkeys(ids, 2)
    steps(world, generations)
    changed = {place for place, value in ciphertexts(world).items() if before[place] != value}
    assert changed == {(customer_id, KEY) for customer_id in ids}
    assert changed_files(world) == {"pull-secret.yaml"}  # so no pod restarts
    assert unseal(on_main(world, ids[0]), THROWAWAY_KEY) == {KEY: NEW}
    assert marked(mark_for_resealing(world.service, world.cell, ALL)) == {}
    assert found(look(world, full=True)) == set()


def test_credentials_are_known_again_by_a_vault_whose_key_was_renewed(world: World) -> None:
    publish_all(world, 1)
    ring = (world.folder / "data" / "keys" / "vault.keys").read_text().split()
    keys = [line for line in ring if len(line) == 44 and line.endswith("=")]
    rotated = replace(world.service, vault=Vault(["A" * 43 + "=", *keys]))
    assert marked(mark_for_resealing(rotated, world.cell, ALL)) == {}


def test_cell_without_usable_credentials_keeps_its_tenants_waiting(
    world: World, file: Path
) -> None:
    signed_up = world.sign_up()
    file.write_text("canary")
    with pytest.raises(SettingsError) as caught:
        world.publish()
    assert str(file) in str(caught.value)
    assert "canary" not in str(caught.value)
    tenant = world.tenant(signed_up.customer_id)
    assert (tenant.set_aside, tenant.published_generation) == (None, 0)
    file.write_text(OLD)
    world.wait()
    assert world.publish().tenants.keys() == {signed_up.customer_id}


@pytest.mark.parametrize("mark", [mark_for_rendering, mark_for_resealing])
def test_product_that_asks_for_credentials_later_gets_them_to_those_who_are_there(
    tmp_path: Path, product_dir: Path, file: Path, mark: Callable[..., Iterator[Marked]]
) -> None:
    database_url = f"sqlite:///{tmp_path}/tenantry.db"
    world = make_world(tmp_path, database_url, cell={"registry_credentials_file": file})
    (customer_id,) = publish_all(world, 1)
    before = ciphertexts(world)
    ask_for_credentials(world, product_dir)
    assert marked(mark(world.service, world.cell, ALL)) == {customer_id: 2}
    world.publish()
    assert before.items() <= ciphertexts(world).items()
    assert unseal(on_main(world, customer_id), THROWAWAY_KEY) == {KEY: OLD}
    check_invariants(world.service, canaries=[PASSWORD, OLD])
    world.service.database.close()


def ask_for_credentials(world: World, product_dir: Path) -> None:
    """The product file and the overlay's templates are others; the platform stands as it is."""
    folder = read_product_folder(product_dir)
    checker = ClassChecker(Kustomize("kustomize"), folder.product, folder.templates)
    world.service = replace(
        world.service,
        product=folder.product,
        templates=folder.templates,
        cells={"main": replace(world.cell, checker=checker)},
    )
