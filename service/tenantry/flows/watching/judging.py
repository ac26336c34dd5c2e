"""What one look at a tenant comes to: Argo CD's document, Git, and the instance itself."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.core.application import Application
from tenantry.core.evidence import Obstacle, expects_answer
from tenantry.core.model import State, Status
from tenantry.core.product import Product
from tenantry.core.readiness import TARGETS, Verdict, Wanted, explain, judge
from tenantry.core.reported import reported_license
from tenantry.flows.service import Cell
from tenantry.flows.watching.trees import TreesAt
from tenantry.flows.watching.watched import Watched

_RAN = frozenset({Status.READY, Status.READ_ONLY, Status.DEGRADED})


@dataclass(frozen=True)
class Looked:
    """A look at a tenant, and what it alone came to."""

    tenant: Watched
    application: Application | None
    verdict: Verdict

    @property
    def has_arrived(self) -> bool:
        """Whether all that was published is so."""
        return self.verdict.reason_code == TARGETS.get(self.tenant.spec.state)

    @property
    def uid(self) -> str:
        """Of the Application; "" where there is none."""
        return self.application.uid if self.application else ""


@dataclass(frozen=True)
class Judge:
    """Judges tenants of one cell."""

    cell: Cell
    product: Product

    def judge(self, trees: TreesAt, tenant: Watched, application: Application | None) -> Looked:
        """One look. The instance is asked last."""
        return Looked(tenant, application, self._verdict(trees, tenant, application))

    def _verdict(self, trees: TreesAt, tenant: Watched, application: Application | None) -> Verdict:
        """The instance is asked last, and only where all else is as wanted."""
        spec, before = tenant.spec, tenant.standing.status
        wanted = Wanted(spec.state, tenant.accepted_tree, trees.platform(tenant), True)
        compared = trees.of(tenant, application.compared_commit if application else None)
        applied = trees.of(tenant, application.applied_commit if application else None)
        verdict = judge(wanted, application, compared, applied, None, before)
        if not _asks(verdict, application, spec.state, before):
            return verdict
        wrong = self.ask(tenant)
        said = wrong.detail if wrong else ""
        verdict = judge(wanted, application, compared, applied, wrong is None, before, said)
        is_told = wrong is not None and verdict.reason_code == "not_answering"
        return explain(verdict, wrong) if wrong and is_told else verdict

    def ask(self, tenant: Watched) -> Obstacle | None:
        """The first thing that is wrong with what the instance answers; None: nothing."""
        for path in self.product.ready.paths:
            answer = self.cell.probe(f"{tenant.url}{path}")
            if not answer.ok:
                return Obstacle("not_answering", f"{path}: {answer.reason}")
        return self._check_license(tenant)

    def _check_license(self, tenant: Watched) -> Obstacle | None:
        """Whether the instance runs with the license that was issued last, where it tells."""
        told = self.product.ready.license
        if told is None:
            return None
        answer = self.cell.ask(f"{tenant.url}{told.path}")
        if answer is None:
            return Obstacle("not_answering", f"{told.path}: no JSON")
        found = reported_license(answer, told.field)
        if found == tenant.spec.license_id:
            return None
        return Obstacle("license_differs", f"{told.path} says {found or 'none'}")


def _asks(verdict: Verdict, application: Application | None, state: State, before: Status) -> bool:
    """Whether the instance's answer counts: where all else is as wanted; and of one that ran, since
    pods that end again and again are "Progressing" for ever.
    """
    if verdict.needs_probe:
        return True
    is_there = application is not None and not application.deleting
    return expects_answer(state) and is_there and (verdict.healthy or before in _RAN)
