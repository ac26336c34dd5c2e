"""A license's later life: renewed, revoked, and signed with another key (R12, R13, R14)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
import yaml
from click.testing import CliRunner, Result
from sqlalchemy import event, select

from tenantry.adapters.database.tables import LicenseHistory, LicenseRow, Outbox
from tenantry.cli.main import cli
from tenantry.core import license as licenses
from tenantry.core.errors import ChangeRefused, NotFound
from tenantry.core.mail import MailKind
from tenantry.core.model import LicenseAction
from tenantry.core.review import ChangeKind
from tenantry.core.revocations import read_list
from tenantry.core.subscription import Event, EventKind
from tenantry.flows.fleet import bulk
from tenantry.flows.key_folder import NEXT_KEY
from tenantry.flows.keys import LICENSE_KEY
from tenantry.flows.licensing import revocations, rotation
from tenantry.flows.licensing.census import Census, take_census
from tenantry.flows.licensing.revoking import find_revocable, revoke
from tenantry.flows.licensing.rotation import Step
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.service import Service
from tenantry.flows.subscriptions.events import Told, tell
from tenantry.flows.subscriptions.following import follow_due
from tests.migrated import on_sqlite
from tests.system.fleet import marked, publish_all, steps
from tests.system.test_sealing import THROWAWAY_KEY, unseal
from tests.system.world import World

pytestmark = on_sqlite

KEY, BUNDLE, LIST = "IOTISTIC_LICENSE_KEY", "LICENSE_PUBLIC_KEY", "LICENSE_REVOCATIONS"


def pay(world: World, customer_id: str, plan: str | None = None) -> None:
    told = Event(f"paid-{customer_id}-{plan}", EventKind.PAID, world.clock(), plan=plan)
    assert tell(world.service, Told(told, "paid", "test", customer_id=customer_id))


def follow_all(world: World) -> None:
    follow_due(world.service, now=world.clock())


def license_of(world: World, customer_id: str) -> LicenseRow:
    with world.service.database.read() as session:
        return session.get_one(LicenseRow, world.tenant(customer_id).approved["license_id"])


def opened(world: World, customer_id: str) -> dict[str, str]:
    """The values of the tenant's Secret, as main brings them."""
    path = f"{world.folder_of(customer_id)}/sealed-secret.yaml"
    return unseal(world.git("show", f"main:{path}"), THROWAWAY_KEY)


def version_on_main(world: World, customer_id: str) -> str:
    """What makes the pods that read the license restart."""
    path = f"{world.folder_of(customer_id)}/kustomization.yaml"
    text = world.git("show", f"main:{path}")
    (found,) = {line.split()[-1] for line in text.splitlines() if "license-version" in line}
    return str(yaml.safe_load(found))


def verify(world: World, customer_id: str) -> str:
    """The license on main verifies with the keys beside it, and is not on the list beside it; its
    id.
    """
    values = opened(world, customer_id)
    keys = licenses.read_public_bundle(values[BUNDLE])
    now = world.clock()
    found = licenses.verify(values[KEY], keys, audience="iotistic", now=now)
    if values[LIST] != "none":
        assert found.id not in read_list(values[LIST], keys, audience="iotistic")
    return found.id


def listed(world: World) -> frozenset[str]:
    service = world.service
    keys = service.keyring.public
    return read_list(revocations.public_list(service), keys, audience=service.product.name)


# Renewal


def test_licenses_are_renewed_before_they_end_each_by_one_commit_and_one_mail(
    world: World,
) -> None:
    ids = publish_all(world, 3)
    for each in ids:
        pay(world, each)
    world.publish()
    before = {each: license_of(world, each) for each in ids}
    head = world.git("rev-parse", "main")
    days: list[datetime] = []
    world.clock.time += timedelta(days=39)
    while len(days) < 3:
        world.clock.time += timedelta(hours=12)
        follow_all(world)
        renewed = [
            each for each in ids if license_of(world, each).license_id != before[each].license_id
        ]
        days += [world.clock.time] * (len(renewed) - len(days))
    for each in ids:
        assert world.tenant(each).is_bulk
        assert world.clock.time < before[each].expires_at - timedelta(days=9)
    assert len(set(days)) > 1  # spread
    world.publish()
    follow_all(world)
    commits = world.git("log", "--format=%H", f"{head}..main", "--", "tenants/").split()
    assert len(commits) == 3
    for commit in commits:
        names = world.git("show", "--format=", "--name-only", commit).split()
        assert {name.rsplit("/")[-1] for name in names} == {
            "kustomization.yaml",
            "sealed-secret.yaml",
        }
    with world.service.database.read() as session:
        mails = session.scalars(select(Outbox).where(Outbox.kind == MailKind.LICENSE_RENEWED)).all()
    assert sorted(mail.customer_id for mail in mails) == ids
    for each in ids:
        assert verify(world, each) == license_of(world, each).license_id


def test_trial_is_not_renewed_and_who_does_not_pay_gets_no_license(world: World) -> None:
    trial, late = publish_all(world, 2)
    told = Event("paid", EventKind.PAID, world.clock(), until=world.clock() + timedelta(days=30))
    tell(world.service, Told(told, "paid", "test", customer_id=late))
    first = license_of(world, trial).license_id
    world.publish()
    for _ in range(13):
        world.clock.time += timedelta(days=7)
        follow_all(world)
    assert world.tenant(late).approved["state"] == "suspended"
    assert license_of(world, trial).license_id == first
    last = license_of(world, late)
    world.clock.time = last.expires_at + timedelta(days=9)
    follow_all(world)
    assert license_of(world, late).license_id == last.license_id
    pay(world, late, "professional")
    world.publish()
    assert verify(world, late) != last.license_id


def test_who_follows_many_lets_others_write_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests = list[float]()
    monkeypatch.setattr(world.service.database, "wait", rests.append)
    for _ in range(2):
        world.sign_up()
    world.wait(20 * 24 * 60)
    assert follow_due(world.service, now=world.clock()) == len(rests) == 2


# Revocation


def test_another_plan_revokes_the_license_before_it_and_a_renewal_leaves_the_list(
    world: World,
) -> None:
    (customer_id,) = publish_all(world, 1)
    before = license_of(world, customer_id).license_id
    assert opened(world, customer_id)[LIST] == "none"
    pay(world, customer_id, "professional")
    world.publish()
    now = verify(world, customer_id)
    keys = world.service.keyring.public
    assert read_list(opened(world, customer_id)[LIST], keys) == {before}
    assert version_on_main(world, customer_id).startswith(f"{now}.")
    with world.service.database.read() as session:
        rows = session.scalars(
            select(LicenseHistory.license_id).where(LicenseHistory.action == LicenseAction.REVOKED)
        )
        assert rows.all() == [before]
    changed = opened(world, customer_id)
    request_change(world.service, world.cell, customer_id, ChangeKind.LICENSE, {}, actor="test")
    world.publish()
    renewed = opened(world, customer_id)
    assert {name for name in renewed if renewed[name] != changed[name]} == {KEY}
    assert listed(world) == frozenset()
    world.clock.time += timedelta(days=7, minutes=1)
    assert listed(world) == {before}
    world.clock.time += timedelta(days=20)  # it would have lapsed by itself
    assert listed(world) == frozenset()


def test_operator_revokes_at_once_and_a_renewal_heals(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    license_id = license_of(world, customer_id).license_id
    found = find_revocable(world.service, license_id=license_id)
    assert (found.customer_id, found.stops_instance) == (customer_id, True)
    revoke(world.service, found, actor="test")
    assert listed(world) == {license_id}
    world.publish()
    keys = world.service.keyring.public
    assert read_list(opened(world, customer_id)[LIST], keys) == {license_id}
    assert version_on_main(world, customer_id).startswith(f"{license_id}.")  # so it restarts
    with pytest.raises(NotFound):
        find_revocable(world.service, customer_id=customer_id)
    request_change(world.service, world.cell, customer_id, ChangeKind.LICENSE, {}, actor="test")
    world.publish()
    assert verify(world, customer_id) != license_id


def test_operator_revokes_what_was_replaced_and_still_runs(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    before = license_of(world, customer_id).license_id
    pay(world, customer_id, "professional")
    world.clock.time += timedelta(days=8)
    assert listed(world) == frozenset()  # main does not show the other one
    found = find_revocable(world.service, license_id=before)
    assert found.stops_instance
    revoke(world.service, found, actor="test")
    assert listed(world) == {before}
    with pytest.raises(NotFound, match="is on the list already"):
        find_revocable(world.service, license_id=before)


def test_tenant_from_before_the_list_gets_one_with_its_next_commit(world: World) -> None:
    (customer_id,) = publish_all(world, 1)
    with world.service.database.write() as session:
        tenant = session.merge(world.tenant(customer_id))
        versions = dict(tenant.approved["secret_versions"])
        del versions[LIST]
        tenant.approved = {**tenant.approved, "secret_versions": versions}
    pay(world, customer_id)
    world.publish()
    assert opened(world, customer_id)[LIST] == "none"


# Keys


def do(world: World, step: Step) -> dict[str, int]:
    """As `tenantry keys rotate` does it."""
    census = take_census(world.service)
    rotation.require_possible(step, census)
    rotation.change_files(world.service, step, census)
    return marked(rotation.mark(world.service, step, world.cell))


def census(world: World) -> Census:
    return take_census(world.service)


def test_rotation_leaves_no_instance_without_a_license_that_it_can_verify(world: World) -> None:
    ids = publish_all(world, 2)
    pay(world, ids[0])
    world.publish()
    old = world.service.keyring.signing.kid
    assert rotation.due_step(census(world)) == Step.PUBLISH

    generations = do(world, Step.PUBLISH)
    assert generations.keys() == set(ids)
    assert rotation.due_step(census(world)) == Step.PUBLISH  # until main shows it
    with pytest.raises(ChangeRefused, match="2 of 2 tenants do not have the next key"):
        do(world, Step.USE)
    steps(world, generations)
    assert world.service.keyring.signing.kid == old
    assert {len(licenses.read_public_bundle(opened(world, each)[BUNDLE])) for each in ids} == {2}
    assert rotation.due_step(census(world)) == Step.USE

    generations = do(world, Step.USE)
    assert generations.keys() == set(ids)
    new = world.service.keyring.signing.kid
    assert new != old
    assert {license_of(world, each).key_id for each in ids} == {new}
    steps(world, generations)
    for each in ids:
        verify(world, each)
    assert rotation.due_step(census(world)) is None
    with pytest.raises(ChangeRefused, match="the last of its licenses lapses on"):
        do(world, Step.RETIRE)

    world.clock.time += timedelta(days=70)
    assert rotation.due_step(census(world)) == Step.RETIRE
    steps(world, do(world, Step.RETIRE))
    assert list(world.service.keyring.public) == [new]
    assert len(licenses.read_public_bundle(opened(world, ids[0])[BUNDLE])) == 1
    assert census(world).lacking == 0


def test_tenant_on_its_way_keeps_no_rotation_from_beginning(world: World) -> None:
    customer_id = world.sign_up().customer_id
    assert (census(world).lacking, rotation.due_step(census(world))) == (1, Step.PUBLISH)
    with pytest.raises(ChangeRefused, match="no earlier key"):
        do(world, Step.RETIRE)
    assert do(world, Step.PUBLISH).keys() == {customer_id}
    assert rotation.due_step(census(world)) == Step.PUBLISH  # until main shows it
    world.service.key_folder.use_next()
    assert do(world, Step.USE).keys() == {customer_id}
    world.clock.time += timedelta(days=70)
    assert rotation.due_step(census(world)) == Step.RETIRE
    rotation.change_files(world.service, Step.RETIRE, census(world))
    assert rotation.due_step(census(world)) == Step.RETIRE  # or it would not be published
    assert marked(rotation.mark(world.service, Step.RETIRE, world.cell)).keys() == {customer_id}
    assert rotation.due_step(census(world)) == Step.PUBLISH


def test_many_tenants_are_changed_a_few_at_a_time_and_read_all_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    world.service.key_folder.add_next()
    world.service.key_folder.use_next()
    one = statements(world)
    for _ in range(2):
        world.sign_up()
    world.service.key_folder.add_next()
    world.service.key_folder.use_next()
    assert census(world).left == 3
    assert statements(world) == one
    rests = list[float]()
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    monkeypatch.setattr(world.service.database, "wait", rests.append)
    assert len(do(world, Step.PUBLISH)) == 3
    assert len(rests) == 2
    assert len(marked(rotation.mark(world.service, Step.USE, world.cell))) == 3
    assert len(rests) == 4


def statements(world: World) -> int:
    """How many the census takes."""
    seen = list[object]()
    engine = world.service.database.engine
    event.listen(engine, "before_cursor_execute", listener := lambda *given: seen.append(given))
    census(world)
    event.remove(engine, "before_cursor_execute", listener)
    return len(seen)


def test_whom_an_operator_woke_gets_a_license_of_the_key_that_signs_now(world: World) -> None:
    customer_id = world.sign_up().customer_id
    for _ in range(20):
        world.clock.time += timedelta(days=1)
        follow_all(world)
    world.service.key_folder.add_next()
    world.service.key_folder.use_next()
    assert world.tenant(customer_id).approved["state"] == "suspended"
    assert census(world).left == 0
    woken = {"state": "active"}
    request_change(world.service, world.cell, customer_id, ChangeKind.STATE, woken, actor="test")
    assert census(world).left == 1


def test_use_goes_on_where_it_was_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.flows.fleet.bulk.PAGE", 1)
    publish_all(world, 2)
    steps(world, do(world, Step.PUBLISH))
    taken = census(world)
    rotation.change_files(world.service, Step.USE, taken)
    first = next(rotation.mark(world.service, Step.USE, world.cell)).generations
    assert census(world).left == 1
    assert rotation.due_step(census(world)) == Step.USE
    assert not rotation.needs_files(Step.USE, census(world))
    rest = marked(rotation.mark(world.service, Step.USE, world.cell))
    assert not first.keys() & rest.keys()
    steps(world, {**first, **rest})
    assert census(world).left == 0


def test_keys_that_changed_are_not_sealed_under_the_name_of_others(world: World) -> None:
    world.sign_up()
    world.service.key_folder.add_next()
    published = world.publish()
    assert published.tenants == {}
    (reason,) = published.postponed.values()
    assert "tenantry keys rotate" in reason
    steps(world, marked(rotation.mark(world.service, Step.PUBLISH, world.cell)))


# As an operator calls them


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command on the world's service."""

    @contextmanager
    def opened() -> Iterator[Service]:
        yield world.service

    for module in ("keys", "revoke"):
        monkeypatch.setattr(f"tenantry.cli.{module}.opened", opened)
    return lambda *words, stdin="": CliRunner().invoke(cli, words, input=stdin)


def test_status_and_rotate_say_what_comes_next(
    world: World, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_all(world, 1)
    assert "next: `tenantry keys rotate` makes the next key" in run("keys", "status").output
    asked = run("keys", "rotate", stdin="n\n")
    assert (asked.exit_code, NEXT_KEY in names(world)) == (1, False)
    assert run("keys", "rotate", "--yes").exit_code == 0
    found = json.loads(run("keys", "status", "--json").stdout)
    assert [key["role"] for key in found["keys"]] == ["signing", "next"]
    assert (found["due"], found["tenants"], found["lacking"], found["left"]) == ("use", 1, 0, 0)
    monkeypatch.setattr("tenantry.flows.key_folder.os.access", lambda *_: False)
    told = run("keys", "rotate", "--yes")
    typed = "  mv next-license-key.pem license-key.pem"
    assert (told.exit_code, typed in told.stderr.splitlines()) == (1, True)
    (world.service.key_folder.path / NEXT_KEY).replace(world.service.key_folder.path / LICENSE_KEY)
    assert run("keys", "rotate", "--yes", "--json").exit_code == 0
    waiting = run("keys", "rotate")
    assert (waiting.exit_code, "nothing before" in waiting.output) == (0, True)
    assert "PRIVATE" not in told.output + told.stderr


def names(world: World) -> set[str]:
    return {path.name for path in world.service.key_folder.path.iterdir()}


def test_revoke_warns_and_asks(world: World, run: Callable[..., Result]) -> None:
    (customer_id,) = publish_all(world, 1)
    license_id = license_of(world, customer_id).license_id
    asked = run("license", "revoke", license_id, stdin="n\n")
    assert (asked.exit_code, listed(world)) == (1, frozenset())
    assert f"`tenantry tenants renew {customer_id}`" in asked.stderr
    done = run("license", "revoke", "--customer", customer_id, "--yes", "--json")
    assert json.loads(done.stdout)["license_ids"] == [license_id]
    assert listed(world) == {license_id}
    assert run("license", "revoke").exit_code == 2
    world.publish()
