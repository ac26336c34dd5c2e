"""Volumes grow with one line in Git, and nothing that is wanted of a tenant can shrink them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tenantry.adapters.database.tables import Outbox, Tenant
from tenantry.core import naming
from tenantry.core.errors import ChangeRefused, VolumesShrink
from tenantry.core.mail import MailKind
from tenantry.core.model import TenantSpec
from tenantry.core.review import ChangeKind, Mode
from tenantry.core.volumes import grow
from tenantry.flows.generation import raise_generation
from tenantry.flows.reviewing.changes import request_change
from tests.system.reviewer import Person, ask, review
from tests.system.world import World, make_world

CLAIM = "postgres-data"


def approve(world: World, customer_id: str, size: str) -> None:
    """As a change does that may ask for another size of the first claim."""
    with world.service.database.write() as session:
        tenant = session.get_one(Tenant, customer_id)
        spec = TenantSpec.model_validate(tenant.approved)
        volumes = {**spec.volumes, CLAIM: size}
        tenant.approved = spec.model_copy(update={"volumes": volumes}).model_dump(mode="json")
        raise_generation(session, tenant, action="tenant.volumes", actor="t", now=world.clock())


def change_plan(world: World, customer_id: str) -> None:
    wanted = {"plan": "professional"}
    request_change(world.service, world.cell, customer_id, ChangeKind.PLAN, wanted, actor="t")


def test_a_volume_that_grows_is_one_line_of_its_overlay(world: World) -> None:
    customer_id = world.sign_up().customer_id
    world.publish()
    approve(world, customer_id, "7Gi")
    assert world.publish().tenants.keys() == {customer_id}
    lines = world.git("show", "--format=", "--unified=0", "main").splitlines()
    changed = [line.split() for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert [words[-1] for words in changed] == ['"5Gi"', '"7Gi"']


def test_a_volume_cannot_be_wanted_smaller(world: World) -> None:
    customer_id = world.sign_up().customer_id
    before = world.tenant(customer_id).approved
    for size in ("4Gi", "5119Mi", "none"):
        with pytest.raises(VolumesShrink, match=f"{CLAIM} from 5Gi to {size}"):
            approve(world, customer_id, size)
        tenant = world.tenant(customer_id)
        assert (tenant.approved, tenant.generation) == (before, 1)
    approve(world, customer_id, grow(before["volumes"], {CLAIM: "1Gi"})[CLAIM])
    assert world.tenant(customer_id).approved == before


def test_where_volumes_cannot_grow_a_larger_plan_leaves_them(tmp_path: Path) -> None:
    url, cell = f"sqlite:///{tmp_path}/tenantry.db", {"volumes_grow": False}
    world = make_world(tmp_path, url, cell=cell)
    customer_id = world.sign_up().customer_id
    world.publish()
    has = world.tenant(customer_id).approved["volumes"]
    branch = ask(world, customer_id)
    folder = naming.folder_of(customer_id)
    lines = world.git("diff", f"main...{branch}", "--", f"{folder}/kustomization.yaml")
    assert "plans/professional" in lines
    assert "Gi" not in lines
    Person(world).merge(branch)
    review(world)
    approved = world.tenant(customer_id).approved
    assert (approved["plan"], approved["volumes"]) == ("professional", has)
    with pytest.raises(ChangeRefused, match="has plan professional already"):
        ask(world, customer_id)
    world.service.database.close()


def test_the_same_plan_brings_its_sizes_once_volumes_can_grow(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tenantry.db"
    world = make_world(tmp_path, url, cell={"volumes_grow": False, "review_plan": Mode.DIRECT})
    customer_id = world.sign_up().customer_id
    world.publish()
    change_plan(world, customer_id)
    small = world.tenant(customer_id).approved
    cell = replace(world.cell, volumes_grow=True)
    world.service = replace(world.service, cells={cell.name: cell})
    change_plan(world, customer_id)
    large = world.tenant(customer_id).approved
    assert large == {**small, "volumes": world.service.product.plans["professional"].volumes}
    assert large != small
    told = select(func.count()).select_from(Outbox).where(Outbox.kind == MailKind.PLAN_CHANGED)
    with world.service.database.read() as session:
        assert session.scalar(told) == 1
    with pytest.raises(ChangeRefused, match="has plan professional already"):
        change_plan(world, customer_id)
    assert world.publish().tenants.keys() == {customer_id}
    world.service.database.close()
