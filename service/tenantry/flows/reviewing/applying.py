"""Changes that wait for nobody any longer: main is to show them from now on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import Change, Subscription, Tenant
from tenantry.core.mail import MailKind
from tenantry.core.model import LicenseAction, TenantSpec
from tenantry.core.review import ChangeKind, Outcome, lay_license, lay_on
from tenantry.flows import outbox
from tenantry.flows.generation import raise_generation, renew_branch
from tenantry.flows.licensing.issuing import issue_again
from tenantry.flows.reviewing.ending import withdraw
from tenantry.flows.reviewing.waiting import end
from tenantry.flows.service import Service


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
        spec = lay_license(spec, fields)
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
