"""Changes to many tenants: marked page by page, published, told; and safe to stop and run again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tenantry.adapters.database.tables import Audit, Subscription, Tenant
from tenantry.core.errors import HistoryRewritten
from tenantry.core.subscription import Stage
from tenantry.flows.fleet import bulk
from tenantry.flows.fleet import tenants as fleet
from tenantry.flows.fleet.bulk import Selection
from tenantry.flows.fleet.follow import follow
from tenantry.flows.fleet.rerender import mark_for_rendering
from tenantry.flows.fleet.reseal import mark_for_resealing
from tenantry.flows.publishing import retry
from tenantry.flows.publishing.publish import Published
from tests.migrated import on_sqlite
from tests.system.fleet import (
    ALL,
    certificates,
    ciphertexts,
    marked,
    publish_all,
    steps,
    take_another_certificate,
    take_other_templates,
)
from tests.system.renaming import rename_company
from tests.system.world import World

pytestmark = on_sqlite


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of tenants is several pages."""
    monkeypatch.setattr(bulk, "PAGE", 2)


# Reseal


def test_what_another_certificate_sealed_is_sealed_again(world: World, tmp_path: Path) -> None:
    ids = publish_all(world, 5)
    fingerprint = take_another_certificate(world, tmp_path / "new")
    generations = marked(mark_for_resealing(world.service, world.cell, ALL))
    assert generations == dict.fromkeys(ids, 2)
    assert all(world.tenant(each).is_bulk for each in ids)
    assert sum(step.published for step in steps(world, generations)) == 5
    assert certificates(world) == {fingerprint}
    assert marked(mark_for_resealing(world.service, world.cell, ALL)) == {}
    with world.service.database.read() as session:
        rows = session.scalars(select(Audit).where(Audit.action == "tenant.reseal")).all()
    assert sorted(str(row.customer_id) for row in rows) == ids


def test_run_again_before_they_are_published_it_marks_nothing_twice(
    world: World, tmp_path: Path
) -> None:
    publish_all(world, 3)
    take_another_certificate(world, tmp_path / "new")
    pages = mark_for_resealing(world.service, world.cell, ALL)
    first = next(pages).generations  # and stopped there
    del pages
    rest = marked(mark_for_resealing(world.service, world.cell, ALL))
    assert (len(first), len(rest), first.keys() & rest.keys()) == (2, 1, set())
    steps(world, {**first, **rest})


def test_everything_is_sealed_anew_where_that_is_asked(world: World) -> None:
    ids = publish_all(world, 3)
    before = ciphertexts(world)
    after = Selection(after=ids[0])  # as one goes on after Ctrl-C
    generations = marked(mark_for_resealing(world.service, world.cell, after, everything=True))
    steps(world, generations)
    now = ciphertexts(world)
    same = {customer_id for customer_id, key in now if now[customer_id, key] == before[
        customer_id, key
    ]}  # fmt: skip
    assert (set(generations), same) == ({*ids[1:]}, {ids[0]})


def test_only_those_that_are_named_are_touched(world: World, tmp_path: Path) -> None:
    ids = publish_all(world, 3)
    take_another_certificate(world, tmp_path / "new")
    named = Selection(frozenset(ids[1:2]))
    assert marked(mark_for_resealing(world.service, world.cell, named)) == {ids[1]: 2}
    assert bulk.unknown(world.service, [world.cell], [*ids, "cust-nobody"]) == ["cust-nobody"]
    assert bulk.count(world.service, world.cell, named) == 1
    elsewhere = replace(world.cell, name="other")
    assert bulk.count(world.service, elsewhere, named) == 0


def test_what_a_customer_waits_for_keeps_its_place(world: World, tmp_path: Path) -> None:
    waited_for, other = publish_all(world, 2)
    rename_company(world.service, waited_for, "New", actor="t", now=world.clock())
    take_another_certificate(world, tmp_path / "new")
    marked(mark_for_resealing(world.service, world.cell, ALL))
    assert not world.tenant(waited_for).is_bulk
    assert world.tenant(other).is_bulk


# Rerender


def test_what_renders_to_other_bytes_is_published_again(world: World) -> None:
    ids = publish_all(world, 3)
    assert marked(mark_for_rendering(world.service, world.cell, ALL)) == {}
    take_other_templates(world)
    generations = marked(mark_for_rendering(world.service, world.cell, ALL))
    assert generations == dict.fromkeys(ids, 2)
    steps(world, generations)
    assert "example.com/new" in world.git("show", f"main:{world.folder_of(ids[0])}/namespace.yaml")
    assert marked(mark_for_rendering(world.service, world.cell, ALL)) == {}


def test_what_renders_the_same_makes_no_commit(world: World) -> None:
    publish_all(world, 3)
    head = world.git("rev-parse", "main")
    generations = marked(mark_for_rendering(world.service, world.cell, ALL, everything=True))
    assert sum(step.published for step in steps(world, generations)) == 3
    assert world.git("rev-parse", "main") == head


def test_a_tenant_that_cannot_be_rendered_is_told_and_the_rest_is_done(world: World) -> None:
    poisoned, healthy = publish_all(world, 2)
    with world.service.database.write() as session:
        row = session.get_one(Tenant, poisoned)
        approved = row.approved
        row.approved = approved | {"company": "two\u2028lines"}
    take_other_templates(world)
    (page,) = mark_for_rendering(world.service, world.cell, ALL)
    assert page.generations.keys() == {healthy}
    assert "U+2028" in page.failed[poisoned]
    with world.service.database.write() as session:
        session.get_one(Tenant, poisoned).approved = approved
    steps(world, marked(mark_for_rendering(world.service, world.cell, ALL)))


# Following


def test_a_tenant_that_fails_is_told_once_and_does_not_hold_up_the_rest(world: World) -> None:
    poisoned, _ = publish_all(world, 2)
    with world.service.database.write() as session:
        row = session.get_one(Tenant, poisoned)
        row.approved = row.approved | {"company": "two\u2028lines"}
    generations = marked(mark_for_rendering(world.service, world.cell, ALL, everything=True))
    found = steps(world, generations)
    assert sum(step.published for step in found) == 1
    ((customer_id, reason),) = [item for step in found for item in step.failed.items()]
    assert (customer_id, "U+2028" in reason) == (poisoned, True)
    rename_company(world.service, poisoned, "Mended", actor="t", now=world.clock())
    world.publish()


def test_trouble_that_passes_is_told_once_and_waited_for(world: World) -> None:
    publish_all(world, 2)
    generations = marked(mark_for_rendering(world.service, world.cell, ALL, everything=True))
    away = world.remote.with_name("away.git")
    world.remote.rename(away)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        world.clock.time += timedelta(seconds=20)
        if len(waited) == 4:
            away.rename(world.remote)

    found = list(follow(world.service, world.cell, generations, wait=wait))
    assert len(list(filter(None, (step.trouble for step in found)))) == 1
    assert sum(step.published for step in found) == 2


def test_trouble_that_only_a_person_can_mend_ends_it(world: World) -> None:
    publish_all(world, 2)
    generations = marked(mark_for_rendering(world.service, world.cell, ALL, everything=True))
    error = HistoryRewritten("main was set back")
    retry.postpone_repository(world.service, world.cell, error)
    with pytest.raises(HistoryRewritten, match="set back"):
        steps(world, generations)


def test_what_others_publish_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_all(world, 3)
    generations = marked(mark_for_rendering(world.service, world.cell, ALL, everything=True))

    def wait(_seconds: float) -> None:
        world.publish()

    monkeypatch.setattr("tenantry.flows.fleet.follow.publish_due", lambda *_: Published())
    found = list(follow(world.service, world.cell, generations, wait=wait))
    assert [step.published for step in found] == [0, 3]


def test_it_looks_less_often_while_nothing_happens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_all(world, 2)
    generations = marked(mark_for_rendering(world.service, world.cell, ALL, everything=True))
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 5:
            world.publish()

    monkeypatch.setattr("tenantry.flows.fleet.follow.publish_due", lambda *_: Published())
    list(follow(world.service, world.cell, generations, wait=wait))
    assert waited == [0.5, 1, 2, 2, 2]


# Lists


def test_tenants_are_listed_by_what_is_so(world: World) -> None:
    ids = publish_all(world, 3)
    waiting = world.sign_up().customer_id
    with world.service.database.write() as session:
        session.get_one(Tenant, waiting).set_aside = "poison"
    listed = list(fleet.list_tenants(world.service, world.cell))
    assert [each.customer_id for each in listed] == sorted([*ids, waiting])
    (behind,) = fleet.list_tenants(world.service, world.cell, behind=True)
    (aside,) = fleet.list_tenants(world.service, world.cell, set_aside=True, status="pending")
    assert behind == aside
    assert "set aside: poison" in aside.as_text()
    assert not list(fleet.list_tenants(world.service, world.cell, status="ready"))
    late = {"status": Stage.PAST_DUE, "paid_until": world.clock()}
    with world.service.database.write() as session:
        session.execute(update(Subscription).where(Subscription.customer_id == ids[0]).values(late))
    (past_due,) = fleet.list_tenants(world.service, world.cell, stage="past_due")
    assert past_due.as_text().startswith(f"{ids[0]}  main  provisioning  starter past_due  ")
    facts = json.loads(json.dumps(past_due.as_json()))
    assert (facts["plan"], facts["stage"]) == ("starter", "past_due")
    assert facts["instance_url"] == world.tenant(ids[0]).instance_url
    assert facts["trial_ends_at"] > facts["paid_until"]
    generations = marked(fleet.mark_to_retry(world.service, world.cell, ALL))
    assert generations == {waiting: 1}
    steps(world, generations)
    assert marked(fleet.mark_to_retry(world.service, world.cell, ALL)) == {}
