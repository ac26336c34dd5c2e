"""The audit: every kind of finding, what a repair does about it, and what it never touches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tenantry.adapters.database.tables import Audit, Deployment, Tenant
from tenantry.core.errors import RepositoryError
from tenantry.core.finding import Kind
from tenantry.flows import audit as audits
from tenantry.flows import repository, standing
from tenantry.flows.audit import Report, audit
from tenantry.flows.change import raise_generation, rename_company
from tenantry.flows.repair import plan, repair
from tests.system.test_bulk import (
    on_sqlite,
    publish_all,
    steps,
    take_another_certificate,
    take_other_templates,
)
from tests.system.world import World


def look(world: World, *, full: bool = False) -> Report:
    return audit(world.service, world.cell, full=full)


def found(report: Report) -> set[tuple[Kind, str | None]]:
    return {(each.kind, each.customer_id or each.path) for each in report.findings}


def mend(world: World, report: Report, *overwrite: str) -> dict[str, int]:
    """Repair and publish; the generations of what was marked."""
    generations: dict[str, int] = {}
    for page in repair(world.service, report, frozenset(overwrite)):
        generations |= page.generations
    steps(world, generations)
    return generations


@pytest.fixture
def put_back(world: World) -> Iterator[None]:
    """For tests that leave on main what belongs to nobody: main is as it was, afterwards."""
    publish_all(world, 2)
    before = world.git("rev-parse", "main")
    yield
    world.git("update-ref", "refs/heads/main", before)


def remove(world: World, customer_id: str) -> None:
    with world.work_tree() as place:
        for path in (place / world.folder_of(customer_id)).iterdir():
            path.unlink()


def edit(world: World, customer_id: str) -> None:
    with world.work_tree() as place:
        path = place / world.folder_of(customer_id) / "namespace.yaml"
        path.write_text(path.read_text() + "# by hand\n")


# What is sound


def test_nothing_is_found_where_nothing_is_wrong_and_nothing_is_changed(world: World) -> None:
    ids = publish_all(world, 3)
    waiting = world.sign_up().customer_id
    head = world.git("rev-parse", "main")
    report = look(world, full=True)
    assert (report.findings, report.tenants, report.waiting) == ([], 4, 1)
    assert mend(world, report) == {}
    assert (report.head, world.git("rev-parse", "main")) == (head, head)
    assert {world.tenant(each).generation for each in [*ids, waiting]} == {1}


@on_sqlite
def test_an_empty_repository_and_an_empty_database_agree(world: World) -> None:
    report = look(world, full=True)
    assert (report.findings, report.head, report.tenants) == ([], None, 0)


@on_sqlite
def test_a_reviewers_own_changes_are_no_finding(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    with world.work_tree() as place:
        local = place / world.folder_of(customer_id) / "local"
        local.mkdir()
        (local / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
            "labels: [{pairs: {reviewed: 'yes'}}]\n"
        )
    assert look(world).findings == []
    full = look(world, full=True)
    assert found(full) == {(Kind.BYTES_DIFFER, customer_id)}  # it is not included yet
    mend(world, full)
    assert look(world, full=True).findings == []


@on_sqlite
def test_a_tenant_that_is_published_meanwhile_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (customer_id,) = publish_all(world, 1)
    read = standing.read_facts

    def read_late(*arguments: Any, **options: Any) -> Any:
        if world.tenant(customer_id).generation == 1:
            rename_company(world.service, customer_id, "New", actor="t", now=world.clock())
            other = replace(world.cell, repository=second_clone(world))
            with monkeypatch.context() as patch:
                patch.setattr(world, "service", replace(world.service, cells={"main": other}))
                world.publish()  # by another process, after the audit's fetch
        return read(*arguments, **options)

    monkeypatch.setattr(audits, "read_facts", read_late)
    assert look(world).findings == []
    assert world.tenant(customer_id).published_generation == 2


@on_sqlite
def test_a_tenant_that_is_mended_before_the_second_look_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (customer_id,) = publish_all(world, 1)
    remove(world, customer_id)
    read, looks = standing.read_facts, iter(range(9))

    def read_late(*arguments: Any, **options: Any) -> Any:
        if next(looks) == 1:  # after the second fetch
            with world.service.database.write() as session:
                raise_generation(
                    session, session.get_one(Tenant, customer_id), action="tenant.repair",
                    actor="t", now=world.clock(), replaces="missing",
                )  # fmt: skip
            other = replace(world.cell, repository=second_clone(world))
            with monkeypatch.context() as patch:
                patch.setattr(world, "service", replace(world.service, cells={"main": other}))
                world.publish()
        return read(*arguments, **options)

    monkeypatch.setattr(audits, "read_facts", read_late)
    assert look(world).findings == []
    assert world.tenant(customer_id).published_generation == 2


def second_clone(world: World) -> Any:
    kind = type(world.cell.repository)
    return kind(str(world.remote), world.folder / "other-clone.git")


# What a repair mends


def test_a_missing_tenant_is_published_again(world: World) -> None:
    missing, other = publish_all(world, 2)
    tree = world.tenant(missing).accepted_tree
    remove(world, missing)
    report = look(world)
    assert found(report) == {(Kind.MISSING, missing)}
    assert mend(world, report) == {missing: 2}
    assert (look(world).findings, world.tenant(missing).accepted_tree) == ([], tree)
    assert world.tenant(other).generation == 1
    with world.service.database.read() as session:
        (row,) = session.scalars(select(Audit).where(Audit.action == "tenant.repair"))
    assert (row.actor, row.customer_id, row.details["findings"]) == (
        "operator", missing, ["missing"],
    )  # fmt: skip


@on_sqlite
def test_a_repair_that_is_on_its_way_is_not_found_again(world: World) -> None:
    (missing,) = publish_all(world, 1)
    remove(world, missing)
    assert [page.generations for page in repair(world.service, look(world), ())] == [{missing: 2}]
    report = look(world)
    assert (report.findings, report.waiting) == ([], 1)
    world.publish()


def test_two_repairs_at_once_mend_each_tenant_once(world: World) -> None:
    ids = publish_all(world, 2)
    remove(world, ids[0])
    remove(world, ids[1])
    first, second = look(world), look(world)
    generations: list[dict[str, int]] = []
    threads = [
        threading.Thread(target=lambda report=each: generations.append(mend(world, report)))
        for each in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each for part in generations for each in part) == ids
    assert {world.tenant(each).generation for each in ids} == {2}


@on_sqlite
def test_outdated_certificates_are_found_and_resealed(world: World, tmp_path: Path) -> None:
    ids = publish_all(world, 2)
    take_another_certificate(world, tmp_path / "new")
    report = look(world)
    assert found(report) == {(Kind.OLD_CERTIFICATE, each) for each in ids}
    mend(world, report)
    assert look(world).findings == []


@on_sqlite
def test_full_finds_bytes_that_would_be_others_now(world: World) -> None:
    ids = publish_all(world, 2)
    take_other_templates(world)
    assert look(world).findings == []
    report = look(world, full=True)
    assert found(report) == {(Kind.BYTES_DIFFER, each) for each in ids}
    mend(world, report)
    assert look(world, full=True).findings == []


@on_sqlite
def test_what_cannot_be_rendered_is_left_as_it_stands(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    with world.service.database.write() as session:
        row = session.get_one(Tenant, customer_id)
        approved = row.approved
        row.approved = approved | {"company": "two\u2028lines"}
    report = look(world, full=True)
    assert found(report) == {(Kind.BYTES_DIFFER, customer_id)}
    assert mend(world, report) == {}
    with world.service.database.write() as session:
        session.get_one(Tenant, customer_id).approved = approved


@on_sqlite
def test_what_was_set_aside_is_taken_back_and_comes_again_while_its_reason_holds(
    world: World,
) -> None:
    (customer_id,) = publish_all(world, 1)
    with world.service.database.write() as session:
        row = session.get_one(Tenant, customer_id)
        row.approved = (approved := row.approved) | {"company": "two\u2028lines"}
        row.generation, row.set_aside = 2, "poison"
        session.add(Deployment(customer_id=customer_id, generation=2, wanted_at=world.clock()))
    report = look(world)
    assert found(report) == {(Kind.SET_ASIDE, customer_id)}
    mend(world, report)
    assert "U+2028" in look(world).findings[0].message
    with world.service.database.write() as session:
        session.get_one(Tenant, customer_id).approved = approved
    assert mend(world, look(world)) == {customer_id: 2}
    assert look(world).findings == []


@on_sqlite
def test_what_was_edited_by_hand_is_overwritten_only_where_it_is_named(world: World) -> None:
    named, other = publish_all(world, 2)
    edit(world, named)
    edit(world, other)
    report = look(world)
    assert found(report) == {(Kind.TREE_DIFFERS, named), (Kind.TREE_DIFFERS, other)}
    assert mend(world, report) == {}
    assert mend(world, report, named) == {named: 2}
    assert found(look(world)) == {(Kind.TREE_DIFFERS, other)}
    assert "# by hand" in world.git("show", f"main:{world.folder_of(other)}/namespace.yaml")
    mend(world, look(world), other)


@on_sqlite
def test_what_is_edited_after_it_was_looked_at_is_kept(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    edit(world, customer_id)
    report = look(world)
    edit(world, customer_id)
    mend(world, report, customer_id)
    assert found(look(world)) == {
        (Kind.TREE_DIFFERS, customer_id), (Kind.SET_ASIDE, customer_id),
    }  # fmt: skip
    assert plan(look(world).findings, ()) == {}  # it would only be set aside again
    mend(world, look(world), customer_id)


# What is never repaired


@on_sqlite
@pytest.mark.usefixtures("put_back")
def test_what_belongs_to_nobody_is_found_and_never_deleted(world: World) -> None:
    with world.work_tree() as place:
        for path in (
            "tenants/README", "tenants/zz/x", "tenants/00/notes/x", "platform/notes",
            "tenants/00/customer-bbbbbbbbbb/tenant.json",
        ):  # fmt: skip
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text("{}")
        (place / "docs.md").write_text("people may add what they like at the top")
    report = look(world)
    assert found(report) == {
        (Kind.UNKNOWN_FILE, "tenants/README"),
        (Kind.UNKNOWN_FILE, "tenants/zz/x"),
        (Kind.UNKNOWN_FILE, "tenants/00/notes/x"),
        (Kind.UNKNOWN_FILE, "platform/notes"),
        (Kind.UNKNOWN_TENANT, "tenants/00/customer-bbbbbbbbbb"),
    }
    head = world.git("rev-parse", "main")
    assert mend(world, report) == {}
    assert world.git("rev-parse", "main") == head


@on_sqlite
@pytest.mark.usefixtures("put_back")
def test_plain_secrets_are_found_wherever_they_lie_and_not_shown(world: World) -> None:
    customer = world.git("ls-tree", "-d", "--name-only", "-r", "main", "tenants/").splitlines()[-1]
    places = {
        f"{customer}/local/more.yaml", "tenants/00/customer-bbbbbbbbbb/x.yaml",
        "platform/1/x.json", "argocd/repository.yaml", "top.yml",
    }  # fmt: skip
    with world.work_tree() as place:
        for path in places:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text("kind: Secret\nstringData: {a: canary-value}\n")
    report = look(world)
    secrets = [each for each in report.findings if each.kind == Kind.PLAIN_SECRET]
    assert {each.path for each in secrets} == places
    assert "canary-value" not in repr(report)
    assert mend(world, report) == {}


# Rewritten history


def test_main_that_was_set_back_is_accepted_and_brought_up_to_date_again(world: World) -> None:
    older, gone = publish_all(world, 1)[0], world.sign_up().customer_id
    back_to = world.git("rev-parse", "main")
    rename_company(world.service, older, "New", actor="t", now=world.clock())
    world.publish()
    world.git("update-ref", "refs/heads/main", back_to)
    report = look(world)
    assert (Kind.HISTORY_REWRITTEN, None) in found(report)
    assert mend(world, report) == {}
    heads = repository.read_heads(world.service, world.cell)
    with pytest.raises(RepositoryError, match="by now"):
        accept(world, heads.known)
    accept(world, heads.now)
    report = look(world)
    assert found(report) == {(Kind.TREE_DIFFERS, older), (Kind.MISSING, gone)}
    assert mend(world, report) == {older: 3, gone: 2}
    assert look(world).findings == []


@on_sqlite
def test_a_halted_repository_says_so_until_its_history_is_accepted(world: World) -> None:
    publish_all(world, 1)
    with world.work_tree() as place:
        (place / "later").write_text("x")
    rename_company(world.service, (late := world.sign_up().customer_id), "x", actor="t",
                   now=world.clock())  # fmt: skip
    world.publish()
    world.git("update-ref", "refs/heads/main", "main~1")
    rename_company(world.service, late, "y", actor="t", now=world.clock())
    with pytest.raises(RepositoryError, match="accept-history"):
        world.publish()
    status = repository.read_status(world.service, world.cell)
    assert (status.behind, status.attempts, status.lease_holder) == (1, 1, None)
    assert status.halted
    accept(world, repository.read_heads(world.service, world.cell).now)
    status = repository.read_status(world.service, world.cell)
    assert (status.halted, status.attempts, status.retry_at) == (None, 0, None)
    with world.service.database.read() as session:
        (row,) = session.scalars(select(Audit).where(Audit.customer_id.is_(None)))
    assert (row.action, row.details["head"]) == ("repository.history_accepted", status.head)
    mend(world, look(world))
    world.publish()
    mend(world, look(world))
    assert look(world).findings == []


def accept(world: World, head: str | None) -> None:
    repository.accept_history(
        world.service, world.cell, head=head, actor="operator", now=world.clock()
    )
