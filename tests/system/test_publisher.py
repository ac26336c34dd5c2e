"""The publisher's pass: who runs it, what goes first, and what a failure means for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from tenantry.adapters.database.lease import Lease
from tenantry.adapters.database.tables import Repository, Tenant
from tenantry.core.errors import (
    HistoryRewritten,
    PushRefused,
    RepositoryError,
    SettingsError,
)
from tenantry.flows import batch, overlays, rendering
from tenantry.flows.publish import publish_due
from tenantry.flows.service import Service
from tests.system.renaming import rename_company
from tests.system.world import World


def repository_of(world: World) -> Repository:
    with world.service.database.read() as session:
        return session.get_one(Repository, "main")


def in_bulk(world: World, *customer_ids: str) -> None:
    with world.service.database.write() as session:
        session.execute(
            update(Tenant).where(Tenant.customer_id.in_(customer_ids)).values(is_bulk=True)
        )


def another_worker(world: World) -> Service:
    """A worker beside the world's own: the same data, a lease of its own."""
    cell = replace(world.cell, lease=Lease(world.service.database, "publisher/main"))
    return replace(world.service, cells={"main": cell})


def publish_with(service: Service) -> set[str]:
    return set(publish_due(service, service.cells["main"]).tenants)


def forbid_push(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """Every push fails with the error; how many were tried."""
    tried = [0]

    def push() -> None:
        tried[0] += 1
        raise error

    monkeypatch.setattr(world.cell.repository, "push", push)
    return tried


def refuse(world: World, *customer_ids: str) -> None:
    """The server refuses every push that touches one of these tenants."""
    names = "|".join(world.folder_of(customer_id) for customer_id in customer_ids)
    hook = world.remote / "hooks" / "update"
    hook.write_text(
        "#!/bin/sh\n"
        '[ "$2" = 0000000000000000000000000000000000000000 ] && range="$3" || range="$2..$3"\n'
        f"git log --format= --name-only $range | grep -qE '{names}' || exit 0\n"
        "echo 'policy: this tenant is not welcome' >&2; exit 1\n"
    )
    hook.chmod(0o755)


# Who


def test_one_worker_publishes_while_others_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_up, other = world.sign_up(), another_worker(world)
    push, published_beside = world.cell.repository.push, list[set[str]]()

    def push_beside_another() -> None:
        published_beside.append(publish_with(other))
        push()

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
    other = replace(other, cells={"main": replace(other_cell, repository=_second_clone(world))})
    assert world.publish().tenants == {}
    assert (pushed[0], done) == (0, [{signed_up.customer_id}] * 2)


def _second_clone(world: World) -> Any:
    return type(world.cell.repository)(str(world.remote), world.folder / "clones" / "second.git")


# What goes first


def test_signup_overtakes_a_bulk_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_only_a_person_can_mend_waits_longest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize("position", [0, 5, 11])
def test_tenant_that_the_server_refuses_is_set_aside_beside_others(
    world: World, position: int
) -> None:
    customers = sorted(world.sign_up().customer_id for _ in range(12))
    refuse(world, customers[position])
    published = world.publish()
    assert published.tenants.keys() == set(customers) - {customers[position]}
    assert "not welcome" in published.set_aside[customers[position]]
    assert "not welcome" in str(world.tenant(customers[position]).set_aside)
    assert repository_of(world).attempts == 0


def test_several_that_the_server_refuses_are_found_in_one_pass(world: World) -> None:
    customers = sorted(world.sign_up().customer_id for _ in range(12))
    poisoned = {customers[0], customers[1], customers[7]}
    refuse(world, *poisoned)
    published = world.publish()
    assert published.set_aside.keys() == poisoned
    assert published.tenants.keys() == set(customers) - poisoned


def test_server_that_refuses_all_is_no_tenants_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = {world.sign_up().customer_id for _ in range(20)}
    with monkeypatch.context() as patch:
        tried = forbid_push(world, patch, PushRefused("closed for today"))
        with pytest.raises(PushRefused):
            world.publish()
    assert tried[0] <= 14, "as many refusals as one tenant can cause, and some more"
    assert all(world.tenant(customer_id).set_aside is None for customer_id in customers)
    assert repository_of(world).last_error == "closed for today"
    world.wait()
    assert world.publish().tenants.keys() == customers


def test_tenant_refused_alone_waits_alone(world: World) -> None:
    """Whether the server minds it or everything is not known; a signup after it must not wait."""
    first = world.sign_up().customer_id
    refuse(world, first)
    assert "not welcome" in world.publish().postponed[first]
    assert world.tenant(first).set_aside is None
    second = world.sign_up().customer_id
    assert world.publish().tenants.keys() == {second}
    world.wait()
    third = world.sign_up().customer_id
    published = world.publish()
    assert published.tenants.keys() == {third}
    assert published.set_aside.keys() == {first}


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


def test_clock_set_back_makes_nobody_wait_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    with monkeypatch.context() as patch:
        forbid_push(world, patch, RepositoryError("away"))
        with pytest.raises(RepositoryError):
            world.publish()
    world.wait(minutes=-60)
    assert world.publish().tenants


# A main that is not the one that was published to


@pytest.mark.parametrize("rewrite", ["back", "unrelated", "gone"])
def test_rewritten_main_is_not_touched_until_an_operator_decides(
    world: World, rewrite: str
) -> None:
    world.sign_up()
    world.publish()
    if rewrite == "gone":
        world.git("update-ref", "-d", "refs/heads/main")
    else:
        onto = "main~1" if rewrite == "back" else world.git("commit-tree", "main^{tree}", "-m", "x")
        world.git("update-ref", "refs/heads/main", onto)
    rewritten = world.git("for-each-ref")
    late = world.sign_up()
    for _ in range(2):
        world.wait()
        with pytest.raises(HistoryRewritten, match="accept-history"):
            world.publish()
    assert world.git("for-each-ref") == rewritten
    restored = repository_of(world).head
    world.git("update-ref", "refs/heads/main", str(restored))
    with world.service.database.write() as session:
        session.get_one(Repository, "main").halted = None
    world.wait()
    assert world.publish().tenants.keys() == {late.customer_id}


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
            cells={"main": replace(other.cells["main"], repository=_second_clone(world))},
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


def test_refusals_in_a_row_are_bounded_by_what_one_tenant_can_cause() -> None:
    for tenants in (2, 3, 7, 20, 200, 5000):
        alone, size = 1, tenants
        while size > 1:
            size, alone = (size + 1) // 2, alone + 1
        assert batch._most_refusals(tenants) >= alone
