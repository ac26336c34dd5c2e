"""A tenant follows its subscription: what it should be now, the license for that, the mail that is
due; and when to look again (R51).

Only what the subscription says anew is asked for. What operators and reviewers decided since is
left: a tenant that somebody suspended is not woken, and a change that was declined is not asked for
again; but for a license, without which what runs would stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import write_in_turn
from tenantry.adapters.database.tables import (
    Change,
    Customer,
    Subscription,
    Tenant,
)
from tenantry.core.errors import DatabaseUnavailable
from tenantry.core.frames import frames
from tenantry.core.mail import OF_SUBSCRIPTION, MailKind
from tenantry.core.model import State
from tenantry.core.review import ChangeKind, Mode
from tenantry.core.subscription import add_up, position
from tenantry.flows import outbox
from tenantry.flows.reviewing.changes import change_tenant
from tenantry.flows.reviewing.ending import withdraw
from tenantry.flows.reviewing.waiting import waiting, waits
from tenantry.flows.rows import locked_if_free
from tenantry.flows.service import Cell, Service
from tenantry.flows.subscriptions.booking import booking_of, told_of, trial_of
from tenantry.flows.subscriptions.followed import Followed
from tenantry.flows.subscriptions.renewal import (
    UNTIL_DECIDED,
    last_license,
    needs_license,
    next_renewal,
    tell_renewal,
    until_decided,
)

log = structlog.get_logger()
ACTOR = "lifecycle"
AT_ONCE = 500
NOT_THERE_YET = timedelta(hours=1)  # of a tenant whose signup waits
UNTIL_SHOWN = timedelta(minutes=1)  # until main shows what is to be told
AFTER_FAILURE = timedelta(minutes=10)
# No two workers' clocks are so far apart: whoever looked that late had a clock that was wrong.
FAR_AHEAD = timedelta(hours=1)

_BETTER = (State.DELETING, State.SUSPENDED, State.READ_ONLY, State.ACTIVE)

Asked = dict[ChangeKind, Mapping[str, Any]]


def follow_due(service: Service, *, now: datetime) -> int:
    """Follow each subscription that has something due; how many. One that cannot be followed keeps
    no other waiting, and is looked at again later.
    """
    due = select(Subscription.customer_id).where(_is_due(now))
    with service.database.read() as session:
        ids = session.scalars(due.order_by(Subscription.look_at).limit(AT_ONCE)).all()
    return sum(_follow_one(service, customer_id, now) for customer_id in ids)


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Its time has come, or it was looked at by a clock that was far ahead."""
    return or_(Subscription.look_at <= now, Subscription.looked_at > now + FAR_AHEAD)


def _follow_one(service: Service, customer_id: str, now: datetime) -> bool:
    this = select(Subscription).where(Subscription.customer_id == customer_id, _is_due(now))
    try:
        with write_in_turn(service.database) as session:
            tenant = locked_if_free(session, customer_id)
            if tenant is None:
                return False  # another worker is here
            subscription = session.scalar(this.with_for_update())
            if subscription is None:
                return False  # another worker was here
            customer = session.get_one(Customer, customer_id)
            if customer.erased_at is not None:
                subscription.look_at = subscription.looked_at = None
                return False
            follow(service, session, tenant, subscription, customer, now=now, is_bulk=True)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - the others go on
        log.error(
            "subscription.not_followed",
            customer_id=customer_id,
            error=type(error).__name__,
            frames=frames(error),
        )
        with service.database.write() as session:
            failed = session.get_one(Subscription, customer_id)
            failed.look_at, failed.looked_at = now + AFTER_FAILURE, now
        return False
    return True


def follow(
    service: Service,
    session: Session,
    tenant: Tenant,
    subscription: Subscription,
    customer: Customer,
    *,
    plan: str | None = None,
    actor: str = ACTOR,
    is_bulk: bool = False,
    now: datetime,
) -> None:
    """Ask for what the subscription says of its tenant now; `plan`: it was just booked. In the
    caller's transaction, with both rows locked. `is_bulk`: the tenant is one of many.
    """
    booking = booking_of(subscription, customer)
    stands = position(booking, service.product, now)
    subscription.status, subscription.looked_at = stands.moment.stage, now
    if tenant.generation == 0:  # its signup waits, or was declined
        subscription.look_at = now + NOT_THERE_YET
        return
    issued = last_license(session, tenant)
    it = Followed(tenant, subscription, booking, stands, issued, now)
    if booking.is_paid and issued.kind != "paid":
        # all that was booked meanwhile is paid for now: what waited for a review waits no longer
        plan = add_up(trial_of(subscription, customer), told_of(session, tenant.customer_id)).plan
    asked = _asked(service, session, it, plan)
    if asked:
        _ask(service, session, it, asked, actor=actor, is_bulk=is_bulk)
        it = replace(it, issued=last_license(session, tenant))
    _look_ahead(service, session, it, asked)


def _ask(
    service: Service, session: Session, it: Followed, asked: Asked, *, actor: str, is_bulk: bool
) -> None:
    """Ask for these changes; a license that they renewed at once is told of."""
    tenant, cell = it.tenant, service.cells[it.tenant.cell]
    had = tenant.approved["license_id"]
    change_tenant(
        service, session, cell, tenant, asked,
        actor=actor if list(asked) == [ChangeKind.PLAN] else ACTOR,  # who may withdraw it
        now=it.now, is_paid=it.booking.is_paid, is_bulk=is_bulk,
    )  # fmt: skip
    is_other = tenant.approved["license_id"] != had  # not where it waits for a review
    if is_other and it.issued.kind == "paid" and list(asked) == [ChangeKind.LICENSE]:
        tell_renewal(session, tenant, it.now)


def _look_ahead(service: Service, session: Session, it: Followed, asked: Asked) -> None:
    """Remember what was asked, make the mail due, and say when to look again."""
    is_held = _is_held(session, it)
    if not is_held:
        _remember(it.subscription, it.wanted, is_asked=ChangeKind.STATE in asked)
    mail_at = _tell(session, it)
    looks = [
        it.stands.next_at,
        mail_at,
        next_renewal(service, it),
        until_decided(session, it.tenant, it.now),
        it.now + UNTIL_DECIDED if is_held else None,
    ]
    it.subscription.look_at = min((each for each in looks if each), default=None)


def _remember(subscription: Subscription, wanted: State, *, is_asked: bool) -> None:
    """Keep what was asked for because of the subscription. What somebody else brought about is not
    remembered as ours, or a payment would wake a tenant that an operator suspended.
    """
    if is_asked or _is_better(wanted, State(subscription.asked_state)):
        subscription.asked_state = wanted


def _asked(service: Service, session: Session, it: Followed, plan: str | None) -> Asked:
    """The changes that lead there from what is wanted of the tenant already."""
    asked: Asked = {}
    tenant, cell = it.tenant, service.cells[it.tenant.cell]
    if plan in service.product.plans and plan != tenant.approved["plan"]:
        asked[ChangeKind.PLAN] = {"plan": plan}
    elif plan == tenant.approved["plan"]:
        # as one that is booked takes its place, whoever asked for it
        withdraw(session, tenant, ChangeKind.PLAN, by=ACTOR, now=it.now)
    elif plan is not None and plan not in service.product.plans:
        log.error("subscription.unknown_plan", customer_id=tenant.customer_id, plan=plan)
    if _moves(session, it):
        asked[ChangeKind.STATE] = {"state": it.wanted.value}
    brings_license = (
        ChangeKind.PLAN in asked
        and cell.policy.mode(ChangeKind.PLAN, is_paid=it.booking.is_paid) == Mode.DIRECT
    )
    is_kept = not brings_license and not _stops(cell, asked)
    if is_kept and needs_license(service, it):
        asked[ChangeKind.LICENSE] = {}
    return asked


def _stops(cell: Cell, asked: Asked) -> bool:
    """Whether what runs will run no longer: not where that waits for a person."""
    is_made = cell.policy.mode(ChangeKind.STATE) == Mode.DIRECT
    return is_made and asked.get(ChangeKind.STATE, {}).get("state", State.ACTIVE) != State.ACTIVE


def _moves(session: Session, it: Followed) -> bool:
    """Whether the tenant's state is to be changed: the subscription says another than before, and
    nobody has decided otherwise since.
    """
    tenant, subscription, wanted = it.tenant, it.subscription, it.wanted
    stands = State(tenant.approved["state"])
    if wanted == subscription.asked_state:
        return False
    if any(_is_ours(each) for each in waiting(session, tenant.customer_id)):
        withdraw(session, tenant, ChangeKind.STATE, by=ACTOR, now=it.now, asked_by=ACTOR)
        subscription.asked_state = stands  # what we asked for came to nothing
    last = State(subscription.asked_state)
    if _is_held(session, it):
        return False
    if _is_better(last, wanted):
        return _is_better(stands, wanted)
    return _is_better(wanted, stands) and not _is_better(last, stands)


def _is_ours(change: Change) -> bool:
    return change.kind == ChangeKind.STATE and change.actor == ACTOR


def _is_held(session: Session, it: Followed) -> bool:
    """Whether somebody asked for what is wanted or worse, and a reviewer has to decide first."""
    return any(
        not _is_better(State(each.fields["state"]), it.wanted)
        for each in waiting(session, it.tenant.customer_id)
        if each.kind == ChangeKind.STATE and each.actor != ACTOR
    )


def _is_better(one: State, other: State) -> bool:
    return _BETTER.index(one) > _BETTER.index(other)


def _tell(session: Session, it: Followed) -> datetime | None:
    """Make the mail due that says where the subscription stands; or when to look again, where it
    would not be true yet.
    """
    customer_id, kind, period = it.tenant.customer_id, it.moment.mail, it.moment.period
    outbox.drop_unsent(session, customer_id, OF_SUBSCRIPTION, but=(kind, period), now=it.now)
    if kind is None:
        return None
    if kind == MailKind.SUSPENDED and not _is_shown(it.tenant, State.SUSPENDED):
        return _until_suspended(session, it)
    outbox.put(session, customer_id=customer_id, kind=kind, period=period, now=it.now)
    outbox.restore(session, customer_id, kind, period)
    return None


def _until_suspended(session: Session, it: Followed) -> datetime | None:
    if it.tenant.approved["state"] == State.SUSPENDED:
        return it.now + UNTIL_SHOWN
    is_waiting = waits(session, it.tenant.customer_id, ChangeKind.STATE)
    return it.now + NOT_THERE_YET if is_waiting else None


def _is_shown(tenant: Tenant, state: State) -> bool:
    return (tenant.published_spec or {}).get("state") == state
