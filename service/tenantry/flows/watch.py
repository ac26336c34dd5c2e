"""What Argo CD says becomes what customers are told (R41, R42).

Owns: the step from what stands on main to what is reported as running. Each look lists all
Applications of the cell; one is read in full only where the list lacks what is needed: when its
line changed, when it is nearly ready, or when it has been on the way for a while. `core.readiness`
judges; this file asks, remembers and records.

Do not: change a status because something could not be asked. Unknown moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.argocd import ArgoCD, ListedApplication
from tenantry.adapters.database.tables import Deployment, Tenant
from tenantry.core import naming, shards
from tenantry.core.application import Application
from tenantry.core.errors import ArgoError, ArgoTokenBad, ArgoUnreachable, RepositoryError
from tenantry.core.model import State, Status, TenantSpec
from tenantry.core.readiness import TARGETS, Trees, Verdict, Wanted, judge
from tenantry.flows import outbox, status
from tenantry.flows.publishing import nudge
from tenantry.flows.service import Cell, Service

log = structlog.get_logger()
AT_ONCE = 8  # requests under way
JUDGED_TOGETHER = 200  # tenants; bounds memory, and how much a failure in between costs
LOOK_AGAIN = timedelta(seconds=5)  # after which a tenant on the way is read in full anyway
NUDGE_AGAIN = timedelta(seconds=10)
ANSWERING = frozenset({State.ACTIVE, State.READ_ONLY})


@dataclass(frozen=True)
class Watched:
    """A tenant that main shows, as its row was read."""

    spec: TenantSpec
    url: str
    generation: int  # published
    accepted_tree: str
    commit: str
    published_at: datetime
    status: Status
    on_the_way: bool  # a published generation has not been reached yet

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def folder(self) -> str:
        return naming.folder(self.spec.name)

    @property
    def platform_folder(self) -> str:
        return naming.platform_folder(self.spec.platform)


@dataclass
class Memory:
    """What was last seen of one tenant; losing it costs requests, not truth."""

    line: ListedApplication | None = None
    judged: tuple[int, Verdict] | None = None  # published generation, and what was so
    looked_at: datetime | None = None
    nudged_at: datetime | None = None


@dataclass
class Watcher:
    """Watches one cell; call `look` again and again."""

    service: Service
    cell: Cell
    _memory: dict[str, Memory] = field(default_factory=dict)
    _refreshes: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE))
    _refreshing: set[str] = field(default_factory=set)  # at most one of each under way

    def look(self, *, now: datetime) -> int:
        """Report what is so now; how many tenants are still on their way.

        Raises ArgoError or RepositoryError where nothing could be learned; nothing moved then.
        """
        tenants = _read_watched(self.service, self.cell)
        argocd = self.cell.argocd
        if argocd is None or not tenants:
            return 0
        lines = {line.name: line for line in argocd.list()}
        due = [each for each in tenants if self._is_due(each, lines.get(each.name), now)]
        for start in range(0, len(due), JUDGED_TOGETHER):
            self._judge_all(argocd, due[start : start + JUDGED_TOGETHER], lines, now)
        return sum(each.on_the_way for each in tenants)

    def _is_due(self, tenant: Watched, line: ListedApplication | None, now: datetime) -> bool:
        memory = self._memory.setdefault(tenant.name, Memory())
        if memory.judged is None or memory.looked_at is None:
            return True
        generation, verdict = memory.judged
        if (generation, memory.line) != (tenant.generation, line):
            return True
        arrived = verdict.reason_code == TARGETS.get(tenant.spec.state)
        if arrived and verdict.status == tenant.status and not tenant.on_the_way:
            return False
        nearly = line is not None and line.health == "Healthy" and line.sync == "Synced"
        return nearly or now - memory.looked_at >= LOOK_AGAIN

    def _judge_all(
        self,
        argocd: ArgoCD,
        due: Sequence[Watched],
        lines: Mapping[str, ListedApplication],
        now: datetime,
    ) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda each: _get(argocd, each, lines), due))
            found = [
                (tenant, answer)
                for tenant, answer in zip(due, answers, strict=True)
                if not isinstance(answer, ArgoError)
            ]
            trees = _read_trees(self.cell, found)
            verdicts = list(pool.map(lambda each: self._judge(trees, *each), found))
        judged = [(tenant, verdict) for (tenant, _), verdict in zip(found, verdicts, strict=True)]
        for tenant, verdict in judged:
            self._remember(tenant, verdict, lines.get(tenant.name), now)
        unseen = [tenant for tenant, verdict in judged if not verdict.seen]
        self._refresh(argocd, [each.name for each in unseen if each.name in lines], now)
        self._announce([each for each in unseen if each.name not in lines], now)

    def _remember(
        self, tenant: Watched, verdict: Verdict, line: ListedApplication | None, now: datetime
    ) -> None:
        """Record the verdict where it is news, and remember it once it is recorded."""
        memory, judged = self._memory[tenant.name], (tenant.generation, verdict)
        is_old = memory.judged == judged and verdict.status == tenant.status
        if is_old or _record(self.service, tenant, verdict, now):
            memory.line, memory.judged, memory.looked_at = line, judged, now

    def _judge(self, trees: TreesAt, tenant: Watched, application: Application | None) -> Verdict:
        spec = tenant.spec
        wanted = Wanted(spec.state, tenant.accepted_tree, trees.platform(tenant), True)
        compared = trees.of(tenant, application.compared_commit if application else None)
        applied = trees.of(tenant, application.applied_commit if application else None)
        verdict = judge(wanted, application, compared, applied, None, tenant.status)
        if not (verdict.needs_probe or (verdict.healthy and spec.state in ANSWERING)):
            return verdict
        silence = self._probe(tenant)
        return judge(
            wanted, application, compared, applied, silence is None, tenant.status, silence or ""
        )

    def _probe(self, tenant: Watched) -> str | None:
        """What came of the first path that does not answer as it must; None where all do."""
        for path in self.service.product.ready.paths:
            answer = self.cell.probe(f"{tenant.url}{path}")
            if not answer.ok:
                return f"{path}: {answer.reason}"
        return None

    def _refresh(self, argocd: ArgoCD, names: Sequence[str], now: datetime) -> None:
        """Have Applications compared that have not seen what main shows. Not waited for: a refresh
        may hang for minutes where two of one Application overlap.
        """
        for name in names:
            if name not in self._refreshing and self._may_nudge(name, now):
                self._refreshing.add(name)
                asked = self._refreshes.submit(nudge.refresh, argocd, name)
                asked.add_done_callback(partial(self._end_refresh, name))

    def _end_refresh(self, name: str, _: Future[None]) -> None:
        self._refreshing.discard(name)

    def close(self) -> None:
        """Forget refreshes that were not asked for yet."""
        self._refreshes.shutdown(wait=False, cancel_futures=True)

    def _announce(self, missing: Sequence[Watched], now: datetime) -> None:
        """Tell the ApplicationSets of folders that they have made no Application for yet."""
        late = [each for each in missing if self._may_nudge(each.name, now)]
        late.sort(key=lambda each: each.published_at)
        commits = {shards.branch_of(each.folder, self.cell.shards): each.commit for each in late}
        folders = [each.folder for each in late]
        nudge.announce(self.cell, nudge.of_tenants(self.cell, folders, after=commits))

    def _may_nudge(self, name: str, now: datetime) -> bool:
        memory = self._memory[name]
        if memory.nudged_at is not None and now - memory.nudged_at < NUDGE_AGAIN:
            return False
        memory.nudged_at = now
        return True


@dataclass(frozen=True)
class TreesAt:
    """Tree ids of tenants' folders and platform versions, at the commits that Argo CD named."""

    at: Mapping[tuple[str, str], str | None]  # (commit, path) -> tree; unknown commits missing
    head: str

    def of(self, tenant: Watched, commit: str | None) -> Trees | None:
        """What stood at the commit; None where the commit is none of ours."""
        if commit is None or (commit, tenant.folder) not in self.at:
            return None
        return Trees(self.at[commit, tenant.folder], self.at[commit, tenant.platform_folder])

    def platform(self, tenant: Watched) -> str | None:
        """What the tenant's platform version is on main."""
        return self.at[self.head, tenant.platform_folder]


def _read_watched(service: Service, cell: Cell) -> list[Watched]:
    late = select(Deployment.customer_id).where(
        Deployment.published_at.is_not(None),
        Deployment.ready_at.is_(None),
        Deployment.outcome.is_(None),
    )
    shown = select(Tenant).where(
        Tenant.cell == cell.name,
        Tenant.published_generation > 0,
        Tenant.status != Status.DELETED,
    )
    with service.database.read() as session:
        on_the_way = set(session.scalars(late))
        return [_watched(row, row.customer_id in on_the_way) for row in session.scalars(shown)]


def _watched(row: Tenant, on_the_way: bool) -> Watched:
    assert row.accepted_tree is not None  # noqa: S101 - these come with a published generation
    assert row.published_commit is not None  # noqa: S101
    assert row.published_at is not None  # noqa: S101
    return Watched(
        spec=TenantSpec.model_validate(row.approved),
        url=row.instance_url,
        generation=row.published_generation,
        accepted_tree=row.accepted_tree,
        commit=row.published_commit,
        published_at=row.published_at,
        status=Status(row.status),
        on_the_way=on_the_way,
    )


def _get(
    argocd: ArgoCD, tenant: Watched, lines: Mapping[str, ListedApplication]
) -> Application | ArgoError | None:
    """The Application; an error that is about this one alone is returned, others are raised."""
    try:
        return argocd.get(tenant.name) if tenant.name in lines else None
    except (ArgoUnreachable, ArgoTokenBad):
        raise
    except ArgoError as error:
        log.warning("watch.skipped", application=tenant.name, code=error.code, detail=str(error))
        return error


def _read_trees(cell: Cell, found: Sequence[tuple[Watched, Application | None]]) -> TreesAt:
    """One look into Git for all places that are named; a fetch first where a commit is unknown."""
    repository = cell.repository
    head = repository.head() or repository.fetch()
    if head is None:
        raise RepositoryError("main of the tenants repository is gone")
    named = [
        (tenant, commit)
        for tenant, application in found
        if application
        for commit in (application.compared_commit, application.applied_commit)
        if commit
    ]
    commits = {commit for _, commit in named}
    known = repository.known_commits(commits)
    if known != commits:
        repository.fetch()
        known = repository.known_commits(commits)
    places = {(head, tenant.platform_folder) for tenant, _ in found}
    for tenant, commit in named:
        if commit in known:
            places |= {(commit, tenant.folder), (commit, tenant.platform_folder)}
    return TreesAt(repository.trees(places), head)


def _record(service: Service, tenant: Watched, verdict: Verdict, now: datetime) -> bool:
    """Write the verdict down; False where the row moved on since it was read, by a change on main
    or by another watcher: then it has to be judged anew.
    """
    if verdict.unknown:
        return True
    with service.database.write() as session:
        row = session.get_one(Tenant, tenant.spec.customer_id, with_for_update=True)
        if (row.published_generation, row.status) != (tenant.generation, tenant.status):
            return False
        arrived = verdict.reason_code == TARGETS.get(tenant.spec.state)
        status.report(
            session, row, verdict.status, verdict.reason_code, detail=verdict.operator, now=now
        )
        _date_deployments(session, row, verdict, arrived, now)
        if arrived and verdict.status == Status.READY:
            outbox.put(session, customer_id=row.customer_id, kind="ready", now=now)
    return True


def _date_deployments(
    session: Session, tenant: Tenant, verdict: Verdict, arrived: bool, now: datetime
) -> None:
    """The steps that the published generation, and those before it, have reached."""
    open_ones = select(Deployment).where(
        Deployment.customer_id == tenant.customer_id,
        Deployment.generation <= tenant.published_generation,
        Deployment.ready_at.is_(None),
    )
    for row in session.scalars(open_ones):
        row.seen_at = row.seen_at or (now if verdict.seen else None)
        row.synced_at = row.synced_at or (now if verdict.synced else None)
        row.healthy_at = row.healthy_at or (now if verdict.healthy else None)
        if arrived:
            row.ready_at, row.outcome = now, "success"
            log.info(
                "deployment.done",
                customer_id=tenant.customer_id,
                seconds=(now - row.wanted_at).total_seconds(),
            )
        elif verdict.status == Status.FAILED:
            row.outcome = "failed"
