"""Workers that are stopped, killed or told to end in the middle of a pass, and those after them."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tenantry.flows.service import Service
from tests.invariants import check_invariants
from tests.system.gate import Gate, make_git
from tests.system.load import sign_up
from tests.system.processes import (
    Site,
    Whom,
    cell_of,
    descendants,
    running,
    running_pids,
    wait_until,
)
from tests.system.renaming import rename_company
from tests.system.verdict import Verdict, judge, wait_until_published
from tests.system.world import PASSWORD

FIRST, SECOND = "worker-1", "worker-2"


@dataclass
class Pair:
    """Two workers. The first can be caught at a gate while the second is paused."""

    site: Site
    service: Service
    gates: dict[str, Gate]
    signups: int = 0

    def sign_up(self) -> str:
        self.signups += 1
        return sign_up(self.service, self.signups)

    def rename(self, customer_id: str, name: str) -> None:
        service = self.service
        rename_company(service, customer_id, name, actor="test", now=service.now())

    def catch_first(self, gate: Gate, customer_id: str) -> None:
        """Have the first worker wait at the gate with a change of this customer; the second is
        paused while it does nothing.
        """
        wait_until_published(self.service)
        wait_until(lambda: not self.site.is_in_pass(SECOND), "the second worker does nothing")
        self.site.pause(SECOND, self.service)
        gate.close()
        self.rename(customer_id, "Old name")
        gate.wait_for_catch()


@pytest.fixture
def pair(tmp_path: Path, database_url: str) -> Iterator[Pair]:
    """Both run, and have published; the invariants are checked at the end."""
    site = Site(tmp_path, database_url, {"mail_poll": 3600})
    service = site.service()
    gates = {name: Gate(tmp_path / f"gate-{name}") for name in ("fast-import", "push", "host")}
    commands = {name: gates[name] for name in ("fast-import", "push")}
    site.hook("update", gates["host"].script)  # the host has all that was pushed by then
    with running(site, service):
        site.start_worker(FIRST, programs=make_git(tmp_path / "programs", commands))
        site.start_worker(SECOND)
        pair = Pair(site, service, gates)
        pair.sign_up()
        site.wait_until_up()
        wait_until_published(service)
        yield pair
        assert set(site.stop().values()) <= {0}
        assert judge(site, service, []) == Verdict([], [], [])
        assert site.forced_pushes() == 0
        check_invariants(service, canaries=[PASSWORD], logs=site.logs)


@pytest.mark.slow
def test_publisher_that_was_stopped_past_its_lease_overwrites_nothing(pair: Pair) -> None:
    """Wherever in its pass it is: before it looks at its lease, after that, and while the host
    has its commits already.
    """
    site, customer_id = pair.site, pair.sign_up()
    for place, gate in pair.gates.items():
        pair.catch_first(gate, customer_id)
        site.pause(FIRST, pair.service)
        pair.rename(customer_id, f"New name after {place}")
        site.resume(SECOND)
        wait_until_published(pair.service)
        head = site.git("rev-parse", "main")
        gate.open()
        site.resume(FIRST)
        wait_until(lambda: not site.is_in_pass(FIRST), "the first worker has ended its pass")
        assert site.git("rev-parse", "main") == head
        assert "New name after" in site.git("grep", "-h", "name after", "main", "--", "tenants/")


@pytest.mark.slow
def test_publisher_that_was_killed_is_succeeded(pair: Pair) -> None:
    """Its own push, which runs on, comes too late and so does nothing."""
    customer_id = pair.sign_up()
    pair.catch_first(pair.gates["push"], customer_id)
    orphans = set(descendants(pair.site.children[FIRST].pid))
    pair.site.kill(FIRST, Whom.ITSELF)
    pair.site.children.pop(FIRST)
    pair.rename(customer_id, "New name")
    pair.site.resume(SECOND)
    wait_until_published(pair.service)
    head = pair.site.git("rev-parse", "main")
    pair.gates["push"].open()
    wait_until(lambda: not orphans & running_pids(), "the orphan has ended")
    assert pair.site.git("rev-parse", "main") == head


@pytest.mark.slow
def test_worker_that_is_told_to_end_finishes_its_pass(pair: Pair) -> None:
    customer_id = pair.sign_up()
    pair.catch_first(pair.gates["push"], customer_id)
    pair.site.children[FIRST].terminate()
    pair.gates["push"].open()
    assert pair.site.stop(FIRST) == {FIRST: 0}
    wait_until_published(pair.service)  # the second is still paused: it was the first that did it
    assert cell_of(pair.service).lease.holder() is None
    pair.sign_up()
    pair.site.resume(SECOND)
    wait_until_published(pair.service)


def test_worker_ends_whichever_of_its_threads_is_told(tmp_path: Path) -> None:
    """The system chooses the thread, and mostly the first; Python's handlers run only there."""
    site = Site(tmp_path, f"sqlite:///{tmp_path}/tenantry.db")
    site.start_worker(FIRST)
    try:
        site.wait_until_up()
        pid = site.children[FIRST].pid
        other = next(tid for tid in site.threads(FIRST) if tid != pid)
        ctypes.CDLL(None).tgkill(pid, other, signal.SIGTERM)
        wait_until(lambda: site.has_ended(FIRST), "the worker has ended")
        assert site.children[FIRST].returncode == 0
    finally:
        site.close()
