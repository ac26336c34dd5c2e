"""What is asked of Argo CD so that a tenant goes on. Not waited for: a refresh may hang for minutes
where two of one Application overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import structlog

from tenantry.adapters.argocd import ArgoCD
from tenantry.core import shards
from tenantry.core.errors import TenantryError
from tenantry.core.standing import Act
from tenantry.flows.publishing import nudge
from tenantry.flows.service import Cell
from tenantry.flows.watching.memory import Memory
from tenantry.flows.watching.watched import Watched

log = structlog.get_logger()
_ANNOUNCEMENT = ""  # is under way by this name, which no Application has


class Asker:
    """At most one request for each Application is under way, and `at_once` in all."""

    def __init__(self, argocd: ArgoCD, at_once: int) -> None:
        self._argocd = argocd
        self._pool = ThreadPoolExecutor(at_once)
        self._under_way: set[str] = set()

    def refresh(self, name: str) -> None:
        """Have Argo CD compare what main shows now."""
        self._submit(name, partial(nudge.refresh, self._argocd, name))

    def act(self, tenant: Watched, act: Act, memory: Memory) -> None:
        """Have a deployment that stands still go on."""
        if act is Act.NOTHING:
            return
        log.info("watch.asked", application=tenant.name, act=act)
        self._submit(tenant.name, partial(self._act, tenant.name, act, memory))

    def announce(self, cell: Cell, missing: Sequence[Watched]) -> None:
        """Tell the ApplicationSets of folders that they have made no Application for yet."""
        self._submit(_ANNOUNCEMENT, partial(_announce, cell, missing))

    def close(self) -> None:
        """Forget what was not asked for yet."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _act(self, name: str, act: Act, memory: Memory) -> None:
        try:
            if act is Act.SYNC:
                self._argocd.sync(name)
            else:
                self._argocd.refresh(name, hard=True)
        except TenantryError as error:
            memory.refused = str(error)
            log.warning("watch.refused", application=name, code=error.code, detail=str(error))
        else:
            memory.refused = ""

    def _submit(self, name: str, action: Callable[[], None]) -> None:
        if name in self._under_way:
            return
        self._under_way.add(name)
        self._pool.submit(action).add_done_callback(partial(self._end, name))

    def _end(self, name: str, _: Future[None]) -> None:
        self._under_way.discard(name)


def _announce(cell: Cell, missing: Sequence[Watched]) -> None:
    late = sorted(missing, key=lambda each: each.published_at)
    commits = {shards.branch_of(each.folder, cell.shards): each.commit for each in late}
    folders = [each.folder for each in late]
    nudge.announce(cell, nudge.of_tenants(cell, folders, after=commits))
