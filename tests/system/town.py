"""A service, those who use it and those who write to its repository, beside a model of it all.

Each method is one thing that happens, and tells the model what may come of it. It may be called at
any time, also between two steps of a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from tenantry.core import shards as shards_of
from tenantry.core.errors import (
    DatabaseUnavailable,
    EmailTaken,
    HistoryRewritten,
    KeyReused,
    RequestRunning,
    TenantryError,
)
from tenantry.core.signup import parse_signup
from tenantry.flows.publishing import publish, shards
from tenantry.flows.publishing.publish import Published
from tenantry.flows.service import Cell, Service
from tenantry.flows.signups.signup import Attempt, signup
from tests.faults import Died, Fault, Kind
from tests.invariants import check_invariants
from tests.system.model import BY_HAND, Model, Person
from tests.system.playground import ExampleWorld, Worker
from tests.system.renaming import rename_company
from tests.system.world import PASSWORD

Outcome = TypeVar("Outcome")
MOST_PASSES = 12  # until all is quiet again
LONGEST_WAIT = timedelta(minutes=6)  # after failures of one tenant
REMEMBERED = timedelta(hours=23)  # a day, but for clocks
COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"


@dataclass(frozen=True)
class Form:
    """A signup as a client sends it, and perhaps sends again."""

    email: str
    company: str
    key: str | None
    sent_at: datetime


class Town:
    """One world, its two processes and its model."""

    def __init__(self, world: ExampleWorld) -> None:
        self.world = world
        self.model = Model(world.remote)
        self.worker = Worker(world)
        self.is_refusing = False
        self.unanswered: list[Form] = []
        self.answers: list[tuple[Form, str]] = []
        self._other: Worker | None = None
        self._refused: set[str] = set()  # e-mails of those whom the server once refused
        self._number = 0

    @property
    def other(self) -> Worker:
        """A second process on the same data; it starts when first asked for."""
        self._other = self._other or Worker(self.world)
        return self._other

    def number(self) -> int:
        """Another one each time."""
        self._number += 1
        return self._number

    # Customers

    def sign_up(self, form: Form) -> None:
        """Somebody new, or whose answer was lost."""
        try:
            customer_id = self._ask_patiently(form)
        except (Died, DatabaseUnavailable):
            if not self.worker.has_failed:
                raise
            self._lose_answer(form)
        except EmailTaken:
            assert form.email in self.model.unsure, f"nobody else has {form.email}"
            assert not self.is_remembered(form), "the same request got another answer"
            self._know(form, None)
        else:
            self._know(form, customer_id)
            self.answers.append((form, customer_id))

    def _lose_answer(self, form: Form) -> None:
        self.model.unsure[form.email] = Person(form.email, form.company)
        if form not in self.unanswered:
            self.unanswered.append(form)
        if self.worker.life.is_over:
            self.worker.reborn()

    def _know(self, form: Form, customer_id: str | None) -> None:
        assert form.email not in self.model.people, "a customer was doubled"
        self.model.unsure.pop(form.email, None)
        self.model.people[form.email] = Person(form.email, form.company, customer_id)
        if form in self.unanswered:
            self.unanswered.remove(form)

    def _ask_patiently(self, form: Form) -> str:
        """As a client does that is told to come back, since its first request still runs."""
        try:
            return self.ask(form)
        except RequestRunning:
            assert form in self.unanswered, "nobody else uses this key"
            self.world.clock.time += timedelta(minutes=2)
            return self.ask(form)

    def ask(self, form: Form) -> str:
        """The customer id that the client is answered."""
        service = self.worker.service
        fields = {"email": form.email, "password": PASSWORD, "company_name": form.company}
        request = parse_signup(fields, rules=service.password_rules)
        attempt = Attempt(key=form.key) if form.key else None
        return signup(service, request, now=self.world.clock(), attempt=attempt).customer_id

    def is_remembered(self, form: Form) -> bool:
        """Whether the same request is due the same answer."""
        return form.key is not None and abs(self.world.clock.time - form.sent_at) < REMEMBERED

    def ask_again(self, form: Form, customer_id: str) -> None:
        """A client repeats what was answered; and uses the same key for something else."""
        assert self.ask(form) == customer_id, "the same request got another answer"
        try:
            self.ask(replace(form, company="Something Else"))
        except KeyReused:
            return
        raise AssertionError("one key was good for two requests")

    def sign_up_again(self, person: Person) -> None:
        """The same mailbox, spelled otherwise."""
        email = person.email.upper() if person.email.islower() else person.email.lower()
        try:
            self.ask(Form(email, f"Twin {self.number()}", None, self.world.clock.time))
        except EmailTaken:
            return
        raise AssertionError(f"{email} has an account already, as {person.email}")

    def rename(self, person: Person) -> None:
        """The customer calls the company something else."""
        company = f"Company {self.number()}"
        service, customer_id = self.worker.service, str(person.customer_id)
        rename_company(service, customer_id, company, actor="test", now=self.world.clock())
        person.company, person.generation = company, person.generation + 1

    # Processes

    def tick(self, worker: Worker) -> Published:
        """One pass, and a look of the follower; they may only fail where something else did."""
        published = self._attempt(worker, publish.publish_due) or Published()
        self._attempt(worker, shards.follow_main)
        self.model.promised |= set(published.tenants.values())
        for person in self.model.known():
            person.told_published |= person.customer_id in published.tenants
        return published

    def _attempt(self, worker: Worker, work: Callable[[Service, Cell], Outcome]) -> Outcome | None:
        try:
            return work(worker.service, worker.cell)
        except Died:
            worker.reborn()
        except TenantryError as error:
            is_excused = self.world.is_away or self.is_refusing or worker.has_failed
            if not is_excused or isinstance(error, HistoryRewritten):
                raise AssertionError("a pass failed where nothing else did") from error
        return None

    def tick_with(
        self,
        point: tuple[str, int],
        kind: Kind,
        error: TenantryError | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """A pass in which something goes wrong, or happens, at the nth call of a step."""
        self.world.clock.time += LONGEST_WAIT  # or else it may be no time for a pass
        with self.trouble(point, kind, error, meanwhile):
            self.tick(self.worker)

    @contextmanager
    def trouble(
        self,
        point: tuple[str, int],
        kind: Kind,
        error: TenantryError | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Iterator[None]:
        """What is in store for the first process, at the nth call of a step from now on."""
        life, (step, nth) = self.worker.life, point
        life.fault = Fault(step, life._numbers[step] + nth, kind, error, meanwhile)
        life.has_happened = False
        yield
        life.fault, life.has_happened = None, False

    def overtake(self, person: Person) -> None:
        """A change that the other process publishes, since the first was stopped for longer than
        its lease and does not know.
        """
        self.rename(person)
        self.world.forget_leases()
        self.tick(self.other)
        self.world.forget_leases()

    # People with Git

    def lose_branch(self, person: Person) -> None:
        """Somebody deletes the branch of a shard."""
        branch = shards_of.branch_of(person.folder, self.worker.cell.shards)
        self.model.git("update-ref", "-d", f"refs/heads/{branch}")

    def shown(self) -> list[Person]:
        """Customers whose folder is on main."""
        if self.world.is_away:
            return []
        return [person for person in self.model.known() if self.model.tree(person.folder)]

    def write_readme(self) -> None:
        """A commit that is nobody's."""
        if not self.world.is_away and self.model.has_main():
            self._write(f"M 100644 inline NOTES-{self.number()}.md", b"by hand\n")

    def write_local(self, person: Person) -> None:
        """What a reviewer may: a component of the tenant's own."""
        folder, number = person.folder, self.number()
        content = f"{COMPONENT}labels: [{{pairs: {{number: n{number}}}}}]\n"
        self._write(f"M 100644 inline {folder}/local/kustomization.yaml", content.encode())
        self.model.has_local[folder] = content

    def edit(self, person: Person) -> None:
        """What a reviewer should not do, and nobody may undo unasked."""
        path, line = f"{person.folder}/namespace.yaml", f"{BY_HAND} {self.number()}\n"
        content = self.model.git("show", f"main:{path}") + line
        self._write(f"M 100644 inline {path}", content.encode())
        person.edit += line

    def remove(self, person: Person) -> None:
        """The same, of the whole folder."""
        self._write(f"D {person.folder}")
        person.is_removed = True

    def restore(self, person: Person) -> None:
        """Take back what hands did to the folder, and have it published once more."""
        last = ("log", "-1", "--author=Tenantry", "--format=%H", "main", "--", person.folder)
        place = f"{self.model.git(*last).strip()}:{person.folder}"
        tree = self.model.git("rev-parse", place).strip()
        self._write(f"D {person.folder}", commands=[f"M 040000 {tree} {person.folder}"])
        self.model.has_local.pop(person.folder, None)
        if self.model.git("ls-tree", tree, "local"):
            local = self.model.git("show", f"{tree}:local/kustomization.yaml")
            self.model.has_local[person.folder] = local
        _, mark, edit = self.model.git("show", f"{tree}:namespace.yaml").partition(BY_HAND)
        person.edit, person.is_removed = mark + edit, False
        self.rename(person)

    def _write(self, command: str, content: bytes = b"", commands: Sequence[str] = ()) -> None:
        lines = [(command, content), *((line, b"") for line in commands)]
        self.model.by_hand.add(self.world.write_by_hand(lines))

    # The remote

    def refuse(self, person: Person | None) -> None:
        """The server refuses all, or just what touches one customer."""
        self.is_refusing = True
        self.world.refuse(person.folder if person else None)
        self._refused |= {person.email} if person else set()

    def repair(self) -> None:
        """The server works again."""
        self.is_refusing = False
        self.world.bring_back()
        self.world.allow()

    # The end

    def settle(self) -> None:
        """With all trouble over, everything gets to where it should be, without any help."""
        self.repair()
        for person in [each for each in self.model.known() if each.email in self._refused]:
            self.rename(person)  # the server said no to it before, which only a change takes back
        self._refused.clear()
        for _ in range(MOST_PASSES):
            self.world.forget_leases()
            self.world.clock.time += LONGEST_WAIT
            head, published = self.model.head, self.tick(self.worker)
            self.model.look()
            if head == self.model.head and not published.tenants and not published.postponed:
                return
        raise AssertionError("the publisher does not come to rest")

    def require_all_is_well(self) -> None:
        """The model, the invariants, and once more after hands have taken back what they did."""
        for form in list(self.unanswered):
            self.sign_up(form)
        if self._number % 3 == 0:  # or else see first whether all heals without another change
            self._rename_all()
        self._settle_and_look()
        self._rename_all()
        self._settle_and_look()
        for person in [each for each in self.model.known() if each.is_removed]:
            self.restore(person)
        self._settle_and_look()
        check_invariants(self.worker.service, canaries=[PASSWORD])

    def _rename_all(self) -> None:
        for person in self.model.known():
            self.rename(person)

    def _settle_and_look(self) -> None:
        self.settle()
        self.model.require_shown()

    def close(self) -> None:
        """Leave nothing behind."""
        self.world.close()
