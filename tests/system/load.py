"""People at work on a site: they sign up until they have an answer, and rename their companies."""

from __future__ import annotations

import contextlib
import heapq
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import requests
from sqlalchemy import select

from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.http import make_session
from tenantry.core.errors import DatabaseUnavailable
from tenantry.core.signup import parse_signup
from tenantry.flows.service import Service
from tenantry.flows.signups.signup import signup
from tests.system.renaming import rename_company
from tests.system.world import PASSWORD

ANSWERS_WITHIN = 30.0  # seconds, after which a visitor asks again
AGAIN_AFTER = 0.3  # seconds
# What a visitor repeats: a request that still runs (or whose process died), a busy database.
AGAIN = {"idempotency_running", "database_unavailable"}


@dataclass(frozen=True, order=True)
class Form:
    """A signup that has no answer yet, and when it is sent (again)."""

    at: float
    email: str
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Answer:
    """What a visitor was told; `is_replay`: the signup stood already, its first answer was lost."""

    email: str
    customer_id: str
    is_replay: bool


def sign_up(service: Service, number: int) -> str:
    """A signup in the test's own process; the customer's id."""
    fields = {
        "email": f"customer-{number}@example.com",
        "password": PASSWORD,
        "company_name": "Company",
    }
    request = parse_signup(fields, rules=service.password_rules)
    return signup(service, request, now=service.now()).customer_id


class Visitors:
    """Some threads that sign people up, one each `pause` seconds, and ask again where a process
    died; `stop` ends new ones, `leave` gives up on answers that have not come.
    """

    def __init__(self, url: str, *, threads: int = 3, pause: float = 0.7) -> None:
        self.answers: list[Answer] = []
        self.surprises: list[str] = []
        self._url = url
        self._pause = pause
        self._forms: list[Form] = []
        self._open = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._gone = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more new signups."""
        self._closed.set()

    @property
    def unanswered(self) -> int:
        """How many are still waiting for an answer."""
        return self._open

    def leave(self) -> None:
        """Nobody asks any longer."""
        self._closed.set()
        self._gone.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        session = make_session()
        while not self._gone.is_set():
            form = self._next_form()
            if form is None:
                self._gone.wait(0.05)
                continue
            self._send(session, form)
            if not self._closed.is_set():
                self._gone.wait(self._pause)

    def _next_form(self) -> Form | None:
        """One whose time has come, else a new one."""
        with self._lock:
            if self._forms and self._forms[0].at <= time.monotonic():
                return heapq.heappop(self._forms)
            if self._closed.is_set():
                return None
            self._open += 1
            return Form(0, f"visitor-{uuid.uuid4().hex}@example.com")

    def _send(self, session: requests.Session, form: Form) -> None:
        body = {"email": form.email, "password": PASSWORD, "company_name": "Company"}
        try:
            answer = session.post(
                f"{self._url}/api/customers/signup",
                json=body,
                headers={"Idempotency-Key": form.key},
                timeout=ANSWERS_WITHIN,
            )
        except requests.RequestException:
            self._send_again(form)
            return
        self._take(form, answer)

    def _take(self, form: Form, answer: requests.Response) -> None:
        if answer.status_code == requests.codes.created:
            customer_id = answer.json()["customer"]["customer_id"]
            replay = "Idempotency-Replayed" in answer.headers
            with self._lock:
                self.answers.append(Answer(form.email, customer_id, replay))
                self._open -= 1
        elif _code(answer) in AGAIN:
            self._send_again(form)
        else:
            with self._lock:
                self.surprises.append(f"{answer.status_code} {answer.text[:300]}")
                self._open -= 1

    def _send_again(self, form: Form) -> None:
        with self._lock:
            heapq.heappush(self._forms, Form(time.monotonic() + AGAIN_AFTER, form.email, form.key))


def _code(answer: requests.Response) -> str:
    with contextlib.suppress(ValueError):
        return str(answer.json().get("code"))
    return ""


class Renamer:
    """Somebody who renames companies of `known` customers at random, one each `pause` seconds."""

    def __init__(
        self, service: Service, known: Callable[[], list[str]], *, seed: int, pause: float = 0.5
    ) -> None:
        self.renamed: Counter[str] = Counter()  # customer id -> how often
        self.unsure: Counter[str] = Counter()  # the database failed: it may have happened
        self._service = service
        self._known = known
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._pause = pause
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._gone.set()
            self._thread.join()

    def _work(self) -> None:
        while not self._gone.wait(self._pause):
            known = self._known()
            if known:
                self.rename(self._random.choice(known))

    def rename(self, customer_id: str) -> None:
        name = f"Company {sum(self.renamed.values()) + 1}"
        try:
            rename_company(self._service, customer_id, name, actor="test", now=self._service.now())
        except DatabaseUnavailable:
            self.unsure[customer_id] += 1
        else:
            self.renamed[customer_id] += 1

    def lost(self, service: Service) -> list[str]:
        """Customers who were renamed more or less often than somebody was told."""
        with service.database.read() as session:
            rows = session.execute(select(Tenant.customer_id, Tenant.generation)).all()
        return [
            f"{customer_id} was renamed {self.renamed[customer_id]} times, not {generation - 1}"
            for customer_id, generation in rows
            if not 0 <= generation - 1 - self.renamed[customer_id] <= self.unsure[customer_id]
        ]
