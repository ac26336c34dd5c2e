"""What Argo CD says becomes what customers are told (R41, R42).

Owns: one cell's looks. The stream is heard for speed, the list is read for truth, and one
Application is read in full only where the list lacks what is needed. `core.readiness` judges a
look, `core.standing` says what follows over time; this asks, and has it recorded.

Several workers share a cell by a lease: one looks, another takes over within seconds.

Do not: change a status because something could not be asked. Unknown moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from tenantry.adapters.argocd import ArgoCD, ListedApplication
from tenantry.adapters.database.lease import Lease
from tenantry.core.application import Application
from tenantry.core.backoff import has_passed
from tenantry.core.errors import (
    ArgoError,
    ArgoTokenBad,
    ArgoUnreachable,
    RepositoryError,
    TenantryError,
)
from tenantry.core.frames import frames
from tenantry.core.standing import Look, Step, follow
from tenantry.flows.service import Cell, Service
from tenantry.flows.watching import record
from tenantry.flows.watching.asking import Asker
from tenantry.flows.watching.explaining import Explainer
from tenantry.flows.watching.hearing import Ears, Lines
from tenantry.flows.watching.judging import Judge, Looked
from tenantry.flows.watching.memory import Memories, is_calm
from tenantry.flows.watching.trees import TreesAt, read_trees
from tenantry.flows.watching.watched import Watched, read_moving, read_watched

log = structlog.get_logger()
JUDGED_TOGETHER = 200  # tenants; bounds memory, and how much a failure in between costs
AT_A_TIME = 1000  # tenants between two lists
SOON = 5.0  # seconds until Argo CD is asked again where it did not answer: people wait for it
LEASE = 6.0  # seconds after which another worker takes over
KEEP = timedelta(seconds=2)  # between two signs of life


class Watcher:
    """Watches one cell: `tick` again and again, several times a second. Not for several threads."""

    def __init__(self, service: Service, cell: Cell) -> None:
        self.service = service
        self.cell = cell
        self._patience = service.patience
        self._lease = Lease(service.database, f"watcher/{cell.name}", length=LEASE)
        self._memories = Memories(self._patience.probe_every)
        self._lines: dict[str, ListedApplication] = {}
        self._ears: Ears | None = None
        self._asker: Asker | None = None
        self._kept_at: datetime | None = None
        self._listed_at: datetime | None = None
        self._moving = True

    def tick(self, *, now: datetime) -> None:
        """Look at what is due now, where this worker is the one that looks. As `look`."""
        argocd = self.cell.argocd
        if argocd is None or not self._is_ours(now):
            self._stop()
            return
        if self._ears is None:
            self._ears = Ears(argocd)
        heard = self._ears.take()
        with self._lease.kept():
            if self._is_time_to_list(now):
                self.look(now=now)
            else:
                self._look_between(argocd, heard, now)

    def look(self, *, now: datetime) -> int:
        """List all Applications and report what is so; how many tenants are on their way.

        Raises ArgoError or RepositoryError where nothing could be learned; nothing moved then, and
        it is noted since when.
        """
        argocd = self.cell.argocd
        if argocd is None:
            return 0
        self._listed_at = now
        with self._noted(now):
            tenants = read_watched(self.service, self.cell)
            self._lines = {line.name: line for line in argocd.list()}
            self._memories.keep(each.name for each in tenants)
            self._judge_due(argocd, tenants, now)
        record.note_answer(self.service, self.cell, now)
        self._moving = any(not each.rests for each in tenants)
        return sum(each.on_the_way for each in tenants)

    def close(self) -> None:
        """Let another worker look, and forget what was not asked for yet."""
        self._stop()
        self._lease.release()

    def _is_ours(self, now: datetime) -> bool:
        if has_passed(KEEP, self._kept_at, now):
            self._kept_at = now if self._lease.take() else None
        return self._kept_at is not None

    def _is_time_to_list(self, now: datetime) -> bool:
        if self._listed_at is None:
            return True
        hears = self._ears is not None and self._ears.hears
        every = self._patience.list_moving if self._moving and not hears else None
        if has_passed(every or self._patience.list_idle, self._listed_at, now):
            return True
        hinted = record.hinted_at(self.service, self.cell)
        return hinted is not None and self._listed_at < hinted <= now

    def _look_between(self, argocd: ArgoCD, heard: Lines, now: datetime) -> None:
        """Between two lists: what was heard of, what is on the way, and what waits for a look."""
        for name, line in heard.items():
            if line is None:
                self._lines.pop(name, None)
            else:
                self._lines[name] = line
        moving = read_moving(self.service, self.cell)
        self._moving = self._moving or bool(moving)
        names = heard.keys() | self._memories.restless(moving, now)
        if names:
            with self._noted(now):
                tenants = read_watched(self.service, self.cell, sorted(names)[:AT_A_TIME])
                self._judge_due(argocd, tenants, now)

    def _judge_due(self, argocd: ArgoCD, tenants: Sequence[Watched], now: datetime) -> None:
        due = self._probe_calm(self._memories.due(tenants, self._lines, now), now)
        for start in range(0, len(due), JUDGED_TOGETHER):
            self._judge_all(argocd, due[start : start + JUDGED_TOGETHER], now)

    def _probe_calm(self, due: Sequence[Watched], now: datetime) -> list[Watched]:
        """Ask instances of tenants that rest, and nobody else, whether they answer; who is to be
        judged.
        """
        calm = [each for each in due if is_calm(each, self._lines.get(each.name))]
        if not calm:
            return list(due)
        judge = Judge(self.cell, self.service.product)
        with ThreadPoolExecutor(self._patience.at_once) as pool:
            wrong = list(pool.map(judge.ask, calm))
        good = {each.name for each, found in zip(calm, wrong, strict=True) if found is None}
        for each in calm:
            if each.name in good:
                self._memories.looked(each, self._lines.get(each.name), now)
        return [each for each in due if each.name not in good]

    def _judge_all(self, argocd: ArgoCD, due: Sequence[Watched], now: datetime) -> None:
        with ThreadPoolExecutor(self._patience.at_once) as pool:
            answers = list(pool.map(lambda each: self._get(argocd, each), due))
            _raise_if_none_came(answers)
            found = []
            for tenant, answer in zip(due, answers, strict=True):
                if isinstance(answer, ArgoError):
                    self._skip(tenant, now)
                else:
                    found.append((tenant, answer))
            trees = read_trees(self.cell, found)
            looked = pool.map(lambda each: self._judge(argocd, trees, each, now), found)
            unseen = [each.tenant for each in looked if each and not each.verdict.seen]
        self._nudge(argocd, unseen, now)

    def _get(self, argocd: ArgoCD, tenant: Watched) -> Application | ArgoError | None:
        """The Application; an error that may be about this one alone is returned, others raised.
        Who was there once is asked for even where no list has it: None is Argo CD's own word.
        """
        try:
            is_known = tenant.name in self._lines or bool(tenant.standing.uid)
            return argocd.get(tenant.name) if is_known else None
        except ArgoTokenBad:
            raise
        except ArgoError as error:
            log.warning(
                "watch.skipped", application=tenant.name, code=error.code, detail=str(error)
            )
            return error

    def _judge(
        self,
        argocd: ArgoCD,
        trees: TreesAt,
        found: tuple[Watched, Application | None],
        now: datetime,
    ) -> Looked | None:
        """One look and what follows from it; a defect that one tenant meets stops nobody else."""
        tenant, application = found
        try:
            judge = Judge(self.cell, self.service.product)
            looked = judge.judge(trees, tenant, application)
            self._follow(argocd, looked, now)
        except TenantryError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, without the values it may quote
            kind, where = type(error).__name__, frames(error)
            log.error("watch.crashed", application=tenant.name, error=kind, frames=where)
            self._memories.looked(tenant, self._lines.get(tenant.name), now)
            return None
        return looked

    def _skip(self, tenant: Watched, now: datetime) -> None:
        """What cannot be read is unknown, and is asked for less and less often."""
        record.note_unknown(self.service, tenant, now)
        self._memories.looked(tenant, self._lines.get(tenant.name), now)

    def _follow(self, argocd: ArgoCD, looked: Looked, now: datetime) -> None:
        """Have written down, and asked, what follows from a look."""
        tenant, verdict, arrived = looked.tenant, looked.verdict, looked.has_arrived
        memory = self._memories.of(tenant)
        hopeless = memory.is_hopeless(tenant.generation, verdict.reason_code)
        look = Look(
            verdict, tenant.generation, tenant.due_since, looked.uid, arrived, is_hopeless=hopeless
        )
        step = follow(tenant.standing, look, now, self._patience.rules)
        if step.verdict is not None:
            told = Explainer(argocd, tenant, memory).explain(step.verdict, looked.application, now)
            step = replace(step, verdict=told)
        news = (tenant.generation, step, verdict)
        is_old = memory.recorded == news and tenant.standing == step.standing
        if is_old or record.record(self.service, tenant, step, verdict, arrived, now):
            memory.recorded = news
            self._asker_of(argocd).act(tenant, step.act, memory)
            self._memories.looked(_after(tenant, step, arrived), self._lines.get(tenant.name), now)
        else:
            memory.again_at = now

    def _nudge(self, argocd: ArgoCD, unseen: Sequence[Watched], now: datetime) -> None:
        """Have Argo CD see what main shows, where it has not."""
        late = [each for each in unseen if self._memories.may_nudge(each.name, now)]
        for tenant in late:
            if tenant.name in self._lines:
                self._asker_of(argocd).refresh(tenant.name)
        missing = [each for each in late if each.name not in self._lines]
        if missing:
            self._asker_of(argocd).announce(self.cell, missing)

    def _asker_of(self, argocd: ArgoCD) -> Asker:
        self._asker = self._asker or Asker(argocd, self._patience.at_once)
        return self._asker

    def _stop(self) -> None:
        if self._ears:
            self._ears.close()
        if self._asker:
            self._asker.close()
        self._ears = self._asker = self._listed_at = None

    @contextmanager
    def _noted(self, now: datetime) -> Iterator[None]:
        """Note since when nothing is known, so that people are told how old it is."""
        try:
            yield
        except (ArgoError, RepositoryError) as error:
            record.note_failure(self.service, self.cell, str(error), now)
            error.retry_after = error.retry_after or SOON
            raise


def _raise_if_none_came(answers: Sequence[object]) -> None:
    """ArgoUnreachable where several asked and all met it: then it is not about single ones."""
    lost = [each for each in answers if isinstance(each, ArgoUnreachable)]
    if len(lost) == len(answers) > 1:
        raise lost[0]


def _after(tenant: Watched, step: Step, arrived: bool) -> Watched:
    """The tenant as its row is by now."""
    has_come = arrived and step.verdict is not None
    return replace(tenant, standing=step.standing, on_the_way=tenant.on_the_way and not has_come)
