"""A tenant that is ready, and short ways to judge what differs from it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenantry.core.application import Application
from tenantry.core.model import State, Status
from tenantry.core.readiness import Trees, Verdict, Wanted, judge

RECORDINGS = Path(__file__).parent / "data" / "argocd"
OURS = Trees("tree-of-tenant", "tree-of-platform")
OTHERS = Trees("older", "tree-of-platform")
WANTED = Wanted(State.ACTIVE, OURS.tenant, OURS.platform, published=True)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
COMMIT = "c" * 40
GREEN = Application(
    name="customer-bcdfghjkmn",
    health="Healthy",
    sync="Synced",
    revision=COMMIT,
    phase="Succeeded",
    applied_revision=COMMIT,
    finished_at=NOON,
    reconciled_at=NOON,
)


def recorded(name: str) -> Any:
    return json.loads((RECORDINGS / name).read_text("utf-8"))


def ask(
    app: Application | None = GREEN,
    *,
    before: Status = Status.PROVISIONING,
    wanted: Wanted = WANTED,
    compared: Trees | None = OURS,
    applied: Trees | None = OURS,
    answers: bool | None = True,
) -> Verdict:
    return judge(wanted, app, compared, applied, answers, before)


def got(verdict: Verdict) -> tuple[str, str]:
    return verdict.status.value, verdict.reason_code
