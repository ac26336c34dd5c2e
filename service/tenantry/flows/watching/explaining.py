"""Why a tenant is not as wanted: asked for only where Argo CD's summary does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatch

import structlog

from tenantry.adapters.argocd import ArgoCD
from tenantry.core.application import Application
from tenantry.core.backoff import has_passed
from tenantry.core.causes import WORTH_ASKING, Live, find_cause
from tenantry.core.errors import TenantryError
from tenantry.core.evidence import Obstacle
from tenantry.core.live import Node
from tenantry.core.readiness import Verdict, explain
from tenantry.core.record import RECORD
from tenantry.core.standing import BROKEN, GAVE_UP
from tenantry.flows.watching.memory import Memory
from tenantry.flows.watching.watched import Watched

log = structlog.get_logger()
PATIENCE = timedelta(seconds=5)  # what passes by itself is not asked about
ASK_AGAIN = timedelta(seconds=10)
_AT_ONCE = BROKEN | GAVE_UP | {"sync_retrying"}
EVENTS_OF = 3  # failing objects whose events are read


@dataclass(frozen=True)
class Explainer:
    """Asks one Argo CD about one tenant, and remembers what it said."""

    argocd: ArgoCD
    tenant: Watched
    memory: Memory

    def explain(self, verdict: Verdict, application: Application | None, now: datetime) -> Verdict:
        """The verdict with its cause, as far as one is known; never raises for what Argo CD does
        not tell.
        """
        memory = self.memory
        memory.begin(self.tenant.generation, verdict.reason_code, now)
        if verdict.reason_code not in WORTH_ASKING:
            return verdict
        if _is_time(verdict.reason_code, memory, now):
            memory.explained_at = now
            memory.cause = self._find(verdict, application, now)
        found = explain(verdict, memory.cause) if memory.cause else verdict
        return _with_refusal(found, memory.refused)

    def _find(
        self, verdict: Verdict, application: Application | None, now: datetime
    ) -> Obstacle | None:
        """The cause by now; the one that was known where Argo CD does not tell."""
        obstacle = Obstacle(verdict.reason_code, verdict.detail)
        try:
            live = self._read(application, now - (self.memory.stands_since or now))
        except TenantryError as error:
            log.warning("watch.unexplained", code=error.code, detail=str(error))
            return self.memory.cause
        cause = find_cause(obstacle, application, live)
        return None if cause == obstacle else cause

    def _read(self, application: Application | None, stands: timedelta) -> Live:
        if application is None:
            return Live(set_errors=self._read_set_errors(), seen_for=stands)
        nodes = self.argocd.tree(application.name)
        bad = [node for node in nodes if node.health not in ("", "Healthy")]
        events = [
            found
            for node in _deepest(nodes, bad)[:EVENTS_OF]
            for found in self.argocd.events(application.name, node=node)
        ]
        may_sync = self.argocd.may_sync_now(application.name)
        return Live(nodes, tuple(events), may_sync=may_sync, seen_for=stands)

    def _read_set_errors(self) -> tuple[str, ...]:
        """Why the set that the tenant's folder belongs to makes no Application."""
        record = f"{self.tenant.folder}/{RECORD}"
        return tuple(
            f"{each.name}: {error}"
            for each in self.argocd.sets()
            if any(fnmatch(record, path) for path in each.paths)
            for error in each.errors
        )


def _deepest(nodes: Sequence[Node], bad: Sequence[Node]) -> list[Node]:
    """Those of the bad ones first that are furthest from what Git names: pods before their sets."""
    by_uid = {node.uid: node for node in nodes}

    def depth(node: Node, left: int = 8) -> int:
        above = [by_uid[uid] for uid in node.parents if uid in by_uid] if left else []
        return 1 + max((depth(each, left - 1) for each in above), default=0)

    return sorted(bad, key=depth, reverse=True)


def _is_time(code: str, memory: Memory, now: datetime) -> bool:
    if memory.explained_at is not None:
        return has_passed(ASK_AGAIN, memory.explained_at, now)
    stands_since = memory.stands_since or now
    return code in _AT_ONCE or now - stands_since >= PATIENCE


def _with_refusal(verdict: Verdict, refused: str) -> Verdict:
    if not refused:
        return verdict
    return replace(
        verdict, operator=f"{verdict.operator} What was asked for was refused: {refused}"
    )
