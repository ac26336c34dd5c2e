"""A change to what a tenant is wanted to be: made at once, or laid on its branch until a person
merges it (R32).

Owns: the rows of `changes`. One change of a kind waits at a time: a later one takes its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Customer, Tenant
from tenantry.core.errors import ChangeRefused
from tenantry.core.model import LicenseAction, State, TenantSpec
from tenantry.core.review import ChangeKind, Mode, Outcome, kind_of_state, lay_on
from tenantry.flows.accounts.waiting import is_waiting
from tenantry.flows.audit_rows import audited
from tenantry.flows.licensing.issuing import issue_again
from tenantry.flows.reviewing.applying import make
from tenantry.flows.reviewing.ending import end_waiting
from tenantry.flows.reviewing.waiting import branch_for, close_done, waiting
from tenantry.flows.rows import locked_of_cell
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
        tenant = locked_of_cell(session, cell.name, customer_id)
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
        _check(service, cell, tenant, kind, fields)
        end_waiting(session, tenant, [kind], Outcome.WITHDRAWN, actor, now)
        mode = cell.policy.mode(kind, is_paid=is_paid)
        change = _add(session, cell, tenant, kind, fields, mode=mode, actor=actor, now=now)
        if mode == Mode.DIRECT:
            at_once.append(change)
    if at_once:
        make(service, session, tenant, at_once, by=actor, now=now, is_bulk=is_bulk)
    close_done(session, tenant, now)


def waiting_signup(customer_id: str, *, actor: str, now: datetime) -> Change:
    """The row of a new tenant that waits: its branch is chosen with those of others."""
    return _row(customer_id, ChangeKind.SIGNUP, {}, mode=Mode.REVIEW, actor=actor, now=now)


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


def _check(
    service: Service, cell: Cell, tenant: Tenant, kind: ChangeKind, fields: Mapping[str, Any]
) -> None:
    if "plan" in fields:
        service.product.require_plan(fields["plan"])
    if "state" in fields:
        _require_state(kind, fields["state"])
    if kind != ChangeKind.SIGNUP and _has(service, cell, tenant, kind, fields):
        told = ", ".join(f"{name} {value}" for name, value in fields.items())
        raise ChangeRefused(f"{tenant.customer_id} has {told} already")


def _has(
    service: Service, cell: Cell, tenant: Tenant, kind: ChangeKind, fields: Mapping[str, Any]
) -> bool:
    """Whether the change would change nothing. The plan that a tenant has may still bring its
    sizes, where volumes did not grow when it came.
    """
    if any(tenant.approved[name] != value for name, value in fields.items()):
        return False
    spec = TenantSpec.model_validate(tenant.approved)
    return lay_on(spec, [(kind, fields)], service.product, volumes_grow=cell.volumes_grow) == spec


def _require_state(kind: ChangeKind, state: str) -> None:
    if state not in list(State):
        raise ChangeRefused(f"there is no state {state!r}", remedy=f"one of {', '.join(State)}")
    if kind != kind_of_state(State(state)):
        raise ChangeRefused(f"nothing becomes {state} by a change of the kind {kind}")


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
    change = _row(tenant.customer_id, kind, fields, mode=mode, actor=actor, now=now)
    if mode == Mode.REVIEW:
        change.review_id = branch_for(session, cell, tenant, now)
    session.add(change)
    details = {"kind": kind, "mode": mode}
    session.add(audited("change.requested", tenant.customer_id, actor=actor, now=now, **details))
    session.flush()
    return change


def _row(
    customer_id: str,
    kind: ChangeKind,
    fields: Mapping[str, Any],
    *,
    mode: Mode,
    actor: str,
    now: datetime,
) -> Change:
    return Change(
        customer_id=customer_id,
        kind=kind,
        fields=dict(fields),
        before={},
        actor=actor,
        mode=mode,
        created_at=now,
    )
