"""Licenses that wait, are replaced, or meet another key: what main is to show then (R12, R13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from sqlalchemy import select

from tenantry.adapters.database.tables import Change, Outbox, Review, Subscription, Tenant
from tenantry.core.errors import KeysChanged
from tenantry.core.mail import MailKind
from tenantry.core.model import LicenseAction, TenantSpec
from tenantry.core.review import ChangeKind, Mode, Outcome, Policy
from tenantry.core.revocations import read_list
from tenantry.core.subscription import Event, EventKind
from tenantry.flows.key_folder import KeyFolder
from tenantry.flows.licensing import rotation
from tenantry.flows.licensing.issuing import issue_again
from tenantry.flows.licensing.revocations import own_list, public_list, read_revoked
from tenantry.flows.licensing.revoking import find_revocable, revoke
from tenantry.flows.licensing.rotation import Step
from tenantry.flows.reviewing.applying import move
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.reviewing.ending import decline, withdraw
from tenantry.flows.rows import locked
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import follow_due
from tenantry.flows.subscriptions.renewal import last_license
from tests.migrated import bring_up
from tests.system.fleet import marked
from tests.system.reviewer import Person, review
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


def change(world: World, customer_id: str, kind: ChangeKind, fields: dict[str, Any]) -> None:
    request_change(world.service, world.cell, customer_id, kind, fields, actor="test")


def change_plan(world: World, customer_id: str) -> None:
    """As a merge does, or a payment."""
    with world.service.database.write() as session:
        (tenant,) = locked(session, [customer_id])
        spec = TenantSpec.model_validate({**tenant.approved, "plan": "professional"})
        move(world.service, session, tenant, spec, by="test", now=world.clock())


def stray(world: World, customer_id: str) -> str:
    """A license of the tenant that is not the one that it is to run with."""
    with world.service.database.write() as session:
        (tenant,) = locked(session, [customer_id])
        plan, action = tenant.approved["plan"], LicenseAction.REISSUED
        fields = issue_again(
            world.service, session, tenant, plan=plan, action=action, actor="t", now=world.clock()
        )
    return str(fields["license_id"])


def revoke_one(world: World, license_id: str) -> None:
    revoke(world.service, find_revocable(world.service, license_id=license_id), actor="test")


def approved(world: World, customer_id: str) -> str:
    return str(world.tenant(customer_id).approved["license_id"])


def versions(world: World, customer_id: str) -> dict[str, str]:
    found: dict[str, str] = world.tenant(customer_id).approved["secret_versions"]
    return found


def show(world: World, customer_id: str) -> None:
    """As if main showed what is wanted of the tenant."""
    with world.service.database.write() as session:
        tenant = session.get_one(Tenant, customer_id)
        tenant.published_spec = tenant.approved


def newest(world: World, customer_id: str) -> Change:
    rows = select(Change).where(
        Change.customer_id == customer_id, Change.kind == ChangeKind.LICENSE
    )
    with world.service.database.read() as session:
        return session.scalars(rows.order_by(Change.id.desc()).limit(1)).one()


def renewals_told(world: World, customer_id: str) -> list[str]:
    rows = select(Outbox.period).where(
        Outbox.customer_id == customer_id, Outbox.kind == MailKind.LICENSE_RENEWED
    )
    with world.service.database.read() as session:
        return list(session.scalars(rows))


def listed(world: World) -> frozenset[str]:
    service = world.service
    return read_list(public_list(service), service.keyring.public)


def review_of(world: World, customer_id: str) -> Review:
    rows = select(Review).join(Change, Change.review_id == Review.id)
    with world.service.database.read() as session:
        return session.scalars(rows.where(Change.customer_id == customer_id).limit(1)).one()


def without_list(service: Service) -> Service:
    """As if the product asked for no list."""
    secret = service.product.secret
    keys = {name: each for name, each in secret.keys.items() if name != LIST}
    product = service.product.model_copy(
        update={"secret": secret.model_copy(update={"keys": keys})}
    )
    return replace(service, product=product)


# With another key


def test_license_comes_with_the_keys_that_verify_it(shared: World, customer: str) -> None:
    shared.service.key_folder.add_next()
    shared.service.key_folder.use_next()  # by force: the tenant has not got its public half
    assert versions(shared, customer)[BUNDLE] != shared.service.keyring.bundle_version()
    change(shared, customer, ChangeKind.LICENSE, {})
    assert versions(shared, customer)[BUNDLE] == shared.service.keyring.bundle_version()


def test_license_that_waits_gets_the_keys_that_are_published(world: World, customer: str) -> None:
    change(world, customer, ChangeKind.LICENSE, {})
    world.service.key_folder.add_next()
    marked(rotation.mark(world.service, Step.PUBLISH, world.cell))
    waits = newest(world, customer).fields["secret_versions"]
    assert waits[BUNDLE] == versions(world, customer)[BUNDLE]
    assert waits[BUNDLE] == world.service.keyring.bundle_version()


def test_list_is_not_signed_by_a_process_that_has_the_keys_from_before(
    shared: World, customer: str, tmp_path: Path
) -> None:
    service = shared.service
    held = shared.sign_up().customer_id  # gets no license by the rotation
    for each in (held, customer):
        revoke_one(shared, stray(shared, each))
    service.key_folder.add_next()
    files = copytree(service.key_folder.path, tmp_path / "keys")
    late = replace(service, key_folder=KeyFolder(files, production=False))
    service.key_folder.use_next()
    revoke_one(shared, stray(shared, customer))
    with service.database.read() as session:
        revoked = read_revoked(session, [held, customer])
        of_new, of_old = ((each, versions(shared, each)[LIST]) for each in (customer, held))
        with pytest.raises(KeysChanged):
            own_list(late, session, revoked[customer], of_new[1])
        for (customer_id, version), signer in [
            (of_new, service),
            (of_old, service),
            (of_old, late),
        ]:
            token = own_list(signer, session, revoked[customer_id], version)
            signing = signer.keyring.signing
            assert read_list(token, {signing.kid: service.keyring.public[signing.kid]})


# Where a license waits


def test_license_that_waits_ends_with_the_plan_that_it_is_of(world: World, customer: str) -> None:
    change(world, customer, ChangeKind.LICENSE, {})
    change(world, customer, ChangeKind.PLATFORM, {"platform": "v9"})  # waits on the same branch
    pushed = review_of(world, customer).generation
    change_plan(world, customer)
    assert newest(world, customer).outcome == Outcome.WITHDRAWN
    assert review_of(world, customer).generation > pushed


def test_renewal_that_waits_outlives_another_license_that_is_revoked(
    world: World, customer: str
) -> None:
    other = stray(world, customer)
    change(world, customer, ChangeKind.LICENSE, {})
    before = newest(world, customer).fields
    revoke_one(world, other)
    after = newest(world, customer)
    assert (after.outcome, after.fields["license_id"]) == (None, before["license_id"])
    assert after.fields["secret_versions"][KEY] == before["license_id"]
    assert after.fields["secret_versions"][LIST] not in ("none", before["secret_versions"][LIST])


@pytest.mark.parametrize("has_list", [True, False])
def test_renewal_that_waits_ends_with_its_license_and_is_asked_for_again(
    world: World, customer: str, has_list: bool
) -> None:
    service = world.service if has_list else without_list(world.service)
    change(world, customer, ChangeKind.LICENSE, {})
    waits = newest(world, customer)
    found = find_revocable(service, license_id=waits.fields["license_id"])
    revoke(service, found, actor="test")
    with service.database.read() as session:
        assert session.get_one(Change, waits.id).outcome == Outcome.WITHDRAWN
        look_at = session.get_one(Subscription, customer).look_at
        assert look_at
        assert look_at <= world.clock()
        assert last_license(session, world.tenant(customer)).license_id == approved(world, customer)


@pytest.mark.parametrize("outcome", [Outcome.WITHDRAWN, Outcome.DECLINED])
def test_renewal_that_came_to_nothing_is_asked_for_again_in_time(
    shared: World, world: World, customer: str, outcome: Outcome
) -> None:
    paid = Event(f"paid-{customer}", EventKind.PAID, world.clock())
    tell(shared.service, Told(paid, "paid", "test", customer_id=customer))
    running = approved(world, customer)
    world.clock.time += timedelta(days=52)  # all are renewed by then
    follow_due(world.service, now=world.clock())
    first = newest(world, customer)
    assert first.fields["license_id"] != running
    if outcome == Outcome.DECLINED:
        decline(world.service, world.cell, customer, actor="reviewer")
    else:
        with world.service.database.write() as session:
            (tenant,) = locked(session, [customer])
            withdraw(session, tenant, ChangeKind.LICENSE, by="test", now=world.clock())
    world.clock.time += timedelta(days=1, minutes=1)
    follow_due(world.service, now=world.clock())
    again = newest(world, customer)
    assert (again.outcome, again.id > first.id) == (None, True)


def test_renewal_is_told_of_once_it_is_merged(tmp_path: Path) -> None:
    world = make_world(tmp_path, bring_up(f"sqlite:///{tmp_path}/t.db"))
    customer = world.sign_up().customer_id
    world.publish()
    paid = Event("paid", EventKind.PAID, world.clock())
    reviewed = {"main": replace(world.cell, policy=REVIEWED)}
    world.service = replace(world.service, cells=reviewed)
    tell(world.service, Told(paid, "paid", "test", customer_id=customer))
    told: list[list[str]] = []
    for days in (0, 52):  # the first that is paid, and the one that follows it
        world.clock.time += timedelta(days=days)
        follow_due(world.service, now=world.clock())
        assert newest(world, customer).outcome is None
        told.append(renewals_told(world, customer))
        review(world)
        Person(world).merge(f"tenantry/{customer}")
        review(world)
        told.append(renewals_told(world, customer))
    assert told == [[], [], [], [approved(world, customer).replace("-", "")]]
    world.service.database.close()


# The public list


def test_replaced_license_is_not_listed_while_main_shows_it(shared: World) -> None:
    replaced, stolen = (shared.sign_up().customer_id for _ in range(2))
    ids = {each: approved(shared, each) for each in (replaced, stolen)}
    for each in ids:
        show(shared, each)
        change_plan(shared, each)
    revoke_one(shared, ids[stolen])
    shared.clock.time += timedelta(days=8)
    assert ids[stolen] in listed(shared)
    assert ids[replaced] not in listed(shared)
    show(shared, replaced)
    assert ids[replaced] in listed(shared)
