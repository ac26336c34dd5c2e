"""Telling Argo CD of a push is a hint: it says what it has to say, and never stands in the way."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tenantry.core.errors import ArgoUnreachable, SettingsError, TenantryError
from tenantry.flows.publishing import nudge
from tenantry.flows.publishing.nudge import Push

PUSHES = [
    Push("shard/00", None, "a1", ["tenants/00"]),
    Push("shard/3f", "b0", "b1", ["tenants/ff"]),
]


def cell(announce: Any) -> Any:
    return SimpleNamespace(name="main", announce=announce, shards=64)


def test_each_branch_with_new_tenants_is_told_of_once_by_what_its_set_reads() -> None:
    folders = ["tenants/00/b", "tenants/fc/c", "tenants/03/d", "tenants/80/stays"]
    after = {"shard/00": "a1", "shard/3f": "b1", "shard/01": "moved, and nobody is new"}
    assert nudge.of_tenants(cell(None), folders, after, {"shard/3f": "b0"}) == [
        Push("shard/00", None, "a1", ["tenants/00/b/tenant.json", "tenants/03/d/tenant.json"]),
        Push("shard/3f", "b0", "b1", ["tenants/fc/c/tenant.json"]),
    ]


def test_every_push_is_announced() -> None:
    said: list[Any] = []
    nudge.announce(cell(lambda *each: said.append(each)), PUSHES)
    assert said == [
        ("shard/00", None, "a1", ["tenants/00"]),
        ("shard/3f", "b0", "b1", ["tenants/ff"]),
    ]


def test_cell_without_a_webhook_announces_nothing() -> None:
    with capture_logs() as entries:
        nudge.announce(cell(None), PUSHES)
    assert entries == []


@pytest.mark.parametrize("error", [ArgoUnreachable(), SettingsError("secret: No such file")])
def test_webhook_that_fails_is_logged_and_not_asked_again(error: TenantryError) -> None:
    asked: list[str] = []

    def fail(branch: str, *_: object) -> None:
        asked.append(branch)
        raise error

    with capture_logs() as entries:
        nudge.announce(cell(fail), PUSHES)
    (entry,) = entries
    assert (entry["event"], entry["code"]) == ("nudge.failed", error.code)
    assert asked == ["shard/00"]


def test_webhook_that_takes_its_time_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    seconds = count(step=nudge.WITHIN)  # with each look at the clock
    monkeypatch.setattr(nudge, "monotonic", lambda: next(seconds))
    with capture_logs() as entries:
        nudge.announce(cell(lambda branch, *_: asked.append(branch)), PUSHES)
    assert asked == ["shard/00"]
    assert [entry["event"] for entry in entries] == ["nudge.out_of_time"]
