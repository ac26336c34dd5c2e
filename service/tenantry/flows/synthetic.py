"""A customer who is none: signs up, waits, looks at the instance and has it suspended (R44). It
shows that the whole way works, before a customer finds out that it does not.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from tenantry.adapters.database.tables import Tenant
from tenantry.adapters.passwords import NO_PASSWORD
from tenantry.core.model import State, Status
from tenantry.core.reported import reported_license
from tenantry.core.review import ChangeKind
from tenantry.core.signup import Person
from tenantry.flows.figures import SYNTHETIC_DOMAIN
from tenantry.flows.reviewing.changes import request_change
from tenantry.flows.service import Service
from tenantry.flows.signups.customer import create_customer

ACTOR = "synthetic"
POLL = 1.0  # seconds


class Nobody(Person):
    """Has an address that no signup accepts, since no mail can be sent there."""

    @cached_property
    def email_key(self) -> str:
        return self.email


@dataclass(frozen=True)
class Tried:
    """How it went. `seconds`: until it was ready, or was given up; `license_right`: None where it
    was not asked for.
    """

    customer_id: str
    status: str
    reason_code: str
    seconds: float
    license_right: bool | None

    @property
    def is_good(self) -> bool:
        return self.status == Status.READY and self.license_right is not False


def try_whole_way(
    service: Service, *, within: float, wait: Callable[[float], None] = time.sleep
) -> Tried:
    """Sign a marked tenant up, wait so many seconds until it is ready, and suspend it in any case.
    A worker has to run; no mail is sent.
    """
    began = service.now()
    customer_id = _sign_up(service, began)
    try:
        return _follow(service, customer_id, began, within, wait)
    finally:
        _suspend(service, customer_id)


def _sign_up(service: Service, now: datetime) -> str:
    mark = secrets.token_hex(8)
    person = Nobody(email=f"{mark}@{SYNTHETIC_DOMAIN}", company_name=f"Synthetic {mark}")
    with service.database.write() as session:
        signed_up = create_customer(
            service, session, person, NO_PASSWORD, now=now, actor=ACTOR, send_mail=False
        )
    return signed_up.customer_id


def _follow(
    service: Service,
    customer_id: str,
    began: datetime,
    within: float,
    wait: Callable[[float], None],
) -> Tried:
    while True:
        tenant = _read(service, customer_id)
        seconds = (service.now() - began).total_seconds()
        if tenant.status in (Status.READY, Status.FAILED) or seconds > within:
            right = _has_its_license(service, tenant) if tenant.status == Status.READY else None
            return Tried(customer_id, tenant.status, tenant.reason_code, seconds, right)
        wait(POLL)


def _read(service: Service, customer_id: str) -> Tenant:
    with service.database.read() as session:
        return session.get_one(Tenant, customer_id)


def _has_its_license(service: Service, tenant: Tenant) -> bool | None:
    """Whether the instance runs with the license it was given; None where it cannot be asked."""
    told = service.product.ready.license
    if told is None:
        return None
    answer = service.cells[tenant.cell].ask(f"{tenant.instance_url}{told.path}")
    if answer is None:
        return None
    return reported_license(answer, told.field) == str(tenant.approved["license_id"])


def _suspend(service: Service, customer_id: str) -> None:
    cell = service.cells[_read(service, customer_id).cell]
    fields = {"state": State.SUSPENDED}
    request_change(service, cell, customer_id, ChangeKind.STATE, fields, actor=ACTOR)
