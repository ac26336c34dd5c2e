"""The publisher's pass: who runs it, what goes first, and what a failure means for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.tables import Repository, Tenant
from tenantry.adapters.git import Before
from tenantry.core.errors import HistoryRewritten, PushRefused, RepositoryError, SettingsError
from tenantry.flows.publishing import ledger, overlays, rendering, retry
from tenantry.flows.publishing.ledger import Refusal
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.service import Service
from tests.system.fleet import accept, in_bulk, second_clone
from tests.system.renaming import rename_company
from tests.system.world import World


def repository_of(world: World) -> Repository:
    with world.service.database.read() as session:
        return session.get_one(Repository, "main")


def another_worker(world: World) -> Service:
    """A worker beside the world's own: the same data, a lease of its own."""
    cell = replace(world.cell, lease=Lease(world.service.database, "publisher/main"))
    return replace(world.service, cells={"main": cell})


def publish_with(service: Service) -> set[str]:
    return set(publish_due(service, service.cells["main"]).tenants)


def forbid_push(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """Every push fails with the error; how many were tried."""
    tried = [0]

    def push(branches: Mapping[str, str]) -> Before:
        tried[0] += 1
        raise error

    monkeypatch.setattr(world.cell.repository, "push", push)
    return tried


# Who


def test_one_worker_publishes_while_others_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_up, other = world.sign_up(), another_worker(world)
    push, published_beside = world.cell.repository.push, list[set[str]]()

    def push_beside_another(branches: Mapping[str, str]) -> Before:
        published_beside.append(publish_with(other))
        return push(branches)

    monkeypatch.setattr(world.cell.repository, "push", push_beside_another)
    assert world.publish().tenants.keys() == {signed_up.customer_id}
    assert published_beside == [set()]


def test_lease_is_let_go_after_a_pass_and_after_a_failed_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = another_worker(world)
    with monkeypatch.context() as patch:
        forbid_push(world, patch, RepositoryError("away"))
        world.sign_up()
        with pytest.raises(RepositoryError):
            world.publish()
    world.wait()
    assert len(publish_with(other)) == 1
    assert world.sign_up().customer_id in world.publish().tenants


def test_publisher_that_slept_past_its_lease_pushes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it rendered may be old by then: another worker has gone on."""
    signed_up, other = world.sign_up(), another_worker(world)
    build, done = world.cell.repository.build, list[set[str]]()

    def build_and_sleep(*arguments: Any) -> Any:
        commits = build(*arguments)
        if not done:
            world.cell.lease.release()  # what the database thinks after three seconds
            done.append(publish_with(other))
            rename_company(
                world.service, signed_up.customer_id, "Newer", actor="t", now=world.clock()
            )
            done.append(publish_with(other))
        return commits

    monkeypatch.setattr(world.cell.repository, "build", build_and_sleep)
    pushed = forbid_push(world, monkeypatch, AssertionError("pushed without the lease"))
    other_cell = other.cells["main"]
    other = replace(other, cells={"main": replace(other_cell, repository=second_clone(world))})
    assert world.publish().tenants == {}
    assert (pushed[0], done) == (0, [{signed_up.customer_id}] * 2)


# What goes first


def test_signup_overtakes_a_bulk_change(world: World) -> None:
    bulk = [world.sign_up().customer_id for _ in range(6)]
    in_bulk(world, *bulk)
    service = replace(world.service, bulk_batch=2)
    assert len(publish_with(service)) == 2
    late = world.sign_up().customer_id
    assert late in publish_with(service)
    while publish_with(service):
        pass
    subjects = world.git("log", "--format=%s", "--reverse", "main", "--", "tenants/").splitlines()
    assert late in subjects[2]
    assert len(subjects) == 7


def test_bulk_goes_on_while_signups_keep_coming(world: World) -> None:
    bulk = [world.sign_up().customer_id for _ in range(3)]
    in_bulk(world, *bulk)
    service = replace(world.service, bulk_batch=1)
    for _ in bulk:
        single = world.sign_up().customer_id
        published = publish_with(service)
        assert single in published
        assert len(published) == 2
    assert not publish_with(service)


def test_tenant_is_bulk_no_longer_once_published(world: World) -> None:
    signed_up = world.sign_up()
    in_bulk(world, signed_up.customer_id)
    world.publish()
    assert not world.tenant(signed_up.customer_id).is_bulk


# What a failure means


def test_failing_repository_makes_all_workers_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    with monkeypatch.context() as patch:
        tried = forbid_push(world, patch, RepositoryError("no route to host"))
        with pytest.raises(RepositoryError) as raised:
            world.publish()
        assert publish_with(another_worker(world)) == set()
        assert tried == [1]
    assert raised.value.retry_after is not None
    known = repository_of(world)
    assert (known.attempts, known.last_error) == (1, "no route to host")
    world.wait()
    assert world.publish().tenants
    known = repository_of(world)
    assert (known.attempts, known.retry_at, known.last_error) == (0, None, None)


def test_what_only_a_person_can_mend_waits_longest(world: World) -> None:
    world.sign_up()
    cell = replace(world.cell, certificate=_fail(SettingsError("no certificate")))
    with pytest.raises(SettingsError) as raised:
        publish_due(world.service, cell)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after >= 7.5
    world.wait()
    assert world.publish().tenants


def _fail(error: Exception) -> Callable[..., Any]:
    def failing(*_: object, **__: object) -> Any:
        raise error

    return failing


def test_tenant_whose_rendering_crashes_waits_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned, other = world.sign_up(), world.sign_up()
    render = rendering.render_files

    def render_or_crash(*arguments: Any, **options: Any) -> Any:
        if arguments[2].customer_id == poisoned.customer_id:
            raise KeyError("a secret value")
        return render(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(overlays, "render_files", render_or_crash)
        published = world.publish()
        assert published.tenants.keys() == {other.customer_id}
        assert published.postponed == {poisoned.customer_id: "rendering crashed: KeyError"}
        assert world.publish().postponed == {}
    world.wait()
    assert world.publish().tenants.keys() == {poisoned.customer_id}
    assert world.tenant(poisoned.customer_id).attempts == 0


def test_tenant_whose_row_is_not_readable_is_set_aside(world: World) -> None:
    poisoned, other = world.sign_up(), world.sign_up()
    with world.service.database.write() as session:
        tenant = session.get_one(Tenant, poisoned.customer_id)
        kept, tenant.approved = tenant.approved, {"name": "nonsense"}
    published = world.publish()
    assert published.tenants.keys() == {other.customer_id}
    assert "not readable" in published.set_aside[poisoned.customer_id]
    with world.service.database.write() as session:
        session.get_one(Tenant, poisoned.customer_id).approved = kept


# A main that is not the one that was published to


def test_commits_of_others_are_no_rewriting(world: World) -> None:
    world.sign_up()
    world.publish()
    with world.work_tree() as place:
        (place / "README.md").write_text("ours\n")
    signed_up = world.sign_up()
    assert world.publish().tenants.keys() == {signed_up.customer_id}
    assert repository_of(world).head == world.git("rev-parse", "main")


def test_publishers_at_once_double_nothing(world: World) -> None:
    """Threads with a clone and a lease each, as many workers have them."""
    customers = {world.sign_up().customer_id for _ in range(8)}
    services = [
        replace(
            other,
            cells={"main": replace(other.cells["main"], repository=second_clone(world))},
            publish_batch=2,
        )
        for other in (another_worker(world) for _ in range(4))
    ]
    published = list[str]()

    def work(service: Service) -> None:
        while _is_any_behind(service):
            published.extend(publish_with(service))

    threads = [threading.Thread(target=work, args=(service,)) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(published) == sorted(customers)


def _is_any_behind(service: Service) -> bool:
    behind = select(Tenant).where(Tenant.generation > Tenant.published_generation)
    with service.database.read() as session:
        return session.scalar(behind) is not None


# What is recorded


def test_head_that_a_watcher_fetches_during_a_push_is_not_taken_for_ours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody rewrites main right after the push, and the clone has it before we look."""
    world.sign_up()
    world.publish()
    late, push = world.sign_up(), world.cell.repository.push

    def push_and_rewrite(branches: Mapping[str, str]) -> Before:
        before = push(branches)
        pushed.append(world.git("rev-parse", "main"))
        world.git("update-ref", "refs/heads/main", "main~1")
        world.cell.repository.fetch()
        return before

    pushed = list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(world.cell.repository, "push", push_and_rewrite)
        assert world.publish().tenants == {late.customer_id: pushed[0]}
    assert repository_of(world).head == pushed[0]
    waiting = world.sign_up()
    with pytest.raises(HistoryRewritten):
        world.publish()
    world.git("update-ref", "refs/heads/main", pushed[0])
    accept(world, pushed[0])
    assert world.publish().tenants.keys() == {waiting.customer_id}


def test_what_another_published_meanwhile_is_not_set_aside(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    late = {signed_up.customer_id: Refusal(1, PushRefused("too late"))}
    assert ledger.set_aside(world.service, late) == {}
    assert world.tenant(signed_up.customer_id).set_aside is None


def test_permission_to_overwrite_ends_where_the_tenant_is_set_aside(world: World) -> None:
    customer_id = world.sign_up().customer_id
    with world.service.database.write() as session:
        session.get_one(Tenant, customer_id).replaces = "0" * 40
    refused = {customer_id: Refusal(1, PushRefused("not this one"))}
    assert ledger.set_aside(world.service, refused) == {customer_id: "not this one"}
    assert world.tenant(customer_id).replaces is None
    rename_company(world.service, customer_id, "New", actor="t", now=world.clock())
    assert world.publish().tenants.keys() == {customer_id}


def test_reason_that_no_database_can_hold_is_written_as_an_escape(world: World) -> None:
    customer_id = world.sign_up().customer_id
    error = RepositoryError("local/\udcff: \0")
    retry.postpone_tenants(world.service, {customer_id: str(error)})
    assert world.tenant(customer_id).last_error == "local/\\udcff: \\0"
    retry.postpone_repository(world.service, world.cell, error)
    assert repository_of(world).last_error == "local/\\udcff: \\0"
    ledger.set_aside(world.service, {customer_id: Refusal(1, error)})
    assert world.tenant(customer_id).set_aside == "local/\\udcff: \\0"
