"""Platform versions: one tree each, from folder to main, compared, shown and taken away again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from sqlalchemy import delete, select

from tenantry import assets, doctor, settings
from tenantry.adapters.database.tables import Audit, LeaseRow, Platform
from tenantry.adapters.kustomize import Kustomize
from tenantry.core.errors import (
    HistoryRewritten,
    LeaseLost,
    OverlayRefused,
    PlatformRefused,
    RepositoryError,
    SettingsError,
)
from tenantry.core.finding import Kind
from tenantry.core.gittree import folder_id
from tenantry.core.model import State
from tenantry.flows import platform_records
from tenantry.flows.class_check import ClassChecker
from tenantry.flows.platforms.diff import diff
from tenantry.flows.platforms.prune import find_unused, prune
from tenantry.flows.platforms.publish import Published, publish
from tenantry.flows.platforms.versions import Version, list_versions
from tenantry.flows.publishing import turn
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.service import Cell, Service
from tests.built import vendor
from tests.faults import Died, Fault, Life, live
from tests.faults import Kind as Wrong
from tests.migrated import on_sqlite
from tests.programs import require
from tests.system.console import Operator
from tests.system.fleet import accept, found, look, mend
from tests.system.renaming import rename_company
from tests.system.world import World

pytestmark = on_sqlite


BASE = "base/kustomization.yaml"
POSTGRES = "base/postgres.yaml"
QUOTA = "plans/starter/quota.yaml"
STARTER = "plans/starter/kustomization.yaml"
NOTES = "notes.txt"  # which no kustomization names: another tree, the same objects
_built: dict[bytes, list[dict[str, Any]]] = {}


@dataclass(frozen=True)
class Remembering(Kustomize):
    """The real one, asked once for the same files: these tests build the same tenants often."""

    def build(self, folder: Path, *, root: Path | None = None) -> list[dict[str, Any]]:
        top = root or folder
        content = hashlib.sha256(str(folder.relative_to(top)).encode())
        for path in sorted(each for each in top.rglob("*") if each.is_file()):
            content.update(f"\0{path.relative_to(top)}\0".encode() + path.read_bytes())
        if (key := content.digest()) not in _built:
            _built[key] = super().build(folder, root=root)
        return _built[key]


@pytest.fixture
def small(world: World) -> World:
    """One whose product sells one plan, so that less is built."""
    service = world.service
    plan = service.product.trial.plan
    product = service.product.model_copy(update={"plans": {plan: service.product.plans[plan]}})
    checker = ClassChecker(Remembering(require("kustomize")), product, service.templates)
    cell = replace(world.cell, checker=checker)
    world.service = replace(service, product=product, cells={cell.name: cell})
    return world


@pytest.fixture
def lived_in(small: World) -> World:
    """One with a tenant of version v1."""
    small.sign_up()
    small.publish()
    return small


def with_files(service: Service, **files: bytes) -> Service:
    """The service with other files in its version's folder."""
    return replace(service, platform_files={**service.platform_files, **files})


def of_version(service: Service, version: str, files: dict[str, bytes] | None = None) -> Service:
    """The service as it is with another version in the product's folder."""
    product = service.product.model_copy(update={"platform": version})
    return replace(with_files(service, **(files or {NOTES: b"new"})), product=product)


def edited(service: Service, path: str, old: str, new: str) -> dict[str, bytes]:
    text = service.platform_files[path].decode()
    assert old in text
    return {path: text.replace(old, new).encode()}


def put(world: World, service: Service | None = None) -> Published:
    return publish(service or world.service, world.cell, actor="operator")


def tree(world: World, version: str = "v1") -> str:
    return world.git("rev-parse", f"main:platform/{version}")


def shown(world: World) -> list[str]:
    return world.git("ls-tree", "--name-only", "main", "platform/").split()


def book(world: World) -> dict[str, tuple[str, bool]]:
    """What is recorded: version -> tree, and whether it is there."""
    recorded = platform_records.read(world.service, world.cell)
    return {each: (row.tree, row.removed_at is None) for each, row in recorded.items()}


def versions(world: World, service: Service | None = None) -> dict[str, Version]:
    listed = list_versions(service or world.service, world.cell)
    return {each.version: each for each in listed}


def change_by_hand(world: World, version: str = "v1") -> str:
    """Somebody changes a version on main; the commit."""
    with world.work_tree() as place:
        (place / f"platform/{version}/{NOTES}").write_text("by hand")
    return world.git("rev-parse", "main")


def take_back(world: World, version: str = "v1") -> None:
    with world.work_tree() as place:
        (place / f"platform/{version}/{NOTES}").unlink()
    world.wait()


def let_leases_run_out(world: World) -> None:
    with world.service.database.write() as session:
        session.execute(delete(LeaseRow))


def elsewhere(world: World, service: Service, fault: Fault | None = None) -> tuple[Service, Cell]:
    """The service in another process."""
    other = live(service, Life(fault), clones=world.folder / "clones")
    return other, other.cells["main"]


# What a version stands for


def test_version_is_recorded_with_the_batch_that_founds_it(small: World) -> None:
    world = small
    world.sign_up()
    assert book(world) == {}
    world.publish()
    assert book(world) == {"v1": (tree(world), True)}
    assert tree(world) == folder_id(world.service.platform_files)
    (row,) = platform_records.read(world.service, world.cell).values()
    assert row.commit == world.git("log", "-1", "--format=%H", "main", "--", "platform")
    with world.service.database.read() as session:
        (entry,) = session.scalars(select(Audit).where(Audit.action == "platform.published"))
        assert (entry.actor, entry.details["version"]) == ("publisher", "v1")


def test_version_is_recorded_though_the_publisher_died_after_its_push(small: World) -> None:
    world = small
    customer_id = world.sign_up().customer_id
    dying = elsewhere(world, world.service, Fault("repository.push", 1, Wrong.DIE_AFTER))
    with pytest.raises(Died):
        publish_due(*dying)
    assert (shown(world), book(world)) == (["platform/v1"], {})
    let_leases_run_out(world)
    assert world.publish().tenants.keys() == {customer_id}
    assert book(world) == {"v1": (tree(world), True)}


def test_folder_that_changed_under_a_used_version_stops_no_signup(lived_in: World) -> None:
    world, before = lived_in, tree(lived_in)
    kept, world.service = world.service, with_files(world.service, **{NOTES: b"changed"})
    with pytest.raises(PlatformRefused, match=r"not what version v1 was .*give .* a new version"):
        put(world)
    assert "not what version v1" in versions(world)["v1"].differs
    platform_records._warn.cache_clear()
    with structlog.testing.capture_logs() as logged:
        for _ in range(2):
            customer_id = world.sign_up().customer_id
            assert world.publish().tenants.keys() == {customer_id}
    assert [each["event"] for each in logged].count("platform.folder_differs") == 1
    assert (tree(world), look(world).findings) == (before, [])
    world.service = kept


def test_doctor_tells_a_folder_that_is_not_what_was_published(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "product"
    shutil.copytree(assets.path("tenant_templates"), folder)
    given = {"data_dir": world.folder / "data", "database_url": f"sqlite:///{tmp_path}/tenantry.db"}
    configured = settings.load(product_dir=folder, **given)

    def look() -> str:
        return doctor._platform("main", doctor._vendor(configured), configured)

    assert look() == "version v1 is not published yet"
    world.sign_up()
    world.publish()
    assert look() == "version v1 is as published"
    (folder / "platform/v1" / NOTES).write_text("changed")
    with pytest.raises(SettingsError, match=r"not what version v1 was .*give .* a new version"):
        look()
    (folder / "product.yaml").unlink()
    assert look().startswith("not compared")


def test_version_changed_on_main_by_hand_is_published_to_nobody(lived_in: World) -> None:
    world = lived_in
    commit = change_by_hand(world)
    customer_id = world.sign_up().customer_id
    published = world.publish()
    assert (published.tenants, published.set_aside) == ({}, {})
    assert "not what it was published as" in published.postponed[customer_id]
    report = look(world)
    (finding,) = report.findings
    assert found(report) == {(Kind.PLATFORM_CHANGED, "platform/v1")}
    assert commit[:12] in finding.message
    assert finding.remedy.startswith(f"git revert {commit[:12]}")
    assert mend(world, report) == {}, "no repair overwrites it"
    assert tree(world) != book(world)["v1"][0]
    assert "not what it was published as" in versions(world)["v1"].fault
    with pytest.raises(PlatformRefused, match="git revert"):
        put(world)
    take_back(world)
    assert world.publish().tenants.keys() == {customer_id}
    assert look(world).findings == []


def test_tenant_of_another_version_is_published_beside_one_that_was_changed(small: World) -> None:
    world, old = small, small.sign_up().customer_id
    world.publish()
    world.service = of_version(world.service, "v2")
    put(world)
    change_by_hand(world)
    rename_company(world.service, old, "New", actor="t", now=world.clock())
    new = world.sign_up().customer_id
    published = world.publish()
    assert published.tenants.keys() == {new}
    assert published.postponed.keys() == {old}
    take_back(world)
    assert world.publish().tenants.keys() == {old}


def test_version_that_was_removed_by_hand_comes_back_with_the_next_tenant(lived_in: World) -> None:
    world, before = lived_in, tree(lived_in)
    with world.work_tree() as place:
        shutil.rmtree(place / "platform/v1")
    assert found(look(world)) == {(Kind.PLATFORM_CHANGED, "platform/v1")}
    kept, world.service = world.service, with_files(world.service, **{NOTES: b"changed"})
    customer_id = world.sign_up().customer_id
    assert "give what changed a new version" in world.publish().postponed[customer_id]
    world.service = kept
    world.wait()
    assert world.publish().tenants.keys() == {customer_id}
    assert (tree(world), look(world).findings) == (before, [])


# Publish


def test_new_version_is_one_commit_and_moves_nobody(small: World) -> None:
    world, customer_id = small, small.sign_up().customer_id
    world.publish()
    before = world.git("rev-parse", "main")
    new = of_version(world.service, "v2")
    done = put(world, new)
    assert world.git("rev-parse", "main~1") == before
    assert done == Published("main", "v2", tree(world, "v2"), world.git("rev-parse", "main"), True)
    paths = world.git("diff", "--name-only", before, "main").split()
    assert {path.partition("platform/v2/")[0] for path in paths} == {""}
    assert put(world, new) == replace(done, is_new=False)
    assert world.git("rev-parse", "main") == done.commit
    assert (world.publish().tenants, world.tenant(customer_id).generation) == ({}, 1)
    world.service = new  # restarted with the new product.yaml
    late = world.sign_up().customer_id
    assert world.publish().tenants.keys() == {late}
    listed = versions(world)
    assert [listed[each].tenants for each in ("v1", "v2")] == [{"starter": 1}, {"starter": 1}]
    assert [listed[each].is_current for each in ("v1", "v2")] == [False, True]
    assert [listed[each].commit for each in ("v2",)] == [done.commit]


def test_service_that_restarts_before_it_is_published_ends_the_same(lived_in: World) -> None:
    world = lived_in
    world.service = of_version(world.service, "v2")
    assert not versions(world)["v2"].is_on_main
    world.sign_up()
    world.publish()
    assert book(world)["v2"] == (world.service.platform_tree, True)
    assert not put(world).is_new


def test_version_that_does_not_build_is_refused_with_every_reason(small: World) -> None:
    world = small
    typo = edited(world.service, BASE, "resources:", "ressources:")
    with pytest.raises(PlatformRefused) as refusal:
        put(world, of_version(world.service, "v2", typo))
    (problem,) = [each for each in refusal.value.problems if "ressources" in each]
    assert problem.startswith("plan starter, state active (and 3 more)")
    assert not world.git("for-each-ref")
    assert put(world).is_new, "before there is any tenant"
    assert (shown(world), book(world)) == (["platform/v1"], {"v1": (tree(world), True)})
    world.sign_up()
    assert len(world.publish().tenants) == 1


def test_plan_whose_quota_old_pods_would_fill_is_refused(small: World) -> None:
    """Between two plans of one version, and between two versions of one plan."""
    world = small
    patch = edited(world.service, QUOTA, "requests.cpu: 3500m", "requests.cpu: 1500m")
    plans = vendor().product.plans
    sold = {plan: plans[plan] for plan in ("starter", "enterprise")}
    product = world.service.product.model_copy(update={"plans": sold})
    with pytest.raises(PlatformRefused) as refusal:
        put(world, replace(with_files(world.service, **patch), product=product))
    (problem,) = refusal.value.problems
    told = "from plan enterprise to plan starter (and 3 more): ResourceQuota/plan: "
    assert problem.startswith(f"{told}spec.hard.requests.cpu: 11 → 1500m: 3.095 is needed while")
    assert not world.git("for-each-ref")


def test_version_whose_quota_old_pods_would_fill_is_refused(lived_in: World) -> None:
    world = lived_in
    smaller = {
        **edited(world.service, STARTER, "cpu: 250m", "cpu: 50m"),
        **edited(world.service, QUOTA, "requests.cpu: 3500m", "requests.cpu: 900m"),
    }
    new = of_version(world.service, "v2", smaller)
    with pytest.raises(PlatformRefused) as refusal:
        put(world, new)
    (problem,) = refusal.value.problems
    told = "ResourceQuota/plan: spec.hard.requests.cpu: 3500m → 900m: 1.065 is needed"
    assert problem.startswith(f"from v1: {told}")
    (obstacle,) = diff(new, world.cell, "v1", "v2", "starter", State.ACTIVE).obstacles
    assert str(obstacle).startswith(told)


def test_what_tenants_could_not_become_is_refused_with_the_reason(lived_in: World) -> None:
    world, before = lived_in, lived_in.git("rev-parse", "main")
    modes = "accessModes: [ReadWriteOncePod]"
    fast = edited(world.service, POSTGRES, modes, f"{modes}\n  storageClassName: fast")
    new = of_version(world.service, "v2", fast)
    with pytest.raises(PlatformRefused) as refusal:
        put(world, new)
    (problem,) = refusal.value.problems
    assert problem.startswith(
        "from v1: PersistentVolumeClaim/postgres-data: spec.storageClassName: nothing → fast: "
    )
    assert (world.git("rev-parse", "main"), set(book(world))) == (before, {"v1"})
    result = diff(new, world.cell, "v1", "v2", "starter", State.ACTIVE)
    assert [each.field for each in result.obstacles] == ["spec.storageClassName"]
    (changed,) = result.differences
    assert "+  storageClassName: fast" in changed.lines
    same = diff(world.service, world.cell, "v1", "v1", "starter", State.SUSPENDED)
    assert (same.differences, same.obstacles) == ([], [])
    for names in (("v7", "v2"), ("v1", "v7")):
        with pytest.raises(PlatformRefused, match=r"no version v7.*platform list"):
            diff(new, world.cell, *names, "starter", State.ACTIVE)


def test_versions_are_compared_as_they_were_published(
    lived_in: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever somebody did to one on main meanwhile; but templates must still build it."""
    world, build = lived_in, ClassChecker.build
    with world.work_tree() as place:
        (place / "platform/v1" / BASE).write_text("broken: [")

    def picky(self: ClassChecker, spec: Any, files: Any, *, platform: Any) -> Any:
        if spec.platform == "v1":
            raise OverlayRefused(["no such target"])
        return build(self, spec, files, platform=platform)

    with monkeypatch.context() as patch:
        patch.setattr(ClassChecker, "build", picky)
        with pytest.raises(PlatformRefused, match=r"v1 no longer builds.*no such target"):
            put(world, of_version(world.service, "v2"))
    assert put(world, of_version(world.service, "v2")).is_new


def test_only_what_nobody_runs_and_nobody_published_may_be_written_anew(lived_in: World) -> None:
    """Such as a version that `tenantry init` put there, and that did not work."""
    world = lived_in
    with world.work_tree() as place:
        (place / "platform/v2").mkdir()
        (place / "platform/v2" / NOTES).write_text("a draft")
    new = of_version(world.service, "v2")
    assert put(world, new).is_new
    assert tree(world, "v2") == new.platform_tree
    with world.service.database.write() as session:
        session.execute(delete(Platform))
    before = world.git("rev-parse", "main")
    with pytest.raises(PlatformRefused, match="tenants run it"):
        put(world, with_files(world.service, **{NOTES: b"changed"}))
    assert world.git("rev-parse", "main") == before
    assert not put(world).is_new
    assert book(world) == {"v1": (tree(world), True)}


# Deaths, races and rewritten histories


@pytest.mark.parametrize(
    "fault",
    [
        Fault("repository.build", 1, Wrong.DIE_AFTER),
        Fault("repository.push", 1, Wrong.DIE_AFTER),
        Fault("repository.push", 1, Wrong.FAIL_AFTER),
    ],
    ids=str,
)
def test_publish_that_died_anywhere_is_done_by_the_next(lived_in: World, fault: Fault) -> None:
    world = lived_in
    new = of_version(world.service, "v2")
    with pytest.raises((Died, RepositoryError)):
        publish(*elsewhere(world, new, fault), actor="operator")
    assert "v2" not in book(world)
    let_leases_run_out(world)
    put(world, new)
    assert book(world)["v2"] == (new.platform_tree, True)
    commits = world.git("log", "--format=%s", "main", "--", "platform/v2").splitlines()
    assert commits == ["Add platform version v2"]


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let it happen once, between what is built and its push."""
    push, acts = turn.push, [act]

    def late(cell: Cell) -> None:
        while acts:
            acts.pop()()
        push(cell)

    monkeypatch.setattr(turn, "push", late)


@pytest.mark.parametrize("content", [b"new", b"other"], ids=["the same", "another"])
def test_of_two_that_publish_one_number_at_once_the_first_says_what_it_is(
    lived_in: World, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """By the ref: the lease of the second had run out, and so both push."""
    world = lived_in
    new, first = of_version(world.service, "v2"), of_version(world.service, "v2", {NOTES: content})
    done: list[Published] = []

    def overtake() -> None:
        world.cell.lease.release()
        world.wait()  # or both would make the very same commit
        done.append(publish(*elsewhere(world, first), actor="operator"))
        assert world.cell.lease.take()

    meanwhile(monkeypatch, overtake)
    if content == b"new":
        assert put(world, new) == replace(done[0], is_new=False)
    else:
        with pytest.raises(PlatformRefused, match="give what changed a new version"):
            put(world, new)
    assert done[0].commit == world.git("rev-parse", "main")
    assert book(world)["v2"] == (first.platform_tree, True)


def test_signup_waits_for_no_build_of_a_version(lived_in: World) -> None:
    world = lived_in
    published: list[str] = []

    def sign_up(_: int) -> None:
        if not published:
            world.sign_up()
            published.extend(world.publish().tenants)

    new = of_version(world.service, "v2")
    assert publish(new, world.cell, actor="operator", progress=sign_up).is_new
    assert len(published) == 1


def test_who_waits_for_a_turn_gets_it_when_the_other_lets_go(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = elsewhere(small, small.service)
    assert other.lease.take()
    with turn.leased(small.cell, wait=lambda _: other.lease.release()):
        assert small.cell.lease.is_ours
        assert not other.lease.take()
    assert other.lease.take()
    monkeypatch.setattr(turn, "PATIENCE", 0.0)
    with pytest.raises(LeaseLost), turn.leased(small.cell, wait=lambda _: None):
        pytest.fail("it is another's")


def test_rewritten_history_is_refused_by_all_of_it(lived_in: World) -> None:
    world, before = lived_in, lived_in.git("rev-parse", "main")
    new = of_version(world.service, "v2")
    after = put(world, new).commit
    world.git("update-ref", "refs/heads/main", before)
    calls: list[Callable[[], object]] = [
        lambda: put(world, new),
        lambda: list_versions(world.service, world.cell),
        lambda: find_unused(world.service, world.cell),
        lambda: prune(world.service, world.cell, ["v2"], actor="operator"),
        lambda: diff(new, world.cell, "v1", "v2", "starter", State.ACTIVE),
    ]
    for call in calls:
        with pytest.raises(HistoryRewritten, match="accept-history"):
            call()
    world.sign_up()
    with pytest.raises(HistoryRewritten):
        world.publish()
    world.git("update-ref", "refs/heads/main", after)
    with pytest.raises(HistoryRewritten):
        put(world, new)  # until an operator has said so
    world.git("update-ref", "refs/heads/main", before)
    accept(world, before)
    assert put(world, new).is_new
    assert book(world)["v2"] == (tree(world, "v2"), True)


# Prune


def take(world: World, *names: str) -> list[str]:
    return list(prune(world.service, world.cell, names, actor="operator"))


def test_what_nobody_runs_is_taken_away_and_comes_back_only_as_it_was(lived_in: World) -> None:
    world = lived_in
    v2, v3 = (of_version(world.service, each, {NOTES: each.encode()}) for each in ("v2", "v3"))
    put(world, v2)
    put(world, v3)
    before = world.git("rev-parse", "main")
    assert find_unused(world.service, world.cell) == ["v2", "v3"]
    assert find_unused(v3, world.cell) == ["v2"], "new tenants get v3"
    assert take(world, "v1", "v2", "v7") == ["v2"]
    assert shown(world) == ["platform/v1", "platform/v3"]
    assert world.git("rev-parse", "main~1") == before
    assert book(world)["v2"] == (v2.platform_tree, False)
    assert look(world).findings == []
    assert versions(world)["v2"].fault == ""
    assert take(world, "v2") == []
    with pytest.raises(PlatformRefused, match="may only come back as it was"):
        put(world, of_version(world.service, "v2", {NOTES: b"another"}))
    assert put(world, v2).is_new
    assert book(world)["v2"] == (v2.platform_tree, True)


def test_what_only_main_shows_is_in_use_and_the_last_stays(lived_in: World) -> None:
    world = lived_in
    folder = world.git("ls-tree", "-r", "--name-only", "main", "tenants").splitlines()[0]
    record = Path(folder).parent / "tenant.json"
    kept = world.git("show", f"main:{record}")
    new = of_version(world.service, "v2")
    put(world, new)

    def write(text: str) -> None:
        with world.work_tree() as place:
            (place / record).write_text(text)

    write(kept.replace('"v1"', '"v2"'))
    assert take(world, "v2") == []
    write("{")
    with pytest.raises(RepositoryError, match=r"does not say which .*repo audit"):
        take(world, "v2")
    write(kept + "\n")
    alone = of_version(world.service, "v9")
    assert find_unused(alone, world.cell) == ["v2"]
    assert take(world, "v2") == ["v2"]


def test_last_version_stays_where_there_is_no_tenant(small: World) -> None:
    put(small)
    assert find_unused(of_version(small.service, "v2"), small.cell) == []


def test_signup_that_begins_to_use_a_version_while_it_is_taken_away_gets_it(
    lived_in: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row was not there when it was looked for; or its commit was, on a newer main."""
    world, v1 = lived_in, lived_in.service
    new = of_version(v1, "v2")
    put(world, new)
    customers: list[str] = []

    def sign_up() -> None:
        customers.append(signed_up(world, new))

    meanwhile(monkeypatch, sign_up)
    assert take(world, "v2") == ["v2"]
    assert shown(world) == ["platform/v1"]
    assert publish_due(new, world.cell).tenants.keys() == set(customers)
    assert book(world)["v2"] == (tree(world, "v2"), True)

    put(world, v3 := of_version(v1, "v3"))

    def sign_up_and_publish() -> None:
        customers.append(signed_up(world, v3))
        world.cell.lease.release()
        publish_due(*elsewhere(world, v3))
        assert world.cell.lease.take()

    meanwhile(monkeypatch, sign_up_and_publish)
    assert take(world, "v3") == []
    assert shown(world) == ["platform/v1", "platform/v2", "platform/v3"]


def signed_up(world: World, service: Service) -> str:
    kept, world.service = world.service, service
    customer_id = world.sign_up().customer_id
    world.service = kept
    return customer_id


def test_prune_that_died_after_its_push_is_recorded_by_the_next(lived_in: World) -> None:
    world = lived_in
    put(world, of_version(world.service, "v2"))
    dying = elsewhere(world, world.service, Fault("repository.push", 1, Wrong.DIE_AFTER))
    with pytest.raises(Died):
        prune(*dying, ["v2"], actor="operator")
    assert (shown(world), book(world)["v2"][1]) == (["platform/v1"], True)
    let_leases_run_out(world)
    assert take(world, "v2") == []
    assert book(world)["v2"][1] is False


# Commands


def test_commands_bring_a_version_from_a_folder_to_main_and_away(
    world: World, tmp_path: Path
) -> None:
    folder, operator = tmp_path / "product", Operator(world)
    shutil.copytree(assets.path("tenant_templates"), folder)
    world.sign_up()
    world.publish()
    (folder / "platform/v1").rename(folder / "platform/v2")
    product = yaml.safe_load((folder / "product.yaml").read_text())
    product |= {"platform": "v2", "plans": {"starter": product["plans"]["starter"]}}
    (folder / "product.yaml").write_text(yaml.safe_dump(product))
    manifest = folder / "platform/v2" / POSTGRES
    good = manifest.read_text()
    manifest.write_text(good.replace("[ReadWriteOncePod]", "[ReadWriteOnce]"))
    new = ("--product", str(folder))
    code, out, _ = operator.run("platform", "diff", "v1", "v2", *new)
    assert (code, "-  - ReadWriteOncePod" in out.splitlines()) == (1, True)
    assert "cannot change: PersistentVolumeClaim/postgres-data: spec.accessModes: " in out
    code, out, err = operator.run("platform", "publish", *new)
    assert (code, out) == (1, "")
    assert err.startswith("cell main: from v1: PersistentVolumeClaim/postgres-data: ")
    manifest.write_text(good + "# new\n")
    code, out, _ = operator.run("platform", "diff", "v1", "v2", *new, "--json")
    assert (code, json.loads(out)["differences"]) == (0, [])
    code, out, _ = operator.run("platform", "publish", *new, "--json")
    (told,) = json.loads(out)["cells"]
    assert (code, told["version"], told["is_new"], told["tree"]) == (
        0, "v2", True, tree(world, "v2"),
    )  # fmt: skip
    code, out, _ = operator.run("platform", "list")
    first, v1, v2 = out.splitlines()
    assert (code, first) == (0, "cell main:")
    assert re.fullmatch(r"  v1; since \S+, \w{12}; 1 starter; for new tenants", v1)
    assert re.fullmatch(r"  v2; since \S+, \w{12}; no tenants", v2)
    code, out, err = operator.run("platform", "prune", answer="n\n")
    assert (code, "remove v2 from main?" in err) == (1, True)
    code, out, _ = operator.run("platform", "prune", "--yes", "--json")
    assert (code, json.loads(out)["cells"]) == (0, [{"cell": "main", "removed": ["v2"]}])
    change_by_hand(world)
    code, out, _ = operator.run("platform", "list", "--json")
    listed = {each["version"]: each for each in json.loads(out)["cells"][0]["versions"]}
    assert (code, bool(listed["v1"]["fault"]), bool(listed["v2"]["removed_at"])) == (1, True, True)
    assert operator.run("platform", "diff", "v1", "v2", "--plan", "gold")[0] == 2
    take_back(world)
