"""Following over time: who looks, what is asked of Argo CD, and what becomes of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tenantry.adapters.argocd import ArgoCD
from tenantry.adapters.database.tables import Change, Deployment, Event, Outbox, Watch
from tenantry.core.application import Application
from tenantry.core.errors import ArgoError, ArgoForbidden, ArgoUnreachable
from tenantry.core.model import State, Status
from tenantry.core.review import ChangeKind
from tenantry.flows.fleet.bulk import Selection
from tenantry.flows.fleet.tenants import mark_to_retry
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.service import Cell
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.watching import cleanup
from tenantry.flows.watching.watch import Watcher
from tests.mailbox import mail_folder
from tests.system.processes import wait_until
from tests.system.test_watch import TOKEN, Cluster, make_cluster

MINUTE = timedelta(minutes=1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with make_cluster(tmp_path, f"sqlite:///{tmp_path}/tenantry.db") as cluster:
        yield cluster


@dataclass
class Asked:
    """What was asked of Argo CD, and how it answers about syncs."""

    fails: bool = True
    lists: int = 0
    gets: int = 0
    syncs: list[str] = field(default_factory=list)
    refusal: Exception | None = None


def watch_as(cluster: Cluster, asked: Asked) -> None:
    """Have the cluster's watcher use an Argo CD that counts, and whose syncs of our content fail
    while `asked.fails`.
    """
    real = cluster.world.cell.argocd
    assert real is not None

    class Counting(ArgoCD):
        def list(self) -> Any:
            asked.lists += 1
            return super().list()

        def get(self, name: str) -> Application | None:
            asked.gets += 1
            found = super().get(name)
            if found is None or not asked.fails or not found.applied_commit:
                return found
            return replace(found, phase="Failed", operation_message="refused", sync="OutOfSync")

        def sync(self, name: str) -> bool:
            asked.syncs.append(name)
            if asked.refusal:
                raise asked.refusal
            return True

    cluster.use_cell(argocd=Counting(real.url, lambda: TOKEN, "tenants"))


def wait_minutes(cluster: Cluster, minutes: int) -> None:
    """Let time pass for the service, with a look in each of its minutes."""
    for _ in range(minutes):
        cluster.world.clock.time += MINUTE
        cluster.look()


def fail(cluster: Cluster, asked: Asked) -> SignedUp:
    """A first deployment that Argo CD gives up on, and our tries in vain."""
    watch_as(cluster, asked)
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait(signed_up, lambda view: view.reason_code == "sync_failed")
    wait_minutes(cluster, 8)
    return signed_up


def outbox_kinds(cluster: Cluster) -> list[str]:
    with cluster.world.service.database.read() as session:
        return list(session.scalars(select(Outbox.kind).order_by(Outbox.id)))


def outcomes(cluster: Cluster) -> list[str | None]:
    with cluster.world.service.database.read() as session:
        return list(session.scalars(select(Deployment.outcome).order_by(Deployment.id)))


def test_failure_is_told_after_three_syncs_in_vain_and_heals_when_it_does(
    cluster: Cluster,
) -> None:
    asked = Asked()
    watch_as(cluster, asked)
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait(signed_up, lambda view: view.reason_code == "sync_failed")
    assert cluster.view(signed_up).status == Status.PROVISIONING
    name = cluster.world.tenant(signed_up.customer_id).name
    wait_minutes(cluster, 8)
    wait_until(lambda: asked.syncs == [name] * 3, "three syncs are asked for")
    assert cluster.view(signed_up).status == Status.FAILED
    assert outcomes(cluster) == ["failed"]
    assert outbox_kinds(cluster) == ["welcome", "support", "failed"]
    wait_minutes(cluster, 30)
    assert asked.syncs == [name] * 3, "it is left alone until somebody acts"
    assert outbox_kinds(cluster).count("support") == 1
    asked.fails = False
    cluster.wait_for(signed_up, Status.READY)
    assert outcomes(cluster) == ["success"]
    assert outbox_kinds(cluster) == ["welcome", "support", "failed", "ready"]


def test_support_reads_what_failed_and_where(cluster: Cluster) -> None:
    signed_up = fail(cluster, Asked())
    send_due(cluster.world.service)
    tenant = cluster.world.tenant(signed_up.customer_id)
    (letter,) = (
        path.read_text()
        for path in mail_folder(cluster.world.service).iterdir()
        if path.name.startswith("support-")
    )
    assert f"To: {cluster.world.service.support_mail}" in letter
    assert signed_up.customer_id in letter
    assert f"/applications/{tenant.name}" in letter.replace("=\n", "")
    assert "refused" in letter


def test_missing_right_is_told_and_does_not_hold_up(cluster: Cluster) -> None:
    asked = Asked(refusal=ArgoForbidden("may not sync"))
    signed_up = fail(cluster, asked)
    assert cluster.view(signed_up).status == Status.FAILED
    assert "may not sync" in cluster.world.tenant(signed_up.customer_id).detail


def test_retry_begins_again_at_the_step_that_failed(cluster: Cluster) -> None:
    asked = Asked()
    signed_up = fail(cluster, asked)
    head = cluster.world.git("rev-parse", "main")
    world = cluster.world
    list(mark_to_retry(world.service, world.cell, Selection(frozenset({signed_up.customer_id}))))
    asked.syncs.clear()
    wait_minutes(cluster, 1)
    wait_until(lambda: len(asked.syncs) == 1, "a sync is asked for")  # by another thread
    assert world.publish().tenants == {}
    assert world.git("rev-parse", "main") == head


@pytest.mark.parametrize("is_kept", [False, True])
def test_failed_first_deployment_is_kept_for_a_day_or_for_good(
    cluster: Cluster, is_kept: bool
) -> None:
    signed_up = fail(cluster, Asked())
    service = cluster.world.service
    if is_kept:
        service = replace(service, patience=replace(service.patience, failed_kept=None))
    assert cleanup.suspend_failed(service, now=cluster.world.clock()) == 0
    cluster.world.wait(25 * 60)
    expected = 0 if is_kept else 1
    assert cleanup.suspend_failed(service, now=cluster.world.clock()) == expected
    assert cleanup.suspend_failed(service, now=cluster.world.clock()) == 0
    wanted = State.ACTIVE if is_kept else State.SUSPENDED
    assert cluster.world.tenant(signed_up.customer_id).approved["state"] == wanted
    with service.database.read() as session:
        assert session.scalars(select(Change.actor)).all() == ["cleanup"] * expected


def test_running_tenant_that_is_bad_for_a_moment_stays_ready(cluster: Cluster) -> None:
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    real = cluster.world.cell.argocd
    assert real is not None

    class Bad(ArgoCD):
        def list(self) -> Any:
            return [replace(each, health="Degraded") for each in super().list()]

        def get(self, name: str) -> Application | None:
            found = super().get(name)
            return replace(found, health="Degraded") if found else None

    cluster.use_cell(argocd=Bad(real.url, lambda: TOKEN, "tenants"))
    cluster.look()
    cluster.use_cell()
    cluster.world.clock.time += timedelta(seconds=2)
    cluster.look()
    assert cluster.world.tenant(signed_up.customer_id).flaps == 1
    with cluster.world.service.database.read() as session:
        told = session.scalars(select(Event.status).order_by(Event.id)).all()
    assert Status.DEGRADED not in told
    cluster.use_cell(argocd=Bad(real.url, lambda: TOKEN, "tenants"))
    cluster.wait_for(signed_up, Status.DEGRADED)
    assert cluster.world.tenant(signed_up.customer_id).flaps == 2


def test_it_is_noted_since_when_argocd_is_away(cluster: Cluster) -> None:
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    cluster.use_cell(argocd=ArgoCD("http://127.0.0.1:9", lambda: TOKEN, "tenants"))
    since = cluster.world.clock.time
    for _ in range(2):
        cluster.world.wait(1)
        with pytest.raises(ArgoUnreachable):
            cluster.look()
    watch = read_watch(cluster)
    assert watch.failing_since is not None
    assert since + MINUTE <= watch.failing_since < since + 2 * MINUTE
    cluster.use_cell()
    cluster.look()
    assert (read_watch(cluster).failing_since, read_watch(cluster).last_error) == (None, None)


def read_watch(cluster: Cluster) -> Watch:
    with cluster.world.service.database.read() as session:
        return session.get_one(Watch, "main")


def test_one_of_two_workers_looks_and_the_other_takes_over(cluster: Cluster) -> None:
    cluster.world.sign_up()
    cluster.publish()
    counts = Asked(fails=False), Asked(fails=False)
    watchers = []
    for asked in counts:
        watch_as(cluster, asked)
        watchers.append(cluster.watcher)
    for _ in range(3):
        for watcher in watchers:
            watcher.tick(now=cluster.world.clock())
    assert (counts[0].lists > 0, counts[1].lists) == (True, 0)
    watchers[0].close()
    cluster.world.clock.time += MINUTE
    watchers[1].tick(now=cluster.world.clock())
    assert counts[1].lists == 1
    watchers[1].close()


def test_stream_alone_brings_a_tenant_to_ready(cluster: Cluster) -> None:
    """One list at the start, and none after it."""
    service = cluster.world.service
    never = timedelta(days=1)
    patient = replace(service.patience, list_moving=never, list_idle=never)
    asked = Asked(fails=False)
    first = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(first, Status.READY)
    watch_as(cluster, asked)
    cell: Cell = cluster.watcher.cell
    watcher = Watcher(replace(service, patience=patient), cell)
    try:
        watcher.tick(now=cluster.world.clock())
        signed_up = cluster.world.sign_up()
        cluster.publish()
        cluster.look = lambda: watcher.tick(now=cluster.world.clock())  # type: ignore[method-assign]
        cluster.wait_for(signed_up, Status.READY)
    finally:
        watcher.close()
    assert asked.lists == 1


def test_tenants_that_rest_cost_no_requests_of_their_own(cluster: Cluster) -> None:
    signed_up = [cluster.world.sign_up() for _ in range(3)]
    cluster.publish()
    for each in signed_up:
        cluster.wait_for(each, Status.READY)
    asked = Asked(fails=False)
    watch_as(cluster, asked)
    for _ in range(5):
        cluster.world.clock.time += timedelta(seconds=5)
        cluster.look()
    assert (asked.lists, asked.gets) == (5, 0)


def test_tenant_that_rests_is_probed_and_what_it_lacks_is_told(cluster: Cluster) -> None:
    """Nothing that Argo CD tells changes, so only the instance itself can show it."""
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    asked = Asked(fails=False)
    watch_as(cluster, asked)
    cluster.look()
    cluster.world.wait(6)
    cluster.look()
    assert asked.gets == 0
    cluster.stand_in.breaks.start("silent-instance")
    cluster.world.wait(6)
    cluster.wait_for(signed_up, Status.DEGRADED)
    cluster.stand_in.breaks.end("silent-instance")
    cluster.wait_for(signed_up, Status.READY)


def test_change_that_main_does_not_show_yet_is_not_what_runs(cluster: Cluster) -> None:
    """Suspended is who runs nothing, and not who is to run nothing once it is published."""
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    ask_for(cluster, signed_up, State.SUSPENDED)
    wait_minutes(cluster, 2)
    assert cluster.view(signed_up).status == Status.READY
    cluster.publish()
    cluster.wait_for(signed_up, Status.SUSPENDED)


def ask_for(cluster: Cluster, signed_up: SignedUp, state: State) -> None:
    world, kind = cluster.world, ChangeKind.STATE
    fields = {"state": state}
    request_change(world.service, world.cell, signed_up.customer_id, kind, fields, actor="operator")


def test_failed_deployment_that_is_suspended_has_not_succeeded(cluster: Cluster) -> None:
    asked = Asked()
    signed_up = fail(cluster, asked)
    ask_for(cluster, signed_up, State.SUSPENDED)
    cluster.publish()
    asked.fails = False
    cluster.wait_for(signed_up, Status.SUSPENDED)
    assert outcomes(cluster) == ["failed", "success"]


def test_running_tenant_is_not_synced_at_its_first_bad_look(cluster: Cluster) -> None:
    """A node that goes takes hundreds along, and most of them come back by themselves."""
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    asked = Asked(fails=False)
    watch_as(cluster, asked)
    cluster.world.wait(24 * 60)
    cluster.stand_in.breaks.start("crash-loop")
    cluster.wait_for(signed_up, Status.DEGRADED)
    cluster.look()
    assert asked.syncs == []


def has_settled(argocd: ArgoCD, name: str) -> bool:
    """Whether nothing of this Application's line in the list is on its way any more."""
    lines = [line for line in argocd.list() if line.name == name]
    return [(line.health, line.sync, line.phase) for line in lines] == [
        ("Healthy", "Synced", "Succeeded")
    ]


@pytest.mark.parametrize("error", [ArgoError("too large"), ArgoUnreachable("no answer in time")])
def test_application_that_cannot_be_read_is_unknown_and_not_asked_for_at_each_look(
    cluster: Cluster, error: ArgoError
) -> None:
    broken, other = cluster.world.sign_up(), cluster.world.sign_up()
    cluster.publish()
    name, gets = cluster.world.tenant(broken.customer_id).name, list[str]()
    real = cluster.world.cell.argocd
    assert real is not None

    class Choking(ArgoCD):
        def get(self, asked: str) -> Application | None:
            if asked == name:
                gets.append(name)
                raise error
            return super().get(asked)

    cluster.use_cell(argocd=Choking(real.url, lambda: TOKEN, "tenants"))
    cluster.wait_for(other, Status.READY)
    wait_until(lambda: has_settled(real, name), "no more news, which are a reason to ask")
    for _ in range(20):
        cluster.world.clock.time += timedelta(seconds=0.25)
        cluster.look()
    assert cluster.world.tenant(broken.customer_id).unknown_since is not None
    before = len(gets)
    for _ in range(20):
        cluster.world.clock.time += timedelta(seconds=0.25)
        cluster.look()
    assert len(gets) - before <= 5
    cluster.use_cell()
    cluster.wait_for(broken, Status.READY)
    assert cluster.world.tenant(broken.customer_id).unknown_since is None
