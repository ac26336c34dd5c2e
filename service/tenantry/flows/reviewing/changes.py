"""A change to what a tenant is wanted to be: made at once, or laid on its branch until a person
merges it (R32).

Owns: the rows of `changes`. One change of a kind waits at a time: a later one takes its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Customer, Subscription, Tenant
from tenantry.core.errors import ChangeRefused, NotFound
from tenantry.core.mail import MailKind
from tenantry.core.model import LicenseAction, State, Status, TenantSpec
from tenantry.core.review import ChangeKind, Mode, Outcome, lay_on
from tenantry.flows import outbox, status
from tenantry.flows.accounts.waiting import is_waiting
from tenantry.flows.audit_rows import audited
from tenantry.flows.change import raise_generation, renew_branch
from tenantry.flows.licensing.issuing import issue_again
from tenantry.flows.reviewing.waiting import branch_for, close_done, end, waiting
from tenantry.flows.rows import locked
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Requested:
    """What became of a change that somebody asked for."""

    customer_id: str
    kind: ChangeKind
    mode: Mode
    generation: int  # of the tenant; raised where the change was made at once


def request_change(
    service: Service,
    cell: Cell,
    customer_id: str,
    kind: ChangeKind,
    fields: Mapping[str, Any],
    *,
    actor: str,
) -> Requested:
    """Have a tenant changed, by the cell's policy at once or after a review. A license is issued
    here, unless the fields name one that was.

    NotFound where the cell has no such tenant, ChangeRefused where it cannot be changed like that.
    """
    now = service.now()
    with service.database.write() as session:
        tenant = _lock(session, cell, customer_id)
        change_tenant(service, session, cell, tenant, {kind: fields}, actor=actor, now=now)
        mode = cell.policy.mode(kind)
        return Requested(customer_id, kind, mode, tenant.generation)


def change_tenant(
    service: Service,
    session: Session,
    cell: Cell,
    tenant: Tenant,
    asked: Mapping[ChangeKind, Mapping[str, Any]],
    *,
    actor: str,
    now: datetime,
    is_paid: bool = False,
    is_bulk: bool = False,
) -> None:
    """The same for several kinds at once, which are one commit as far as they wait for nobody. In
    the caller's transaction, with the row locked; where one is refused, that has to be rolled back.
    `is_bulk`: the tenant is one of many.
    """
    _require_alive(session, tenant)
    _require_owner(session, tenant, asked)
    at_once: list[Change] = []
    for kind, given in asked.items():
        fields = given
        if kind == ChangeKind.LICENSE and not given:
            fields = _renewed(service, session, tenant, actor, now)
        _check(service, tenant, kind, fields)
        _end_open(session, tenant, [kind], Outcome.WITHDRAWN, actor, now)
        mode = cell.policy.mode(kind, is_paid=is_paid)
        change = _add(session, cell, tenant, kind, fields, mode=mode, actor=actor, now=now)
        if mode == Mode.DIRECT:
            at_once.append(change)
    if at_once:
        make(service, session, tenant, at_once, by=actor, now=now, is_bulk=is_bulk)
    close_done(session, tenant, now)


def waiting_signup(customer_id: str, *, actor: str, now: datetime) -> Change:
    """The row of a new tenant that waits: its branch is chosen with those of others."""
    return Change(
        customer_id=customer_id,
        kind=ChangeKind.SIGNUP,
        fields={},
        before={},
        actor=actor,
        mode=Mode.REVIEW,
        created_at=now,
    )


def make(
    service: Service,
    session: Session,
    tenant: Tenant,
    changes: Sequence[Change],
    *,
    by: str,
    now: datetime,
    is_bulk: bool = False,
) -> None:
    """Let main show the changes from now on. In the caller's transaction, with the row locked."""
    for change in changes:
        change.before = tenant.approved
    approve(service, session, tenant, changes, by=by, now=now)
    if tenant.generation > 0:
        action = f"tenant.{'+'.join(change.kind for change in changes)}"
        raise_generation(session, tenant, action=action, actor=by, now=now, is_bulk=is_bulk)
    else:  # its signup waits, and so does all of it
        renew_branch(session, tenant.customer_id)


def approve(
    service: Service,
    session: Session,
    tenant: Tenant,
    changes: Sequence[Change],
    *,
    by: str,
    now: datetime,
) -> None:
    """Move what main must show by changes that are over with that; a plan gets its license now. In
    the caller's transaction, with the row locked.
    """
    laid = [(ChangeKind(each.kind), each.fields) for each in changes]
    approved, cell = TenantSpec.model_validate(tenant.approved), service.cells[tenant.cell]
    spec = lay_on(approved, laid, service.product, volumes_grow=cell.volumes_grow)
    move(service, session, tenant, spec, by=by, now=now)
    for each in changes:
        end(each, Outcome.APPLIED, by, now)


def move(
    service: Service, session: Session, tenant: Tenant, spec: TenantSpec, *, by: str, now: datetime
) -> None:
    """Have main show that spec from now on, with a license of its own for another plan. What runs
    now needs a license that is renewed, so its subscription is looked at after another state. In
    the caller's transaction, with the row locked.
    """
    before = tenant.approved["plan"]
    if spec.state != tenant.approved["state"]:
        session.get_one(Subscription, tenant.customer_id).look_at = now
    if spec.plan != before:
        session.get_one(Subscription, tenant.customer_id).plan = spec.plan
        action = _step(service, before, spec.plan)
        fields = issue_again(
            service, session, tenant, plan=spec.plan, action=action, actor=by, now=now
        )
        spec = lay_on(spec, [(ChangeKind.LICENSE, fields)], service.product)
        withdraw(session, tenant, ChangeKind.LICENSE, by=by, now=now)  # it is of the plan before
        customer_id, period = tenant.customer_id, spec.license_id.replace("-", "")
        outbox.put(
            session, customer_id=customer_id, kind=MailKind.PLAN_CHANGED, period=period, now=now
        )
    tenant.approved = spec.model_dump(mode="json")


def _step(service: Service, before: str, after: str) -> LicenseAction:
    """Up or down, in the order in which the product names its plans."""
    plans = list(service.product.plans)
    is_down = before in plans and plans.index(after) < plans.index(before)
    return LicenseAction.DOWNGRADED if is_down else LicenseAction.UPGRADED


def withdraw(
    session: Session,
    tenant: Tenant,
    kind: ChangeKind,
    *,
    by: str,
    now: datetime,
    asked_by: str | None = None,
) -> None:
    """End a change of that kind that waits: it is moot; `asked_by`: if that actor asked for it. In
    the caller's transaction, with the row locked.
    """
    moot = [
        each
        for each in waiting(session, tenant.customer_id)
        if each.kind == kind and asked_by in (None, each.actor)
    ]
    for each in moot:
        end(each, Outcome.WITHDRAWN, by, now)
    if moot:
        renew_branch(session, tenant.customer_id)
        close_done(session, tenant, now)


def decline(service: Service, cell: Cell, customer_id: str, *, actor: str) -> int:
    """End all changes of a tenant that wait; how many. As `request_change` where there is none."""
    now = service.now()
    with service.database.write() as session:
        tenant = _lock(session, cell, customer_id)
        ended = decline_changes(session, tenant, by=actor, now=now)
        close_done(session, tenant, now)
    if not ended:
        raise ChangeRefused(f"no change of {customer_id} waits for a review")
    return ended


def decline_changes(session: Session, tenant: Tenant, *, by: str, now: datetime) -> int:
    """The same within the caller's transaction, with the row locked; the customer is told where it
    was the signup.
    """
    renew_branch(session, tenant.customer_id)
    ended = _end_open(session, tenant, list(ChangeKind), Outcome.DECLINED, by, now)
    if any(change.kind == ChangeKind.SIGNUP for change in ended):
        status.report(session, tenant, Status.AWAITING_REVIEW, "declined", detail=by, now=now)
        outbox.put(session, customer_id=tenant.customer_id, kind="declined", now=now)
    return len(ended)


def _lock(session: Session, cell: Cell, customer_id: str) -> Tenant:
    for tenant in locked(session, [customer_id]):
        if tenant.cell == cell.name:
            return tenant
    raise NotFound(f"cell {cell.name} has no tenant {customer_id}")


def _require_alive(session: Session, tenant: Tenant) -> None:
    if is_waiting(tenant):
        raise ChangeRefused(
            f"the signup of {tenant.customer_id} waits for its confirmation or approval",
            remedy="`tenantry customers list --waiting` tells for which",
        )
    kinds = [each.kind for each in waiting(session, tenant.customer_id)]
    if tenant.generation == 0 and ChangeKind.SIGNUP not in kinds:
        raise ChangeRefused(
            f"the signup of {tenant.customer_id} was declined",
            remedy="reopen its pull request, if it shall be changed",
        )


def _require_owner(session: Session, tenant: Tenant, asked: Collection[ChangeKind]) -> None:
    """An instance that is nobody's any more stays as it is until it is deleted."""
    if {ChangeKind.STATE, ChangeKind.PLAN}.isdisjoint(asked):
        return
    if session.get_one(Customer, tenant.customer_id).erased_at is not None:
        raise ChangeRefused(f"{tenant.customer_id} was erased; its instance stays as it is")


def _renewed(
    service: Service, session: Session, tenant: Tenant, actor: str, now: datetime
) -> Mapping[str, Any]:
    plan = tenant.approved["plan"]
    action = LicenseAction.RENEWED
    return issue_again(service, session, tenant, plan=plan, action=action, actor=actor, now=now)


def _check(service: Service, tenant: Tenant, kind: ChangeKind, fields: Mapping[str, Any]) -> None:
    plan, state = fields.get("plan"), fields.get("state")
    if plan is not None and plan not in service.product.plans:
        raise ChangeRefused(
            f"there is no plan {plan!r}", remedy=f"choose from {', '.join(service.product.plans)}"
        )
    if state is not None and state not in list(State):
        raise ChangeRefused(f"there is no state {state!r}", remedy=f"one of {', '.join(State)}")
    if kind != ChangeKind.SIGNUP and all(tenant.approved[name] == v for name, v in fields.items()):
        told = ", ".join(f"{name} {value}" for name, value in fields.items())
        raise ChangeRefused(f"{tenant.customer_id} has {told} already")


def _add(
    session: Session,
    cell: Cell,
    tenant: Tenant,
    kind: ChangeKind,
    fields: Mapping[str, Any],
    *,
    mode: Mode,
    actor: str,
    now: datetime,
) -> Change:
    change = Change(
        customer_id=tenant.customer_id,
        kind=kind,
        fields=dict(fields),
        before={},
        actor=actor,
        mode=mode,
        created_at=now,
    )
    if mode == Mode.REVIEW:
        change.review_id = branch_for(session, cell, tenant, now)
    session.add(change)
    details = {"kind": kind, "mode": mode}
    session.add(audited("change.requested", tenant.customer_id, actor=actor, now=now, **details))
    session.flush()
    return change


def _end_open(
    session: Session,
    tenant: Tenant,
    kinds: Sequence[ChangeKind],
    outcome: Outcome,
    by: str,
    now: datetime,
) -> list[Change]:
    ended = [each for each in waiting(session, tenant.customer_id) if each.kind in kinds]
    for each in ended:
        end(each, outcome, by, now)
    return ended
