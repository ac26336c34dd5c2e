"""Licenses that wait, are replaced, or meet another key: what main is to show then (R12, R13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select

from tenantry.adapters.database.tables import Change
from tenantry.core.review import ChangeKind, Mode, Policy
from tenantry.flows.licensing import rotation
from tenantry.flows.licensing.rotation import Step
from tenantry.flows.reviewing.changes import request_change
from tests.migrated import bring_up
from tests.system.fleet import marked
from tests.system.world import World, make_world

KEY, BUNDLE, LIST = "IOTISTIC_LICENSE_KEY", "LICENSE_PUBLIC_KEY", "LICENSE_REVOCATIONS"
REVIEWED = Policy(modes={**Policy().modes, ChangeKind.LICENSE: Mode.REVIEW})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests: each has a customer of its own, and nothing is published."""
    folder = tmp_path_factory.mktemp("licenses")
    world = make_world(folder, bring_up(f"sqlite:///{folder}/tenantry.db"))
    yield world
    world.service.database.close()


@pytest.fixture
def world(shared: World) -> World:
    """Its licenses wait for a review."""
    cells = {"main": replace(shared.cell, policy=REVIEWED)}
    return replace(shared, service=replace(shared.service, cells=cells))


@pytest.fixture
def customer(world: World) -> str:
    return world.sign_up().customer_id


def renew(world: World, customer_id: str, actor: str = "test") -> None:
    request_change(world.service, world.cell, customer_id, ChangeKind.LICENSE, {}, actor=actor)


def versions(world: World, customer_id: str) -> dict[str, str]:
    found: dict[str, str] = world.tenant(customer_id).approved["secret_versions"]
    return found


def newest(world: World, customer_id: str) -> Change:
    rows = select(Change).where(Change.customer_id == customer_id, Change.kind == "license")
    with world.service.database.read() as session:
        return session.scalars(rows.order_by(Change.id.desc()).limit(1)).one()


# With another key


def test_license_comes_with_the_keys_that_verify_it(shared: World, customer: str) -> None:
    shared.service.key_folder.add_next()
    shared.service.key_folder.use_next()  # by force: the tenant has not got its public half
    assert versions(shared, customer)[BUNDLE] != shared.service.keyring.bundle_version()
    renew(shared, customer)
    assert versions(shared, customer)[BUNDLE] == shared.service.keyring.bundle_version()


def test_license_that_waits_gets_the_keys_that_are_published(world: World, customer: str) -> None:
    renew(world, customer)
    world.service.key_folder.add_next()
    marked(rotation.mark(world.service, Step.PUBLISH, world.cell))
    waits = newest(world, customer).fields["secret_versions"]
    assert waits[BUNDLE] == versions(world, customer)[BUNDLE]
    assert waits[BUNDLE] == world.service.keyring.bundle_version()
