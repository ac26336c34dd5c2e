"""Whose an error is: what is one tenant's own sets it aside, what is shared makes wait whoever
meets it; and everybody else is published.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tenantry.adapters.database.tables import Secret, Tenant
from tenantry.adapters.kustomize import Kustomize
from tenantry.adapters.vault import Vault
from tenantry.core import naming
from tenantry.flows import keys
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.fleet.bulk import Marked
from tenantry.flows.fleet.rerender import mark_for_rendering
from tenantry.flows.publishing.publish import Published, publish_due
from tests.migrated import on_sqlite
from tests.programs import require
from tests.system.fleet import ALL, look, marked, mend
from tests.system.renaming import rename_company
from tests.system.world import World

pytestmark = on_sqlite


BASE = "base/kustomization.yaml"
NEW_KEY = "A" * 43 + "="
COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
STRANGE_KUSTOMIZE = """\
#!/bin/sh
[ -f "$2/local/hang" ] && exec sleep 100
[ -f "$2/local/killed" ] && kill -9 $$
[ -f "$2/local/flood" ] && exec head -c 40000000 /dev/zero
[ -f "$2/local/garble" ] && exec echo '{['
exec {real} "$@"
"""


def rename(world: World, *customer_ids: str) -> None:
    for customer_id in customer_ids:
        rename_company(world.service, customer_id, "New", actor="t", now=world.clock())


# What people push into one tenant's folder


def make_local_a_file(folder: Path) -> None:
    (folder / "local").write_text("not a folder")


def make_local_a_link(folder: Path) -> None:
    (folder / "local").symlink_to("../somewhere")


def make_it_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("gone")


def make_it_a_link(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("../../platform")


def add_local(folder: Path, name: str) -> None:
    (folder / "local").mkdir()
    (folder / "local" / "kustomization.yaml").write_text(COMPONENT)
    (folder / "local" / name).touch()


def build_without_end(folder: Path) -> None:
    add_local(folder, "hang")


def build_without_bounds(folder: Path) -> None:
    add_local(folder, "flood")


def build_nonsense(folder: Path) -> None:
    add_local(folder, "garble")


def add_a_name_that_is_no_text(folder: Path) -> None:
    place = folder / "local" / os.fsdecode(b"\xff")
    place.mkdir(parents=True)
    (place / "kustomization.yaml").write_text(f"{COMPONENT}secretGenerator: []\n")


@pytest.fixture
def strange(world: World) -> World:
    """Its Kustomize does what files in `local/` ask of it."""
    program = world.folder / "kustomize"
    program.write_text(STRANGE_KUSTOMIZE.replace("{real}", require("kustomize")))
    program.chmod(0o755)
    service = world.service
    kustomize = Kustomize(str(program), deadline=3)
    checker = ClassChecker(kustomize, service.product, service.templates)
    world.service = replace(service, cells={"main": replace(world.cell, checker=checker)})
    return world


def publish_beside(world: World, push: Callable[[Path], None]) -> tuple[str, str, Published]:
    """Two tenants change, one of them after the push to its folder: the other is published. The
    head of main before, the one, and what the pass did.
    """
    one, other = (world.sign_up().customer_id for _ in range(2))
    world.publish()
    before = world.git("rev-parse", "main")
    with world.work_tree() as place:
        push(place / world.folder_of(one))
    rename(world, one, other)
    published = world.publish()
    assert published.tenants.keys() == {other}
    return before, one, published


@pytest.mark.parametrize(
    ("push", "says"),
    [
        (make_local_a_file, "local is no folder"),
        (make_local_a_link, "local is no folder"),
        (make_it_a_file, "something else in place"),
        (make_it_a_link, "something else in place"),
        (build_without_bounds, "more than"),
        (build_nonsense, "cannot be read"),
        (add_a_name_that_is_no_text, "'secretGenerator' is not allowed"),
    ],
)
def test_what_is_pushed_to_one_folder_keeps_no_other_tenant_from_being_published(
    strange: World, push: Callable[[Path], None], says: str
) -> None:
    world = strange
    before, one, published = publish_beside(world, push)
    assert says in str(world.tenant(one).set_aside)
    assert published.set_aside.keys() == {one}
    mend(world, look(world, full=True))
    assert world.tenant(one).published_generation == 1
    late = world.sign_up().customer_id
    assert world.publish().tenants.keys() == {late}
    restore(world, world.folder_of(one), before)


def kill_builds(folder: Path) -> None:
    add_local(folder, "killed")


@pytest.mark.parametrize(
    ("push", "says"),
    [(build_without_end, "did not end within 3 s"), (kill_builds, "ended by signal 9")],
)
def test_build_that_was_stopped_is_tried_again(
    strange: World, push: Callable[[Path], None], says: str
) -> None:
    """It may have been the machine's fault, so nobody is set aside; and nobody else waits."""
    world = strange
    before, one, published = publish_beside(world, push)
    assert says in published.postponed[one]
    assert world.tenant(one).set_aside is None
    restore(world, world.folder_of(one), before)
    world.wait(minutes=5)
    assert world.publish().tenants.keys() == {one}


def restore(world: World, folder: str, commit: str) -> None:
    """Somebody takes back what was pushed."""
    with world.work_tree() as place:
        subprocess.run(["git", "rm", "-rqf", folder], cwd=place, check=True)
        subprocess.run(["git", "checkout", "-q", commit, "--", folder], cwd=place, check=True)


# What is shared


@pytest.fixture
def typo(world: World) -> Callable[[], None]:
    """Somebody broke the platform version that all run, on main; calling it takes that back."""
    world.sign_up()
    world.publish()
    path = f"{naming.platform_folder(world.service.product.platform)}/{BASE}"
    kept = world.git("show", f"main:{path}")

    def write(text: str) -> None:
        with world.work_tree() as place:
            (place / path).write_text(text)

    write(kept.replace("resources:", "ressources:"))
    return lambda: write(kept + "\n")


def count_builds(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    build, built = Kustomize.build, list[Path]()

    def counted(self: Kustomize, folder: Path, *, root: Path | None = None) -> object:
        built.append(folder)
        return build(self, folder, root=root)

    monkeypatch.setattr(Kustomize, "build", counted)
    return built


def test_typo_in_a_platform_version_sets_nobody_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it get to main, where it would have to stay as it is."""
    built, good = count_builds(world, monkeypatch), world.service
    broken = good.platform_files[BASE].replace(b"resources:", b"ressources:")
    world.service = replace(good, platform_files={**good.platform_files, BASE: broken})
    customers = {world.sign_up().customer_id for _ in range(5)}
    published = world.publish()
    assert published.set_aside == published.tenants == {}
    assert published.postponed.keys() == customers
    assert {"no tenant of platform" in each for each in published.postponed.values()} == {True}
    assert all("ressources" in str(world.tenant(each).last_error) for each in customers)
    assert len(built) <= 2, "once for a tenant, once for one that is made up"
    assert world.git("ls-tree", "main", "platform") == ""
    world.service = good
    world.wait()
    assert world.publish().tenants.keys() == customers


def test_tenant_that_needs_nothing_of_a_broken_platform_is_published_beside_it(
    world: World, typo: Callable[[], None]
) -> None:
    (standing,) = marked(mark_everything(world))
    late = world.sign_up().customer_id
    published = world.publish()
    while not published.tenants:
        published |= world.publish()
    assert set(published.tenants) == {standing}
    assert set(published.postponed) == {late}
    typo()


def mark_everything(world: World) -> Iterator[Marked]:
    return mark_for_rendering(world.service, world.cell, ALL, everything=True)


def test_wrong_vault_sets_nobody_aside(world: World) -> None:
    customers = {world.sign_up().customer_id for _ in range(3)}
    wrong = replace(world.service, vault=Vault([NEW_KEY]))
    published = publish_due(wrong, world.cell)
    assert (published.tenants, published.set_aside) == ({}, {})
    assert published.postponed.keys() == customers
    assert all("vault" in str(world.tenant(each).last_error) for each in customers)
    world.wait()
    assert world.publish().tenants.keys() == customers


def test_vault_that_lacks_an_old_key_sets_nobody_aside(world: World) -> None:
    """Though it opens all that was wrapped since."""
    customers = [world.sign_up().customer_id for _ in range(3)]
    kept = world.service
    world.service = replace(kept, vault=Vault([NEW_KEY]))
    late = world.sign_up().customer_id
    published = world.publish()
    assert published.tenants.keys() == {late}
    assert published.postponed.keys() == set(customers)
    folder = world.folder / "data" / "keys"
    text = (folder / keys.VAULT_KEYS).read_text()
    (folder / keys.VAULT_KEYS).write_text(f"{NEW_KEY}\n{text}")
    world.service = replace(kept, vault=keys.load_vault(folder, production=False))
    world.wait()
    assert world.publish().tenants.keys() == set(customers)


def test_lone_tenant_with_a_damaged_value_is_set_aside_and_no_other(world: World) -> None:
    one, other = (world.sign_up().customer_id for _ in range(2))
    with world.service.database.write() as session:
        row = session.get_one(Secret, (one, "JWT_SECRET"))
        kept, row.wrapped = row.wrapped, b"damaged"
    published = world.publish()
    assert set(published.tenants) == {other}
    assert set(published.set_aside) == {one}
    with world.service.database.write() as session:
        session.get_one(Secret, (one, "JWT_SECRET")).wrapped = kept


def test_what_a_template_asks_in_vain_of_one_tenant_makes_it_wait(world: World) -> None:
    """It is the vendor's to mend, so nobody has to take the tenant back afterwards."""
    one, other = (world.sign_up().customer_id for _ in range(2))
    with world.service.database.write() as session:
        row = session.get_one(Tenant, one)
        approved = row.approved
        row.approved = approved | {"volumes": {}}
    published = world.publish()
    assert set(published.tenants) == {other}
    assert set(published.postponed) == {one}
    with world.service.database.write() as session:
        session.get_one(Tenant, one).approved = approved
    world.wait()
    assert world.publish().tenants.keys() == {one}
