"""Telling Argo CD of a push is a hint: it says what it has to say, and never stands in the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tenantry.core.errors import ArgoUnreachable, SettingsError, TenantryError
from tenantry.flows.publishing import nudge


def cell(announce: Any) -> Any:
    return SimpleNamespace(name="main", announce=announce)


def test_push_is_announced_by_what_the_application_set_reads() -> None:
    said: list[Any] = []
    nudge.announce(cell(lambda *each: said.append(each)), None, "a1", ["tenants/00/b", "t/c"])
    assert said == [(None, "a1", ["tenants/00/b/tenant.json", "t/c/tenant.json"])]


def test_cell_without_a_webhook_announces_nothing() -> None:
    with capture_logs() as entries:
        nudge.announce(cell(None), None, "a1", ["t"])
    assert entries == []


@pytest.mark.parametrize("error", [ArgoUnreachable(), SettingsError("secret: No such file")])
def test_webhook_that_fails_is_logged_and_no_more(error: TenantryError) -> None:
    def fail(*_: object) -> None:
        raise error

    with capture_logs() as entries:
        nudge.announce(cell(fail), None, "a1", ["t"])
    (entry,) = entries
    assert (entry["event"], entry["code"]) == ("nudge.failed", error.code)
