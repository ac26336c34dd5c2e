"""The audit: every kind of finding, and what is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tenantry.adapters.database.tables import Tenant
from tenantry.core.finding import Kind
from tenantry.flows.auditing import audit as audits
from tenantry.flows.auditing import facts, strays
from tenantry.flows.generation import raise_generation
from tests.migrated import on_sqlite
from tests.system.fleet import found, look, mend, publish_all, remove, second_clone
from tests.system.renaming import rename_company
from tests.system.world import World

pytestmark = on_sqlite


@pytest.fixture
def put_back(world: World) -> Iterator[None]:
    """For tests that leave on main what belongs to nobody: main is as it was, afterwards."""
    publish_all(world, 2)
    before = world.git("rev-parse", "main")
    yield
    world.git("update-ref", "refs/heads/main", before)


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


def test_an_empty_repository_and_an_empty_database_agree(world: World) -> None:
    report = look(world, full=True)
    assert (report.findings, report.head, report.tenants) == ([], None, 0)


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


def test_a_tenant_that_is_published_meanwhile_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (customer_id,) = publish_all(world, 1)
    read = facts.read_facts

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


def test_a_tenant_that_is_mended_before_the_second_look_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (customer_id,) = publish_all(world, 1)
    remove(world, customer_id)
    read, looks = facts.read_facts, iter(range(9))

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


# What belongs to nobody


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


@pytest.mark.usefixtures("put_back")
def test_second_record_of_a_tenant_is_found_though_local_is_the_reviewers(world: World) -> None:
    customer = world.git("ls-tree", "-d", "--name-only", "-r", "main", "tenants/").splitlines()[-1]
    with world.work_tree() as place:
        (place / customer / "local").mkdir()
        (place / customer / "local" / "tenant.json").write_text("{}")
    (finding,) = look(world).findings
    assert (finding.kind, finding.path) == (Kind.UNKNOWN_FILE, f"{customer}/local/tenant.json")
    assert "a second record" in finding.message


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


@pytest.mark.usefixtures("put_back")
def test_file_too_large_to_be_looked_into_is_told_and_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = world.cell.repository
    read: list[str] = []
    read_blobs = repository.blobs

    def blobs(ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        read.extend(asked := list(ids))
        return read_blobs(asked)

    with world.work_tree() as place:
        (place / "film.yaml").write_bytes(b"kind: Secret\n" + b"#" * strays.SCANNED_AT_MOST)
        (place / "manual.yaml").write_bytes(b"#" * strays.SCANNED_AT_MOST)
    monkeypatch.setattr(repository, "blobs", blobs)
    report = look(world)
    assert found(report) == {(Kind.UNKNOWN_FILE, "film.yaml")}
    assert world.git("rev-parse", "main:film.yaml") not in read
    assert world.git("rev-parse", "main:manual.yaml") in read
