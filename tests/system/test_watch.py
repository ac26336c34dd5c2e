"""What customers are told, with the stand-in for Argo CD and a cluster behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from tenantry.adapters.argocd import ArgoCD
from tenantry.adapters.customer_list import Line
from tenantry.adapters.database.tables import Deployment, Event, Outbox
from tenantry.adapters.probe import Probed
from tenantry.core.application import Application
from tenantry.core.errors import ArgoError, ArgoTokenBad, ArgoUnreachable, NotFound
from tenantry.core.model import Status
from tenantry.devcluster import DevCluster, DevClusterSettings
from tenantry.flows.fleet.importing import import_lines
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.signups.signup import SignedUp
from tenantry.flows.status import StatusView, read_status
from tenantry.flows.watching.watch import Watcher
from tests.invariants import check_invariants
from tests.mailbox import mail_folder
from tests.migrated import on_sqlite
from tests.ports import free_port
from tests.system.renaming import rename_company
from tests.system.world import PASSWORD, VECTORS, World, make_world

pytestmark = on_sqlite


TOKEN = "a-token-of-the-stand-in"
WEBHOOK_SECRET = "a-webhook-secret"


@dataclass
class Cluster:
    """A world with a cluster behind it."""

    world: World
    stand_in: DevCluster
    watcher: Watcher

    def publish(self) -> None:
        self.world.publish()

    def look(self) -> None:
        self.watcher.look(now=self.world.clock())

    def view(self, signed_up: SignedUp) -> StatusView:
        return read_status(self.world.service, token=signed_up.status_token)

    def wait(self, signed_up: SignedUp, condition: Callable[[StatusView], bool]) -> StatusView:
        """Look until the condition holds; time passes for the service as it does for us."""
        give_up = time.monotonic() + 60
        while not condition(view := self.view(signed_up)):
            assert time.monotonic() < give_up, view
            self.look()
            self.world.clock.time += self.world.clock.tick
            time.sleep(0.05)
        return view

    def wait_for(self, signed_up: SignedUp, status: Status) -> StatusView:
        return self.wait(signed_up, lambda view: view.status == status)

    def use_cell(self, **changes: Any) -> None:
        """Another watcher, on a changed cell: what it remembers is gone, as after a restart."""
        self.watcher = Watcher(self.world.service, replace(self.world.cell, **changes))


@contextmanager
def make_cluster(
    folder: Path, database_url: str, *, sealing_key: Path | None = None
) -> Iterator[Cluster]:
    folder.mkdir(exist_ok=True)
    port = free_port()
    token_file, secret_file = folder / "token", folder / "secret"
    token_file.write_text(TOKEN)
    secret_file.write_text(WEBHOOK_SECRET)
    world = make_world(
        folder,
        database_url,
        cell={
            "instance_url": f"http://{{host}}:{port}",
            "probe_connect_to": f"127.0.0.1:{port}",
            "argocd_url": f"http://127.0.0.1:{port}",
            "argocd_token_file": token_file,
            "argocd_repository_url": "http://git.localhost/tenants.git",
            "argocd_webhook_url": f"http://127.0.0.1:{port}/api/webhook",
            "argocd_webhook_secret_file": secret_file,
        },
    )
    stand_in = DevCluster(
        DevClusterSettings(
            repository=str(world.remote),
            sealing_key=sealing_key or VECTORS / "throwaway-key.pem",
            tokens={"tenantry": TOKEN},
            webhook_secret=WEBHOOK_SECRET,
            port=port,
            step_seconds=0.02,
            poll_seconds=1,
            time_scale=0.01,
        )
    )
    with stand_in:
        yield Cluster(world, stand_in, Watcher(world.service, world.cell))
    check_invariants(world.service, canaries=[PASSWORD, TOKEN, WEBHOOK_SECRET])
    world.service.database.close()


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    with make_cluster(tmp_path, database_url) as cluster:
        yield cluster


def test_tenant_becomes_ready_step_by_step(cluster: Cluster) -> None:
    signed_up = cluster.world.sign_up()
    assert cluster.view(signed_up).status == Status.PENDING
    cluster.publish()
    assert cluster.view(signed_up).status == Status.PROVISIONING
    view = cluster.wait_for(signed_up, Status.READY)
    assert [step.state for step in view.steps] == ["done"] * 6
    assert view.settled
    times = [step.at for step in view.steps if step.at]
    assert times == sorted(times)
    with cluster.world.service.database.read() as session:
        (deployment,) = session.scalars(select(Deployment)).all()
        assert deployment.outcome == "success"
        kinds = session.scalars(select(Outbox.kind).order_by(Outbox.id)).all()
        assert kinds == ["welcome", "ready"]


def test_who_was_imported_without_mail_gets_none_when_all_is_ready(cluster: Cluster) -> None:
    signed_up, world = cluster.world.sign_up(), cluster.world
    line = Line(1, {"email": "imported@example.com", "company_name": "Imported"})
    (page,) = import_lines(world.service, [line])
    (imported,) = page.generations
    world.publish()
    cluster.wait(signed_up, lambda view: view.status == world.tenant(imported).status == "ready")
    send_due(world.service)
    sent = sorted(path.name.rpartition("-")[0] for path in mail_folder(world.service).iterdir())
    assert sent == [f"{kind}-{signed_up.customer_id}" for kind in ("ready", "welcome")]


def test_renamed_company_leaves_a_ready_tenant_ready(cluster: Cluster) -> None:
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    rename_company(
        cluster.world.service,
        signed_up.customer_id,
        "New Name",
        actor="t",
        now=cluster.world.clock(),
    )
    assert stage_of(cluster.view(signed_up)) == "publishing"
    cluster.publish()
    assert stage_of(cluster.view(signed_up)) == "syncing"
    cluster.wait(signed_up, lambda view: view.change is None)
    assert statuses(cluster, signed_up)[-1] == Status.READY
    assert Status.DEGRADED not in statuses(cluster, signed_up)
    with cluster.world.service.database.read() as session:
        assert session.scalars(select(Outbox.kind)).all().count("ready") == 1


def test_change_that_renders_the_same_ends_too(cluster: Cluster) -> None:
    """No commit, no sync, nothing that Argo CD would show: it must not stay on its way."""
    signed_up = cluster.world.sign_up(company_name="Same")
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    head = cluster.world.git("rev-parse", "main")
    rename_company(
        cluster.world.service, signed_up.customer_id, "Same", actor="t", now=cluster.world.clock()
    )
    cluster.publish()
    assert cluster.world.git("rev-parse", "main") == head
    cluster.wait(signed_up, lambda view: view.change is None)


def test_verdict_on_what_main_no_longer_shows_is_dropped(cluster: Cluster) -> None:
    """A change is published while the watcher still asks the instance: the answer is about the old
    content, and says nothing of the new.
    """
    signed_up = cluster.world.sign_up()
    cluster.publish()
    landed: list[str] = []

    def probe_while_a_change_lands(url: str) -> Probed:
        if not landed:
            landed.append(url)
            now = cluster.world.clock()
            rename_company(cluster.world.service, signed_up.customer_id, "New", actor="t", now=now)
            cluster.publish()
            return Probed(ok=True, reason="It answers 200.")
        return Probed(ok=False, reason="No connection.")

    cluster.use_cell(probe=probe_while_a_change_lands)
    cluster.wait(signed_up, lambda _: bool(landed))
    assert cluster.view(signed_up).status == Status.PROVISIONING


def test_moment_of_silence_of_a_running_instance_passes(cluster: Cluster) -> None:
    """Nothing that Argo CD lists changes, so it has to be looked at again for its own sake."""
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    cluster.world.clock.tick = timedelta(minutes=1)  # what is ready is seldom asked
    cluster.use_cell(probe=lambda _: Probed(ok=False, reason="No connection."))
    cluster.wait_for(signed_up, Status.DEGRADED)
    cluster.watcher.cell = cluster.world.cell
    cluster.wait_for(signed_up, Status.READY)


def test_one_application_that_cannot_be_read_keeps_nobody_else_back(cluster: Cluster) -> None:
    broken, other = cluster.world.sign_up(), cluster.world.sign_up()
    cluster.publish()
    name = cluster.world.tenant(broken.customer_id).name
    argocd = cluster.world.cell.argocd
    assert argocd is not None

    class Choking(ArgoCD):
        def get(self, asked: str) -> Application | None:
            if asked == name:
                raise ArgoError("the answer is too large")
            return super().get(asked)

    cluster.use_cell(argocd=Choking(argocd.url, lambda: TOKEN, "tenants"))
    cluster.wait_for(other, Status.READY)
    assert cluster.view(broken).status == Status.PROVISIONING


def test_two_watchers_do_not_move_a_tenant_back(cluster: Cluster) -> None:
    """The other one sees it ready while ours still holds an older look at it."""
    signed_up = cluster.world.sign_up()
    cluster.publish()
    other = Watcher(cluster.world.service, cluster.world.cell)

    def probe_while_the_other_reports(_: str) -> Probed:
        cluster.use_cell()  # the other watcher from here on
        cluster.wait_for(signed_up, Status.READY)
        return Probed(ok=False, reason="No connection.")

    slow = Watcher(
        cluster.world.service, replace(cluster.world.cell, probe=probe_while_the_other_reports)
    )
    give_up = time.monotonic() + 60
    while cluster.view(signed_up).status != Status.READY:
        assert time.monotonic() < give_up
        slow.look(now=cluster.world.clock())
        cluster.world.clock.time += cluster.world.clock.tick
    other.look(now=cluster.world.clock())
    assert statuses(cluster, signed_up)[-1] == Status.READY
    assert Status.DEGRADED not in statuses(cluster, signed_up)


def test_instance_is_not_ready_until_each_path_answers(cluster: Cluster) -> None:
    """The first one that does not is the reason."""
    signed_up = cluster.world.sign_up()
    cluster.publish()
    first, second = cluster.world.service.product.ready.paths
    silent, asked = second, list[str]()

    def probe(url: str) -> Probed:
        asked.append(url.removeprefix(signed_up.instance_url))
        return Probed(ok=asked[-1] != silent, reason=f"It is silent at {silent}.")

    cluster.use_cell(probe=probe)
    view = cluster.wait(signed_up, lambda view: view.reason_code == "not_answering")
    assert asked[:2] == [first, second]
    assert f"{second}: It is silent" in cluster.world.tenant(signed_up.customer_id).detail
    assert view.status == Status.PROVISIONING
    assert [step.state for step in view.steps][-2:] == ["done", "active"]
    cluster.use_cell()
    cluster.wait_for(signed_up, Status.READY)


def test_secret_that_cannot_be_opened_never_becomes_ready(
    tmp_path: Path, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other_key = tmp_path_factory.mktemp("other") / "sealing.key"
    other_key.write_bytes(another_rsa_key())
    with make_cluster(tmp_path / "w", database_url, sealing_key=other_key) as cluster:
        signed_up = cluster.world.sign_up()
        cluster.publish()
        view = cluster.wait(signed_up, lambda view: view.reason_code == "secret_sealed_shut")
        assert "SealedSecret" in cluster.world.tenant(signed_up.customer_id).detail
        assert "SealedSecret" not in view.reason


def test_lost_application_is_noticed_and_comes_back(cluster: Cluster) -> None:
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    name = cluster.world.tenant(signed_up.customer_id).name
    requests.delete(
        f"http://127.0.0.1:{cluster.stand_in.port}/api/v1/applications/{name}?project=tenants",
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        timeout=10,
    ).raise_for_status()
    cluster.wait(signed_up, lambda view: view.flaps == 1)
    old = cluster.world.tenant(signed_up.customer_id).application_uid
    cluster.wait(
        signed_up, lambda _: cluster.world.tenant(signed_up.customer_id).application_uid != old
    )
    assert cluster.view(signed_up).status == Status.READY


def test_argocd_out_of_reach_moves_nothing(cluster: Cluster) -> None:
    signed_up = cluster.world.sign_up()
    cluster.publish()
    cluster.wait_for(signed_up, Status.READY)
    before = statuses(cluster, signed_up)
    cluster.use_cell(argocd=ArgoCD("http://127.0.0.1:9", lambda: TOKEN, "tenants"))
    with pytest.raises(ArgoUnreachable):
        cluster.look()
    bad_token = ArgoCD(f"http://127.0.0.1:{cluster.stand_in.port}", lambda: "wrong", "tenants")
    cluster.use_cell(argocd=bad_token)
    with pytest.raises(ArgoTokenBad):
        cluster.look()
    assert statuses(cluster, signed_up) == before


def test_status_is_for_the_bearer_of_its_link_only(cluster: Cluster) -> None:
    mine, other = cluster.world.sign_up(), cluster.world.sign_up()
    service = cluster.world.service
    assert read_status(service, token=mine.status_token).customer_id == mine.customer_id
    for token, customer_id in (
        (other.status_token, mine.customer_id),
        (mine.customer_id, mine.customer_id),
        ("", mine.customer_id),
    ):
        with pytest.raises(NotFound):
            read_status(service, token=token, customer_id=customer_id)


def stage_of(view: StatusView) -> str:
    assert view.change is not None
    return view.change.stage


def statuses(cluster: Cluster, signed_up: SignedUp) -> list[str]:
    with cluster.world.service.database.read() as session:
        events = select(Event.status).where(Event.customer_id == signed_up.customer_id)
        return list(session.scalars(events.order_by(Event.id)))


def another_rsa_key() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
