"""What following many tenants costs, and how soon what Argo CD says is what a customer is told.

A look at all of them, at rest, is made by a process of its own. Events are followed by a real
`tenantry worker`, which hears them on the stream: each makes one new tenant ready.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from sqlalchemy import select, update

from bench.argocd import Applications, serve
from bench.look import Look
from bench.results import Figure, Result
from bench.stage import Stage, make_stage, wait_until
from tenantry.adapters.argocd.client import LIST_FIELDS
from tenantry.adapters.database.tables import Deployment, Tenant
from tenantry.core.model import Status
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.status import read_status
from tests.ports import free_port

REACH_CPU = 1.0  # seconds
REACH_MEMORY = 200  # MB (10^6 bytes)
REACH_EVENT = 1.0  # seconds
AT_REST = {"list": 1}  # requests of a look
READ_EVERY = 0.01  # seconds between two looks at the status
APART = 2.0  # seconds at most from one event to the next, so that they fall between lists and upon


@dataclass(frozen=True)
class Figures:
    """Of one run."""

    tenants: int
    look: Look
    asked: Mapping[str, int]  # requests of the look, by kind
    parsing: float  # CPU seconds of `json.loads` on the list's answer
    events: Sequence[float]  # seconds until the status told of each
    repository: str


def measure(console: Console, *, tenants: int, events: int) -> Figures:
    """A look at `tenants` at rest, then events of as many new ones."""
    with _make_stage() as (stage, applications):
        stage.grow(tenants, console)
        _rest(stage, applications)
        look, asked = _look(stage, applications)
        parsing = _parse(applications)
        seconds = _follow(stage, applications, console, events)
        return Figures(tenants, look, asked, parsing, seconds, stage.check())


def result(found: Figures) -> Result:
    """The promises, each beside what was measured."""
    look, middle = found.look, statistics.median(found.events)
    asked = ", ".join(f"{count} × {kind}" for kind, count in found.asked.items())
    figures = [
        Figure(
            "CPU time of a look at all, at rest",
            f"{look.cpu:.2f} s ({look.cpu / found.parsing:.1f} × json.loads of the list, "
            f"{found.parsing * 1000:.0f} ms)",
            f"< {REACH_CPU:g} s",
            look.cpu < REACH_CPU,
        ),
        Figure(
            "memory of its process",
            f"{look.peak:.0f} MB ({look.before:.0f} MB before)",
            f"< {REACH_MEMORY} MB",
            look.peak < REACH_MEMORY,
        ),
        Figure("its requests", asked, "1 × list", found.asked == AT_REST),
        Figure(
            f"Argo CD's event → status ({len(found.events)} events)",
            f"median {middle:.2f} s, longest {max(found.events):.2f} s",
            f"median < {REACH_EVENT:g} s",
            middle < REACH_EVENT,
        ),
        Figure("repository afterwards", found.repository),
    ]
    return Result("watch", f"following {found.tenants:,} tenants", figures)


@contextmanager
def _make_stage() -> Iterator[tuple[Stage, Applications]]:
    """A service whose Argo CD and instances are one local server."""
    port = free_port()
    with serve(port) as applications, tempfile.TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.write_text("a-token", "ascii")
        cell = {
            "argocd_url": f"http://127.0.0.1:{port}",
            "argocd_token_file": str(token),
            "instance_url": f"http://{{host}}:{port}",
            "probe_connect_to": f"127.0.0.1:{port}",
        }
        with make_stage(cell=cell) as stage:
            yield stage, applications


def _rest(stage: Stage, applications: Applications) -> None:
    """Have all that was published be as wanted, and called so."""
    now, head = stage.service.now(), stage.head()
    with stage.service.database.write() as session:
        for name in session.scalars(select(Tenant.name)):
            applications.put(name, head, health="Healthy")
        session.execute(update(Tenant).values(status=Status.READY, reason_code=Status.READY))
        session.execute(update(Deployment).values(ready_at=now, outcome="success"))


def _look(stage: Stage, applications: Applications) -> tuple[Look, Counter[str]]:
    """The look, and the requests that it made."""
    before = applications.asked.copy()
    look = Look(**json.loads(stage.run("bench.look")))
    return look, applications.asked - before


def _parse(applications: Applications) -> float:
    """CPU seconds that the list's answer takes at best."""
    answer = applications.list(LIST_FIELDS.split(","))
    began = time.thread_time()
    json.loads(answer)
    return time.thread_time() - began


def _follow(stage: Stage, applications: Applications, console: Console, events: int) -> list[float]:
    """Seconds from each event, which makes a new tenant ready, until its status says so."""
    starting = _start(stage, applications, events)
    with stage.process("worker"):
        for token in starting.values():
            wait_until(partial(_is_told, stage, token, "starting"), every=READ_EVERY)
        seconds: list[float] = []
        shown = track(starting.items(), description="events", console=console, transient=True)
        for name, token in shown:
            time.sleep(random.uniform(0, APART) if seconds else 0)  # noqa: S311 - no secret
            applications.put(name, stage.head(), health="Healthy")
            seconds.append(wait_until(partial(_is_told, stage, token, "ready"), every=READ_EVERY))
        return seconds


def _start(stage: Stage, applications: Applications, count: int) -> dict[str, str]:
    """New tenants that are applied and not healthy yet: the tokens of their status by name."""
    signed_up = [stage.sign_up(f"watched-{number}") for number in range(count)]
    tokens = {each.customer_id: each.status_token for each in signed_up}
    publish_due(stage.service, stage.service.new_tenants_cell)
    published = select(Tenant.customer_id, Tenant.name).where(
        Tenant.customer_id.in_(tokens), Tenant.published_generation > 0
    )
    with stage.service.database.read() as session:
        names = dict(session.execute(published).tuples().all())
    assert names.keys() == tokens.keys(), "not all were published"
    for name in names.values():
        applications.put(name, stage.head(), health="Progressing")
    return {name: tokens[customer_id] for customer_id, name in names.items()}


def _is_told(stage: Stage, token: str, reason_code: str) -> bool:
    """Whether the status page says so by now."""
    return read_status(stage.service, token=token).reason_code == reason_code
