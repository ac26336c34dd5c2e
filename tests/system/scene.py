"""A customer's first days, act by act, on data that can be put back to where an act began."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import psycopg
from sqlalchemy import select, update

from tenantry.adapters.argocd import ArgoCD, ListedApplication, Refreshed
from tenantry.adapters.database.tables import (
    Customer,
    LeaseRow,
    Outbox,
    Publication,
    RateLimit,
    Tenant,
)
from tenantry.adapters.probe import Probed
from tenantry.core.application import Application
from tenantry.core.application_set import ApplicationSet
from tenantry.core.errors import TenantryError
from tenantry.core.limits import Limit, Limits
from tenantry.core.live import Node
from tenantry.core.model import Status
from tenantry.core.signup import parse_signup
from tenantry.flows.mailing.sending import send_due
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.service import Service
from tenantry.flows.signups.signup import Attempt, SignedUp, signup
from tenantry.flows.watching.watch import Watcher
from tests.faults import Died, Life, live
from tests.invariants import check_invariants
from tests.postgres import new_database
from tests.system.renaming import rename_company
from tests.system.world import PASSWORD, World, make_world

EMAIL, COMPANY = "customer@example.com", "New Name"
ATTEMPT = Attempt(network="192.0.2.1", key="the customer's key")
LIMITS = Limits(*[Limit(10, timedelta(hours=1))] * 3)
ROUND = timedelta(minutes=6)  # longer than anything waits, a mailer's claim included
ROUNDS = 6
WITHIN = 20.0  # seconds; only what is broken takes them


@dataclass
class StandIn:
    """A STAND-IN for Argo CD, without a cluster: it makes an Application when it is told of a push,
    compares it when it is asked to, and all that it compared is Synced and Healthy at once.
    """

    head: Callable[[], str]  # of main
    now: Callable[[], datetime]
    compared: dict[str, str] = field(default_factory=dict)  # Application -> commit
    url: str = "http://argocd.localhost"

    def announce(self, _branch: str, _before: str | None, after: str, paths: object) -> None:
        for path in cast(list[str], paths):
            self.compared.setdefault(path.split("/")[2], after)

    def list(self) -> list[ListedApplication]:
        return [
            ListedApplication(name, False, "Healthy", "Synced", commit, "Succeeded", None, None)
            for name, commit in self.compared.items()
        ]

    def get(self, name: str) -> Application | None:
        commit, now = self.compared.get(name), self.now()
        if commit is None:
            return None
        return Application(
            name, health="Healthy", sync="Synced", revision=commit, phase="Succeeded",
            applied_revision=commit, finished_at=now, reconciled_at=now,
        )  # fmt: skip

    def sets(self) -> tuple[ApplicationSet, ...]:
        return ()

    def tree(self, _: str) -> tuple[Node, ...]:
        return ()

    def may_sync_now(self, _: str) -> bool:
        return True

    def refresh(self, name: str, *, hard: bool = False) -> Refreshed:
        self.compared[name] = self.head()
        return Refreshed(asked=True, application=self.get(name))


@dataclass
class Scene:
    """One place whose folder and database are put back for each case."""

    world: World
    server: str | None  # PostgreSQL's maintenance database; None on SQLite
    stand_in: StandIn
    recorded: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # calls of each act
    _saved: dict[str, tuple[dict[str, str], datetime]] = field(default_factory=dict)

    @property
    def service(self) -> Service:
        return self.world.service

    def save(self, name: str) -> None:
        """Remember what is so now."""
        self.service.database.close()
        for repository in self.world.folder.rglob("*.git"):
            git = ["git", f"--git-dir={repository}"]
            subprocess.run([*git, "repack", "-adq"], check=True)  # fewer files to put back
        shutil.copytree(self.world.folder, self._copy(name))
        if self.server:
            self._clone_database(self._database, f"{self._database}_{name}")
        self._saved[name] = (dict(self.stand_in.compared), self.world.clock.time)

    def restore(self, name: str) -> None:
        """Let everything be as it was."""
        self.service.database.close()
        shutil.rmtree(self.world.folder)
        shutil.copytree(self._copy(name), self.world.folder)
        if self.server:
            self._clone_database(f"{self._database}_{name}", self._database)
        compared, self.world.clock.time = self._saved[name]
        self.stand_in.compared = dict(compared)

    @contextmanager
    def process(self, life: Life) -> Iterator[Service]:
        """The service in a process of its own."""
        yield live(self.service, life, clones=self.world.folder / "data" / "clones")

    def let_leases_run_out(self) -> None:
        """Seconds pass for the database's clock."""
        with self.service.database.write() as session:
            session.execute(update(LeaseRow).values(until=0.0))

    def rival(self) -> None:
        """Another process does all there is to do while one is slow, whose lease has run out; then
        something changes, and it does that, too.
        """
        self.let_leases_run_out()
        self.world.clock.time += ROUND
        with self.process(Life()) as other:
            work(other)
            self.change("changed meanwhile")
            work(other)

    def change(self, company: str) -> None:
        """Customers change something, where there are any."""
        for each in customers(self.service):
            name(self.service, each.customer_id, company)

    def settle(self, act: str) -> None:
        """Restart, and work until everything is done that customers wait for."""
        self.let_leases_run_out()
        with self.process(Life()) as restarted:
            self.world.clock.time += ROUND
            ask_again(restarted, act)
            for _ in range(ROUNDS):
                self.world.clock.time += ROUND
                work(restarted)
                if self._is_settled():
                    return
        raise AssertionError(f"not settled after {ROUNDS} rounds: {self._tenant_row()}")

    def check(self) -> None:
        """One customer, a commit for each accepted generation and no two for any, no forced push,
        and all that always holds.
        """
        check_invariants(self.service, canaries=[PASSWORD])
        (customer,) = customers(self.service)
        folder = self.world.folder_of(customer.customer_id)
        form = "--format=%(trailers:key=Generation,valueonly,separator=)"
        committed = self.world.git("log", form, "main", "--", folder).split()
        assert len(committed) == len(set(committed)), f"committed twice: {committed}"
        assert accepted_generations(self.service) <= {int(each) for each in committed}
        assert_no_forced_push(self.world)

    def _is_settled(self) -> bool:
        tenant = self._tenant_row()
        unsent = select(Outbox.id).where(Outbox.sent_at.is_(None))
        with self.service.database.read() as session:
            is_mailed = session.scalar(unsent) is None
        is_published = tenant.published_generation == tenant.generation
        return is_mailed and is_published and tenant.status == Status.READY

    def _tenant_row(self) -> Tenant:
        with self.service.database.read() as session:
            return session.scalars(select(Tenant)).one()

    @property
    def _database(self) -> str:
        return str(self.service.database.engine.url.database)

    def _copy(self, name: str) -> Path:
        return self.world.folder.with_name(f"{self.world.folder.name}-{name}")

    def _clone_database(self, source: str, target: str) -> None:
        with psycopg.connect(str(self.server), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)'.encode())
            connection.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"'.encode())


# The acts. Each starts where the one before it ended, and is what one process does.


def sign_up(service: Service) -> SignedUp:
    fields = {"email": EMAIL, "password": PASSWORD, "company_name": "Company"}
    request = parse_signup(fields, rules=service.password_rules)
    return signup(service, request, now=service.now(), attempt=ATTEMPT)


def publish(service: Service) -> None:
    publish_due(service, service.cells["main"])


def mail(service: Service) -> None:
    send_due(service)


def watch(service: Service) -> None:
    """Look, and look again once Argo CD has compared what it was asked to."""
    watcher = Watcher(service, service.cells["main"])
    try:
        for _ in range(2):
            watcher.look(now=service.now())
            give_up = time.monotonic() + WITHIN
            while watcher._asker and watcher._asker._under_way:
                assert time.monotonic() < give_up
                time.sleep(0.001)
    finally:
        watcher.close()


def rename(service: Service) -> None:
    for each in customers(service):
        name(service, each.customer_id, COMPANY)


ACTS: dict[str, Callable[[Service], object]] = {
    "sign up": sign_up,
    "publish": publish,
    "mail": mail,
    "watch": watch,
    "rename": rename,
    "publish again": publish,
    "watch again": watch,
}


def work(service: Service) -> None:
    """One pass of each of a worker's loops; one that fails keeps no other from its turn."""
    for one_pass in (publish, watch, mail):
        one_pass(service)


def customers(service: Service) -> Sequence[Customer]:
    with service.database.read() as session:
        return session.scalars(select(Customer)).all()


def name(service: Service, customer_id: str, company: str) -> None:
    rename_company(service, customer_id, company, actor="test", now=service.now())


def accepted_generations(service: Service) -> set[int]:
    accepted = select(Publication.generation).where(Publication.accepted_at.is_not(None))
    with service.database.read() as session:
        return set(session.scalars(accepted))


def ask_again(service: Service, act: str) -> None:
    """What a person does who was not answered: it was done or it was not, never half. Whoever asks
    with the same key is told of the one customer, as often as they ask.
    """
    if act == "sign up":
        told = [sign_up(service) for _ in range(2)]
        assert {each.customer_id for each in told} == {customers(service)[0].customer_id}
        assert told[1] == replace(told[0], is_replay=True)
        with service.database.read() as session:
            counted = session.scalars(select(RateLimit.scope)).all()
        assert sorted(counted) == ["address", "email", "total"]
    elif act == "rename" and COMPANY not in {each.company_name for each in customers(service)}:
        rename(service)


def assert_no_forced_push(world: World) -> None:
    """By the remote's own book: each value of main descends from the one before."""
    book = world.remote / "logs" / "refs" / "heads" / "main"
    for line in book.read_text().splitlines():
        before, after = line.split()[:2]
        if set(before) != {"0"}:
            world.git("merge-base", "--is-ancestor", before, after)


def play(scene: Scene, act: str, life: Life) -> bool:
    """Let a process of that life do the act; whether it was done, as far as the process knows."""
    with scene.process(life) as running:
        try:
            ACTS[act](running)
            life.require_alive()  # a thread may have been the first to meet the end
        except (Died, TenantryError):
            return False
        return True


@contextmanager
def make_scene(folder: Path, server: str | None) -> Iterator[Scene]:
    """A scene with what is so before each act saved under the act's name."""
    (place := folder / "world").mkdir()
    url = new_database(server) if server else f"sqlite:///{place}/tenantry.db"
    world = make_world(place, url)
    world.git("config", "core.logAllRefUpdates", "always")
    world.git("config", "transfer.unpackLimit", "1")
    stand_in = StandIn(lambda: world.git("rev-parse", "main"), world.clock)
    cell = replace(
        world.cell,
        argocd=cast(ArgoCD, stand_in),
        announce=stand_in.announce,
        probe=lambda _: Probed(ok=True, reason="It answers 200."),
    )
    world.service = replace(world.service, cells={cell.name: cell}, signup_limits=LIMITS)
    yield Scene(world, server, stand_in)
    world.service.database.close()
