"""Mending what an audit found, as far as it is safe: by having tenants published again.

Nothing is deleted. What a person wrote, reverted or removed is overwritten only where an operator
named the tenant, and only if it is still as it was looked at. Two repairs at once mend each tenant
once: who comes second finds that it moved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Tenant
from tenantry.core.finding import Finding, Kind, seen
from tenantry.flows.auditing.audit import Report
from tenantry.flows.fleet.bulk import ACTOR, PAGE, split
from tenantry.flows.generation import raise_generation, try_again
from tenantry.flows.rows import locked
from tenantry.flows.service import Service

Kinds = Mapping[str, Sequence[str]]  # of findings, by customer id


@dataclass(frozen=True)
class Plan:
    """How a tenant is mended: for which findings, and what may be replaced on main."""

    kinds: tuple[Kind, ...]
    replaces: str | None

    @property
    def is_retry(self) -> bool:
        """Whether nothing but another try is needed."""
        return self.kinds == (Kind.SET_ASIDE,)


@dataclass(frozen=True)
class Repaired:
    """A page of tenants that are on their way to be mended."""

    generations: Mapping[str, int]  # by customer id
    kinds: Kinds


def plan(findings: Sequence[Finding], overwrite: Collection[str]) -> dict[str, Plan]:
    """By customer id, how its findings are mended; nothing for what only a person may decide.
    `overwrite` names the customers whose folder on main may be overwritten or come back.
    """
    by_tenant: dict[str, list[Finding]] = {}
    for each in findings:
        if each.customer_id:
            by_tenant.setdefault(each.customer_id, []).append(each)
    plans = {}
    for customer_id, found in by_tenant.items():
        mends = [each for each in found if each.is_safe or _is_named(each, overwrite)]
        kept = any(_keeps_from_publishing(each) for each in found if each not in mends)
        if mends and not kept:  # with its folder kept, it would only be set aside again
            replaces = next((each.replaces for each in mends if each.replaces), None)
            plans[customer_id] = Plan(tuple(each.kind for each in mends), replaces)
    return plans


def repair(service: Service, report: Report, overwrite: Collection[str]) -> Iterator[Repaired]:
    """Mend what the report found, page by page; nothing while the repository's history is in
    question.
    """
    plans = {} if report.is_halted else plan(report.findings, overwrite)
    for page in split(sorted(plans), PAGE):
        with service.database.write() as session:
            tenants = [
                each
                for each in locked(session, page)
                if seen(each) == report.seen[each.customer_id]
            ]
            for each in tenants:
                _mend(service, session, each, plans[each.customer_id])
            generations = {each.customer_id: each.generation for each in tenants}
        yield Repaired(generations, {each: plans[each].kinds for each in generations})


def _is_named(finding: Finding, overwrite: Collection[str]) -> bool:
    return finding.replaces is not None and finding.customer_id in overwrite


def _keeps_from_publishing(finding: Finding) -> bool:
    return finding.replaces is not None and finding.kind != Kind.EDITED_BY_HAND


def _mend(service: Service, session: Session, tenant: Tenant, plan: Plan) -> None:
    now, kinds = service.now(), [kind.value for kind in plan.kinds]
    if plan.is_retry:
        try_again(session, tenant, actor=ACTOR, now=now, details={"findings": kinds})
        return
    raise_generation(
        session,
        tenant,
        action="tenant.repair",
        actor=ACTOR,
        now=now,
        is_bulk=True,
        replaces=plan.replaces,
        details={"findings": kinds, "replaces": plan.replaces},
    )
