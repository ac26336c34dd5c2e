"""From signup to main: what is committed, and what happens when it goes wrong in between."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tenantry.adapters.database.tables import Customer, SealedValue, Secret, Tenant
from tenantry.adapters.git import Before
from tenantry.adapters.seal import Kubeseal
from tenantry.core.errors import EmailTaken, ProgramMissing, RepositoryError, SealingError
from tenantry.core.model import Status
from tenantry.flows.generation import raise_generation
from tenantry.flows.publishing import ledger
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.signups.signup import SignedUp
from tests.system.fleet import edit
from tests.system.renaming import rename_company
from tests.system.world import World

HOSTILE_NAMES = [
    "{{7*7}}",
    "$(id)",
    "1e3",
    ": -",
    "../",
    "\u202eevil",
    "🔑 GmbH",
    "-rf",
    "<script>",
]


def test_signup_becomes_one_commit_that_is_recorded(world: World) -> None:
    signed_up = world.sign_up()
    published = world.publish()
    tenant = world.tenant(signed_up.customer_id)
    assert published.tenants == {signed_up.customer_id: tenant.published_commit}
    assert world.tenant_commits() == [tenant.published_commit]
    assert (tenant.published_generation, tenant.status) == (1, Status.PROVISIONING)
    subject = world.git("log", "-1", "--format=%s", "main")
    assert subject == f"Provision {signed_up.customer_id}: starter, active"


def test_nothing_to_do_makes_no_commit(world: World) -> None:
    world.sign_up()
    world.publish()
    head = world.git("rev-parse", "main")
    assert world.publish().tenants == {}
    assert world.git("rev-parse", "main") == head


def test_many_signups_go_out_with_one_push_and_a_commit_each(world: World) -> None:
    pushes = count_pushes(world)
    customers = {world.sign_up().customer_id for _ in range(25)}
    assert world.publish().tenants.keys() == customers
    assert len(world.tenant_commits()) == 25
    assert pushes() == 1


def test_first_push_founds_the_repository(world: World) -> None:
    world.sign_up()
    world.publish()
    top = world.git("ls-tree", "--name-only", "main").split()
    # but for what GitHub takes only from a token that may write workflows
    assert top == [".gitlab-ci.yml", "CODEOWNERS", "README.md", "argocd", "platform", "tenants"]
    assert str(world.remote) in world.git("show", "main:argocd/applicationsets.yaml")


def test_founding_overwrites_nothing_that_people_wrote(world: World) -> None:
    with world.work_tree() as place:
        (place / "README.md").write_text("ours\n")
    world.sign_up()
    world.publish()
    assert world.git("show", "main:README.md") == "ours"
    assert world.git("ls-tree", "--name-only", "main", "argocd/")


def test_two_publishers_that_seal_at_once_agree_on_one_ciphertext(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_up = world.sign_up()
    seal, once = Kubeseal.seal, iter([True])

    def seal_after_the_other(self: Kubeseal, *arguments: Any, **options: Any) -> Any:
        if next(once, False):
            world.publish()  # the other one is faster
        return seal(self, *arguments, **options)

    monkeypatch.setattr(Kubeseal, "seal", seal_after_the_other)
    world.publish()
    assert world.tenant_commits() == [world.tenant(signed_up.customer_id).published_commit]


def test_new_company_name_changes_one_file_and_no_ciphertext(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    sealed = read_sealed(world)
    rename_company(
        world.service, signed_up.customer_id, "New 🔑 Name", actor="test", now=world.clock()
    )
    world.publish()
    changed = world.git("diff", "--name-only", "main~1", "main")
    assert changed == f"{world.folder_of(signed_up.customer_id)}/tenant.json"
    assert read_sealed(world) == sealed
    assert json.loads(world.git("show", f"main:{changed}"))["company"] == "New 🔑 Name"


@pytest.mark.parametrize("company", HOSTILE_NAMES)
def test_hostile_company_name_is_data_and_nothing_else(world: World, company: str) -> None:
    signed_up = world.sign_up(company_name=company)
    assert world.publish().set_aside == {}
    folder = world.folder_of(signed_up.customer_id)
    assert json.loads(world.git("show", f"main:{folder}/tenant.json"))["company"] == company


def test_racing_signups_with_one_email_make_one_customer(world: World) -> None:
    outcomes: list[Any] = []
    start = threading.Barrier(6)

    def race() -> None:
        start.wait()
        try:
            outcomes.append(world.sign_up(email="Race@Example.com"))
        except EmailTaken as error:
            outcomes.append(error)

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["EmailTaken"] * 5 + [
        "SignedUp"
    ]
    with world.service.database.read() as session:
        assert len(session.scalars(select(Customer)).all()) == 1


# Git


def test_rejected_push_is_read_again_and_rebuilt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    world.publish()
    late = world.sign_up()
    push, rivals = world.cell.repository.push, iter(range(3))

    def push_after_somebody_else(branches: Mapping[str, str]) -> Before:
        if (number := next(rivals, None)) is not None:
            with world.work_tree() as place:
                (place / f"README-{number}.md").write_text("by hand")
        return push(branches)

    monkeypatch.setattr(world.cell.repository, "push", push_after_somebody_else)
    assert world.publish().tenants.keys() == {late.customer_id}
    log = world.git("log", "--format=%s", "main").splitlines()
    assert log[:4] == [f"Provision {late.customer_id}: starter, active", *["By hand"] * 3]


def test_change_between_rejection_and_rebuild_is_what_lands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits are built anew from the rows, never replayed: no old generation over a newer one."""
    signed_up = world.sign_up()
    world.publish()
    rename_company(world.service, signed_up.customer_id, "Second", actor="t", now=world.clock())
    push, once = world.cell.repository.push, iter([True])

    def push_after_a_change(branches: Mapping[str, str]) -> Before:
        if next(once, False):
            rename_company(
                world.service, signed_up.customer_id, "Third", actor="t", now=world.clock()
            )
            with world.work_tree() as place:
                (place / "README.md").write_text("by hand")
        return push(branches)

    monkeypatch.setattr(world.cell.repository, "push", push_after_a_change)
    world.publish()
    path = f"{world.folder_of(signed_up.customer_id)}/tenant.json"
    assert json.loads(world.git("show", f"main:{path}"))["company"] == "Third"
    assert world.tenant(signed_up.customer_id).published_generation == 3


def die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def publish_and_die_before_it_is_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "accept", die)
        with pytest.raises(KeyboardInterrupt):
            world.publish()


def test_death_between_push_and_record_publishes_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_up = world.sign_up()
    publish_and_die_before_it_is_recorded(world, monkeypatch)
    assert world.tenant(signed_up.customer_id).published_generation == 0
    world.publish()
    tenant = world.tenant(signed_up.customer_id)
    assert tenant.published_generation == 1
    assert world.tenant_commits() == [tenant.published_commit]


def test_own_unrecorded_push_is_not_mistaken_for_an_edit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the push; then the tenant changes, so main shows neither old nor new."""
    signed_up = world.sign_up()
    publish_and_die_before_it_is_recorded(world, monkeypatch)
    rename_company(world.service, signed_up.customer_id, "Other", actor="t", now=world.clock())
    assert world.publish().set_aside == {}
    assert world.tenant(signed_up.customer_id).published_generation == 2


def test_death_before_the_push_is_made_up_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_up = world.sign_up()
    with monkeypatch.context() as patch:
        patch.setattr(world.cell.repository, "push", die)
        with pytest.raises(KeyboardInterrupt):
            world.publish()
    assert world.publish().tenants.keys() == {signed_up.customer_id}


def test_git_being_away_loses_nothing(world: World) -> None:
    signed_up = world.sign_up()
    world.remote.rename(world.folder / "away.git")
    with pytest.raises(RepositoryError):
        world.publish()
    (world.folder / "away.git").rename(world.remote)
    world.wait()
    assert world.publish().tenants.keys() == {signed_up.customer_id}


# People who write to main


def test_an_edit_by_hand_stays_through_every_change_that_leaves_its_file_alone(
    world: World,
) -> None:
    edited, other = world.sign_up(), world.sign_up()
    world.publish()
    folder = world.folder_of(edited.customer_id)
    edit(world, edited.customer_id, "namespace.yaml")
    for name in ("New", "Newer"):
        for each in (edited, other):
            rename_company(world.service, each.customer_id, name, actor="t", now=world.clock())
        assert world.publish().tenants.keys() == {edited.customer_id, other.customer_id}
        assert world.git("show", f"main:{folder}/namespace.yaml").endswith("# by hand")
        assert f'"{name}"' in world.git("show", f"main:{folder}/tenant.json")
    tenant = world.tenant(edited.customer_id)
    assert (list(tenant.edited_files or ()), tenant.is_edit_adopted) == (["namespace.yaml"], False)
    assert world.tenant(other.customer_id).rendered_tree is None


def test_an_edit_by_hand_makes_no_commit_where_nothing_else_changes(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    edit(world, signed_up.customer_id, "ingress.yaml")
    head = world.git("rev-parse", "main")
    for _ in range(2):
        have_published_again(world, signed_up)
        assert world.publish().tenants == {signed_up.customer_id: head}
    assert world.git("rev-parse", "main") == head


def test_an_edit_by_hand_of_what_has_to_change_is_kept_and_set_aside(world: World) -> None:
    edited, other = world.sign_up(), world.sign_up()
    world.publish()
    head = world.git("rev-parse", "main")
    edit(world, edited.customer_id, "tenant.json")
    for each in (edited, other):
        rename_company(world.service, each.customer_id, "New", actor="t", now=world.clock())
    published = world.publish()
    assert published.tenants.keys() == {other.customer_id}
    reason = published.set_aside[edited.customer_id]
    assert ("edited by hand" in reason, "tenant.json" in reason) == (True, True)
    path = f"{world.folder_of(edited.customer_id)}/tenant.json"
    assert world.git("show", f"main:{path}").endswith("# by hand")
    assert world.publish().tenants == {}
    take_back(world, edited, head)


def test_an_edit_by_hand_of_the_record_is_set_aside_though_nothing_changes_it(
    world: World,
) -> None:
    edited = world.sign_up()
    world.publish()
    head = world.git("rev-parse", "main")
    edit(world, edited.customer_id, "tenant.json", "\n")
    have_published_again(world, edited)
    assert "tenant.json" in world.publish().set_aside[edited.customer_id]
    take_back(world, edited, head)


def test_what_an_edit_by_hand_makes_of_a_tenant_is_built_before_it_is_published(
    world: World,
) -> None:
    edited = world.sign_up()
    world.publish()
    head = world.git("rev-parse", "main")
    edit(world, edited.customer_id, "ingress.yaml", "kind: Another\n")
    have_published_again(world, edited)
    assert "kustomize" in world.publish().set_aside[edited.customer_id]
    take_back(world, edited, head)


@pytest.mark.parametrize("name", ["notes.txt", "more/notes.txt"])
def test_files_that_are_not_ours_are_kept_and_the_tenant_is_set_aside(
    world: World, name: str
) -> None:
    edited = world.sign_up()
    world.publish()
    head = world.git("rev-parse", "main")
    edit(world, edited.customer_id, name)
    have_published_again(world, edited)
    assert "local/" in world.publish().set_aside[edited.customer_id]
    take_back(world, edited, head)


def test_an_edit_on_what_was_pushed_and_not_recorded_is_kept_like_any_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = world.sign_up()
    world.publish()
    for name, file in (("New", "namespace.yaml"), ("Newer", "ingress.yaml")):
        rename_company(world.service, edited.customer_id, name, actor="t", now=world.clock())
        with monkeypatch.context() as patch:
            patch.setattr(ledger, "accept", die)
            with pytest.raises(KeyboardInterrupt):
                world.publish()
        edit(world, edited.customer_id, file)
    rename_company(world.service, edited.customer_id, "Newest", actor="t", now=world.clock())
    world.publish()
    files = sorted(world.tenant(edited.customer_id).edited_files or ())
    assert files == ["ingress.yaml", "namespace.yaml"]
    for name in files:
        content = world.git("show", f"main:{world.folder_of(edited.customer_id)}/{name}")
        assert content.endswith("# by hand")


def test_a_folder_that_was_reverted_by_hand_is_set_aside(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    head = world.git("rev-parse", "main")
    rename_company(world.service, signed_up.customer_id, "New", actor="t", now=world.clock())
    world.publish()
    later = world.git("rev-parse", "main")
    take_back(world, signed_up, head)
    have_published_again(world, signed_up)
    assert "reverted" in world.publish().set_aside[signed_up.customer_id]
    take_back(world, signed_up, later)


def test_folder_removed_by_hand_is_not_put_back(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    folder = world.folder_of(signed_up.customer_id)
    before = world.git("rev-parse", "main")
    with world.work_tree() as place:
        for path in (place / folder).iterdir():
            path.unlink()
    rename_company(world.service, signed_up.customer_id, "New", actor="t", now=world.clock())
    assert "removed from main" in world.publish().set_aside[signed_up.customer_id]
    with world.work_tree() as place:
        (place / folder).mkdir(parents=True)
        for name in world.git("ls-tree", "--name-only", f"{before}:{folder}").split():
            content = world.git("show", f"{before}:{folder}/{name}")
            (place / folder / name).write_text(content + "\n")


def test_reviewers_own_changes_in_local_are_kept_and_included(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    folder = world.folder_of(signed_up.customer_id)
    with world.work_tree() as place:
        (place / folder / "local").mkdir()
        (place / folder / "local" / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
            "labels: [{pairs: {reviewed: 'yes'}}]\n"
        )
    rename_company(world.service, signed_up.customer_id, "New", actor="t", now=world.clock())
    assert world.publish().set_aside == {}
    assert "local" in world.git("show", f"main:{folder}/kustomization.yaml")
    assert "reviewed" in world.git("show", f"main:{folder}/local/kustomization.yaml")


def take_back(world: World, signed_up: SignedUp, commit: str) -> None:
    """Make the folder what it was, so that the invariants hold again."""
    folder = world.folder_of(signed_up.customer_id)
    with world.work_tree() as place:
        shutil.rmtree(place / folder)
        subprocess.run(["git", "checkout", commit, "--", folder], cwd=place, check=True)


def have_published_again(world: World, signed_up: SignedUp) -> None:
    with world.service.database.write() as session:
        tenant = session.get_one(Tenant, signed_up.customer_id)
        raise_generation(session, tenant, action="tenant.repair", actor="t", now=world.clock())


# Poison


def test_poisoned_tenant_is_set_aside_and_the_others_go_on(world: World) -> None:
    poisoned, healthy = world.sign_up(), world.sign_up()
    with world.service.database.write() as session:
        row = session.get_one(Tenant, poisoned.customer_id)
        row.approved = row.approved | {"company": "two\u2028lines"}
    published = world.publish()
    assert published.tenants.keys() == {healthy.customer_id}
    assert "U+2028" in published.set_aside[poisoned.customer_id]
    assert world.publish().set_aside == {}


def test_tenant_from_before_a_new_secret_is_set_aside(world: World) -> None:
    """The product got another key since; what there is no value for is not made up."""
    old, new = world.sign_up(), world.sign_up()
    with world.service.database.write() as session:
        row = session.get_one(Tenant, old.customer_id)
        approved = row.approved
        versions = {k: v for k, v in approved["secret_versions"].items() if k != "JWT_SECRET"}
        row.approved = approved | {"secret_versions": versions}
    published = world.publish()
    assert published.tenants.keys() == {new.customer_id}
    assert "no value for JWT_SECRET" in published.set_aside[old.customer_id]


def test_tenant_whose_secret_cannot_be_opened_is_set_aside(world: World) -> None:
    poisoned, healthy = world.sign_up(), world.sign_up()
    with world.service.database.write() as session:
        kept = session.get_one(Secret, (poisoned.customer_id, "JWT_SECRET"))
        wrapped, kept.wrapped = kept.wrapped, b"damaged"
    published = world.publish()
    assert published.tenants.keys() == {healthy.customer_id}
    assert "could not be unwrapped" in published.set_aside[poisoned.customer_id]
    with world.service.database.write() as session:
        session.get_one(Secret, (poisoned.customer_id, "JWT_SECRET")).wrapped = wrapped


# kubeseal


def test_missing_kubeseal_publishes_nothing_and_says_what_to_do(world: World) -> None:
    signed_up = world.sign_up()
    without = replace(world.service, kubeseal=Kubeseal("/nonexistent/kubeseal"))
    with pytest.raises(ProgramMissing, match="make tools"):
        publish_due(without, world.cell)
    assert world.git("for-each-ref") == ""
    world.wait()
    assert world.publish().tenants.keys() == {signed_up.customer_id}


def test_expired_certificate_publishes_nothing(world: World) -> None:
    world.sign_up()
    world.clock.time += timedelta(days=200 * 365)
    with pytest.raises(SealingError, match="expired"):
        world.publish()
    assert world.git("for-each-ref") == ""


def read_sealed(world: World) -> dict[tuple[str, str], str]:
    with world.service.database.read() as session:
        rows = session.scalars(select(SealedValue))
        return {(row.customer_id, row.key): row.ciphertext for row in rows}


def count_pushes(world: World) -> Any:
    log = world.folder / "pushes"
    hook = world.remote / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\necho push >> {log}\n")
    hook.chmod(0o755)
    return lambda: len(Path(log).read_text().splitlines())
