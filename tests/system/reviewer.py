"""A reviewer under test: what people do with branches, and what the service makes of it."""

from __future__ import annotations

import subprocess
from datetime import timedelta

from tenantry.core.review import ChangeKind, Mode
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.reviewing.listing import Listed, list_changes
from tenantry.flows.reviewing.review import Reviewer
from tests.system.world import World


class Person:
    """A reviewer with a clone of the tenants repository."""

    def __init__(self, world: World) -> None:
        self.path = world.folder / "reviewer"
        self.remote = world.remote
        if not self.path.exists():
            subprocess.run(["git", "clone", "-q", self.remote, self.path], check=True)
            self.git("config", "user.name", "Ada Reviewer")
            self.git("config", "user.email", "ada@example.com")
        self.git("fetch", "-q", "--prune")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-C", self.path, *words], check=True, capture_output=True, text=True
        )
        return done.stdout

    def to(self, branch: str) -> None:
        self.git("checkout", "-q", "-B", branch, f"origin/{branch}")

    def merge(self, branch: str) -> None:
        self.to("main")
        self.git("merge", "-q", "--no-ff", "--no-edit", f"origin/{branch}")
        self.git("push", "-q", "origin", "main")

    def squash(self, branch: str) -> None:
        self.to("main")
        self.git("merge", "-q", "--squash", f"origin/{branch}")
        self.git("commit", "-q", "-m", "squashed")
        self.git("push", "-q", "origin", "main", f":{branch}")

    def rebase(self, branch: str) -> None:
        self.to(branch)
        self.git("rebase", "-q", "origin/main")
        self.git("push", "-q", "origin", "HEAD:main")

    def edit(self, branch: str, path: str, text: str) -> None:
        self.to(branch)
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "edited")
        self.git("push", "-q", "origin", branch)


def review(world: World) -> None:
    world.wait()
    Reviewer(world.service, world.cell, timedelta(seconds=1)).look()


def changes(world: World, customer_id: str) -> list[Listed]:
    return list(list_changes(world.service, world.cell, open_only=False, customer_id=customer_id))


def newest(world: World, customer_id: str) -> Listed:
    return changes(world, customer_id)[0]


def ask(world: World, customer_id: str, plan: str = "professional") -> str:
    asked = request_change(
        world.service, world.cell, customer_id, ChangeKind.PLAN, {"plan": plan}, actor="operator"
    )
    assert asked.mode == Mode.REVIEW
    review(world)
    return f"tenantry/{customer_id}"
