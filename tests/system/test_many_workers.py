"""Eight workers on one repository, and somebody else who writes to it all the time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.invariants import check_invariants
from tests.system.load import sign_up
from tests.system.processes import Site, running
from tests.system.verdict import Verdict, judge, wait_until_published
from tests.system.world import PASSWORD

WORKERS = [f"worker-{number}" for number in range(1, 9)]
SIGNUPS = 40
BATCH = 5
IN_A_ROW = 2  # pushes of the foreign writer, after which it lets one of ours land


class ForeignWriter:
    """Edits the README and pushes, without force, as often as it can."""

    def __init__(self, site: Site) -> None:
        self.landed = 0
        self._site = site
        self._clone = site.folder / "foreign"
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._git("init", "--quiet", "--initial-branch=main", str(self._clone), at=None)
        self._git("remote", "add", "origin", str(self._site.remote))
        self._thread.start()
        try:
            yield
        finally:
            self._gone.set()
            self._thread.join()

    def _work(self) -> None:
        while not self._gone.is_set():
            others = self._others()
            for _ in range(IN_A_ROW):
                self.landed += self._edit()
            while self._others() == others and not self._gone.wait(0.05):
                pass

    def _others(self) -> int:
        """Pushes that landed and are not its own."""
        return len(self._site.pushes(landed=True)) - self.landed

    def _edit(self) -> bool:
        """Whether its push landed."""
        if self._git("fetch", "--quiet", "origin", "main"):
            self._git("reset", "--quiet", "--hard", "FETCH_HEAD")
        readme = self._clone / "README.md"
        readme.write_text(f"{readme.read_text() if readme.exists() else ''}\nEdit.\n")
        self._git("add", "README.md")
        self._git("commit", "--quiet", "--message=Edit the README")
        return self._git("push", "--quiet", "origin", "main")

    def _git(self, *arguments: str, at: Path | None = Path()) -> bool:
        who = ["-c", "user.name=Foreign", "-c", "user.email=foreign@example.com"]
        place = [] if at is None else ["-C", str(self._clone / at)]
        done = subprocess.run(["git", *place, *who, *arguments], check=False, capture_output=True)
        return done.returncode == 0


@pytest.mark.slow
def test_each_signup_lands_once_among_many_writers(tmp_path: Path, database_url: str) -> None:
    site = Site(tmp_path, database_url, {"publish_batch": BATCH, "publish_poll": 0.3})
    service, foreign = site.service(), ForeignWriter(site)
    with running(site, service):
        for name in WORKERS:
            site.start_worker(name)
        with foreign.at_work():
            for number in range(SIGNUPS):
                sign_up(service, number)
            wait_until_published(service)
            ours = len(site.pushes(landed=True)) - foreign.landed
        site.wait_until_up()
        assert set(site.stop().values()) == {0}
    rejected = len(site.log_lines("publish.rejected"))
    sys.stdout.write(f"pushes: {ours}, foreign: {foreign.landed}, rejected: {rejected}\n")
    assert judge(site, service, []) == Verdict([], [], [])
    assert site.forced_pushes() == 0
    assert 0 < rejected <= foreign.landed  # by the foreign writer; not by each other
    assert len(list(site.clones.glob("*.git"))) <= len(WORKERS)
    check_invariants(service, canaries=[PASSWORD], logs=site.logs)
