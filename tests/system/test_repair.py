"""The repair: what it mends, what it leaves to the people who wrote it, and rewritten history."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from tenantry.adapters.database.tables import Audit, Deployment, Tenant
from tenantry.core.errors import ChangeRefused, RepositoryError
from tenantry.core.finding import Kind
from tenantry.flows.auditing import repository
from tenantry.flows.auditing.adopting import adopt
from tenantry.flows.auditing.audit import audit
from tenantry.flows.auditing.repair import plan, repair
from tests.migrated import on_sqlite
from tests.system.fleet import (
    accept,
    edit,
    found,
    look,
    mend,
    publish_all,
    remove,
    second_clone,
    take_another_certificate,
    take_other_templates,
)
from tests.system.renaming import rename_company
from tests.system.world import World

pytestmark = on_sqlite


# What it mends


def test_what_somebody_removed_comes_back_only_where_it_is_named(world: World) -> None:
    missing, other = publish_all(world, 2)
    tree = world.tenant(missing).accepted_tree
    remove(world, missing)
    report = look(world)
    assert found(report) == {(Kind.MISSING, missing)}
    assert f"--overwrite {missing}" in report.findings[0].as_text()
    assert mend(world, report) == {}
    assert mend(world, report, other) == {}
    assert mend(world, report, missing) == {missing: 2}
    assert (look(world).findings, world.tenant(missing).accepted_tree) == ([], tree)
    assert world.tenant(other).generation == 1
    with world.service.database.read() as session:
        (row,) = session.scalars(select(Audit).where(Audit.action == "tenant.repair"))
    assert (row.actor, row.customer_id, row.details["findings"]) == (
        "operator", missing, ["missing"],
    )  # fmt: skip


def test_a_repair_that_is_on_its_way_is_not_found_again(world: World) -> None:
    (missing,) = publish_all(world, 1)
    remove(world, missing)
    (page,) = repair(world.service, look(world), [missing])
    assert page.generations == {missing: 2}
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
        threading.Thread(target=lambda report=each: generations.append(mend(world, report, *ids)))
        for each in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each for part in generations for each in part) == ids
    assert {world.tenant(each).generation for each in ids} == {2}


def test_outdated_certificates_are_found_and_resealed(world: World, tmp_path: Path) -> None:
    ids = publish_all(world, 2)
    take_another_certificate(world, tmp_path / "new")
    report = look(world)
    assert found(report) == {(Kind.OLD_CERTIFICATE, each) for each in ids}
    mend(world, report)
    assert look(world).findings == []


def test_full_finds_bytes_that_would_be_others_now(world: World) -> None:
    ids = publish_all(world, 2)
    take_other_templates(world)
    assert look(world).findings == []
    report = look(world, full=True)
    assert found(report) == {(Kind.BYTES_DIFFER, each) for each in ids}
    mend(world, report)
    assert look(world, full=True).findings == []


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


def test_what_is_edited_after_it_was_looked_at_is_kept(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    edit(world, customer_id)
    report = look(world)
    edit(world, customer_id)
    mend(world, report, customer_id)
    path = f"main:{world.folder_of(customer_id)}/namespace.yaml"
    assert world.git("show", path).count("# by hand") == 2
    assert found(look(world)) == {(Kind.EDITED_BY_HAND, customer_id)}
    mend(world, look(world), customer_id)
    assert "# by hand" not in world.git("show", path)
    assert (look(world).findings, world.tenant(customer_id).rendered_tree) == ([], None)


def test_what_cannot_be_kept_is_set_aside_until_it_is_named(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    edit(world, customer_id, "tenant.json")
    rename_company(world.service, customer_id, "New", actor="t", now=world.clock())
    world.publish()
    report = look(world)
    assert found(report) == {(Kind.TREE_DIFFERS, customer_id), (Kind.SET_ASIDE, customer_id)}
    assert plan(report.findings, ()) == {}  # it would only be set aside again
    mend(world, report, customer_id)
    assert look(world).findings == []


def test_a_tenant_with_an_edit_is_mended_like_any_other(world: World, tmp_path: Path) -> None:
    (customer_id,) = publish_all(world, 1)
    edit(world, customer_id)
    adopt(world.service, customer_id, actor="operator")
    take_another_certificate(world, tmp_path / "new")
    report = look(world)
    assert found(report) == {(Kind.OLD_CERTIFICATE, customer_id)}
    mend(world, report)
    assert look(world, full=True).findings == []
    path = f"main:{world.folder_of(customer_id)}/namespace.yaml"
    assert world.git("show", path).endswith("# by hand")


# Adopting


def test_an_edit_is_found_until_it_is_adopted_and_again_when_it_changes(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    edit(world, customer_id)
    (finding,) = look(world).findings
    assert finding.kind == Kind.TREE_DIFFERS
    assert "+# by hand" in finding.edited["namespace.yaml"]
    rename_company(world.service, customer_id, "New", actor="t", now=world.clock())
    world.publish()
    (finding,) = look(world, full=True).findings
    assert (finding.kind, finding.message.rpartition(": ")[2]) == (
        Kind.EDITED_BY_HAND, "namespace.yaml",
    )  # fmt: skip
    assert "+# by hand" in finding.edited["namespace.yaml"]
    assert adopt(world.service, customer_id, actor="operator") == ("namespace.yaml",)
    rename_company(world.service, customer_id, "Newer", actor="t", now=world.clock())
    world.publish()
    assert look(world, full=True).findings == []
    edit(world, customer_id)
    assert found(look(world)) == {(Kind.TREE_DIFFERS, customer_id)}
    rename_company(world.service, customer_id, "Newest", actor="t", now=world.clock())
    world.publish()
    assert found(look(world)) == {(Kind.EDITED_BY_HAND, customer_id)}


def test_an_edit_is_adopted_though_nothing_is_due(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    edit(world, customer_id)
    head = world.git("rev-parse", "main")
    assert adopt(world.service, customer_id, actor="operator") == ("namespace.yaml",)
    tenant = world.tenant(customer_id)
    assert (look(world, full=True).findings, world.git("rev-parse", "main")) == ([], head)
    assert (tenant.generation, tenant.published_commit, tenant.is_edit_adopted) == (1, head, True)
    with world.service.database.read() as session:
        (row,) = session.scalars(select(Audit).where(Audit.action == "tenant.edit_adopted"))
    assert (row.actor, row.details["files"]) == ("operator", ["namespace.yaml"])


def test_where_there_is_no_edit_there_is_nothing_to_adopt(world: World) -> None:
    adopted, edited, removed = publish_all(world, 3)
    refused = partial(pytest.raises, ChangeRefused)
    with refused(match="no edit"):
        adopt(world.service, adopted, actor="operator")
    edit(world, adopted)
    adopt(world.service, adopted, actor="operator")
    with refused(match="no edit that nobody adopted"):
        adopt(world.service, adopted, actor="operator")
    edit(world, edited, "tenant.json")
    with refused(match=r"tenant\.json"):
        adopt(world.service, edited, actor="operator")
    remove(world, removed)
    with refused(match="no folder"):
        adopt(world.service, removed, actor="operator")
    mend(world, look(world), edited, removed)


def test_an_edit_that_holds_a_secret_is_named_and_not_shown(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    secret = "---\nkind: Secret\nstringData: {a: canary-value}\n"
    edit(world, customer_id, text=secret)
    adopt(world.service, customer_id, actor="operator")
    report = look(world)
    assert [each.kind for each in report.findings] == [Kind.PLAIN_SECRET]
    edit(world, customer_id)
    report = look(world)
    assert found(report) >= {(Kind.TREE_DIFFERS, customer_id)}
    assert "canary-value" not in repr(report)
    mend(world, report, customer_id)


def test_what_somebody_reverted_stays_reverted_until_it_is_named(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    rename_company(world.service, customer_id, "New", actor="t", now=world.clock())
    world.publish()
    tree = world.tenant(customer_id).accepted_tree
    with world.work_tree() as place:
        git = ["git", "-c", "user.name=Reviewer", "-c", "user.email=r@example.com"]
        subprocess.run([*git, "revert", "--no-commit", "HEAD"], cwd=place, check=True)
    report = look(world)
    assert found(report) == {(Kind.TREE_DIFFERS, customer_id)}
    assert f"--overwrite {customer_id}" in report.findings[0].as_text()
    assert mend(world, report) == {}
    assert mend(world, report, customer_id) == {customer_id: 3}
    assert (look(world).findings, world.tenant(customer_id).accepted_tree) == ([], tree)


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
    elsewhere = replace(world.cell, repository=second_clone(world))  # never saw the lost commits
    assert audit(world.service, elsewhere).findings == report.findings
    assert mend(world, report) == {older: 3, gone: 2}
    assert look(world).findings == []


def test_what_is_removed_after_main_was_set_back_is_still_somebodys_will(world: World) -> None:
    kept, gone = publish_all(world, 1)[0], world.sign_up().customer_id
    back_to = world.git("rev-parse", "main")
    world.publish()
    world.git("update-ref", "refs/heads/main", back_to)
    accept(world, back_to)
    remove(world, kept)
    report = look(world)
    assert found(report) == {(Kind.MISSING, kept), (Kind.MISSING, gone)}
    assert mend(world, report) == {gone: 2}
    assert mend(world, look(world), kept) == {kept: 2}


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
        (row,) = session.scalars(select(Audit).where(Audit.action == "repository.history_accepted"))
    assert (row.customer_id, row.details["head"]) == (None, status.head)
    mend(world, look(world))
    world.publish()
    mend(world, look(world))
    assert look(world).findings == []
